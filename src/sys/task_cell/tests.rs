use std::future::{Pending, pending, ready};
use std::task::Waker;

use super::*;

fn polled<F: Future, R>(cell: Pin<&FutureOrOutput<F, R>>) -> Option<Poll<F::Output>> {
    cell.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn output_replaces_the_future() {
    let task = WithHeader::pin("head", FutureOrOutput::<_, u8>::new(ready(7_u8)));
    assert_eq!(*task.head(), "head");
    let cell = task.as_ref().body();
    assert_eq!(cell.take(), None);
    assert_eq!(polled(cell), Some(Poll::Ready(7)));
    cell.set(Some(7));
    assert_eq!(polled(cell), None);
    assert_eq!((cell.take(), cell.take()), (Some(7), None));
}

type SelfReader = FutureOrOutput<Pending<()>, TakesOwnCell>;

/// A value that tries to take its own cell's output while it is dropped.
struct TakesOwnCell {
    cell: std::rc::Weak<SelfReader>,
    is_unreachable: Rc<Cell<bool>>,
}

impl Drop for TakesOwnCell {
    fn drop(&mut self) {
        let cell = self.cell.upgrade().expect("its cell lives on");
        self.is_unreachable.set(cell.take().is_none());
    }
}

#[test]
fn content_is_unreachable_while_it_is_dropped() {
    let cell: Rc<SelfReader> = Rc::new(FutureOrOutput::new(pending()));
    let is_unreachable = Rc::new(Cell::new(false));
    cell.set(Some(TakesOwnCell {
        cell: Rc::downgrade(&cell),
        is_unreachable: is_unreachable.clone(),
    }));
    cell.set(None);
    assert!(is_unreachable.get());
    assert!(cell.take().is_none());
}

/// Returns whether `replace` panics during the drop of the cell's content.
fn replace_while_busy(
    replace: impl Fn(&FutureOrOutput<Pending<()>, CallOnDrop>) + 'static,
) -> bool {
    let cell: Rc<FutureOrOutput<Pending<()>, CallOnDrop>> = Rc::new(FutureOrOutput::new(pending()));
    let panicked = Rc::new(Cell::new(false));
    let (inside, panics) = (cell.clone(), panicked.clone());
    cell.set(Some(CallOnDrop(Some(Box::new(move || {
        let replace = std::panic::AssertUnwindSafe(|| replace(&inside));
        panics.set(std::panic::catch_unwind(replace).is_err());
    })))));
    cell.set(None);
    assert!(cell.take().is_none(), "the cell is empty");
    panicked.get()
}

struct CallOnDrop(Option<Box<dyn FnOnce()>>);

impl Drop for CallOnDrop {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|call| call());
    }
}

#[test]
fn content_in_use_cannot_be_replaced() {
    assert!(replace_while_busy(|cell| cell.set(Some(CallOnDrop(None)))));
    assert!(replace_while_busy(|cell| cell.set(None)));
}

#[test]
fn panic_leaves_the_cell_usable() {
    let future = std::future::poll_fn(|_| -> Poll<()> { panic!("no") });
    let cell = Rc::pin(FutureOrOutput::<_, ()>::new(future));
    let poll = std::panic::AssertUnwindSafe(|| polled(cell.as_ref()));
    std::panic::catch_unwind(poll).expect_err("it panics");
    cell.set(Some(()));
    assert_eq!(cell.take(), Some(()));
}
