use std::future::{Pending, pending, ready};
use std::task::Waker;

use super::*;

fn polled<F: Future, R>(cell: Pin<&FutureOrOutput<F, R>>) -> Option<Poll<F::Output>> {
    cell.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_gives_way_to_its_result() {
    let task = WithHeader::pin("head", FutureOrOutput::<_, u8>::new(ready(7_u8)));
    assert_eq!(*task.head(), "head");
    let cell = task.as_ref().body();
    assert_eq!(cell.take(), None);
    assert_eq!(polled(cell), Some(Poll::Ready(7)));
    cell.set(7);
    assert_eq!(polled(cell), None);
    assert_eq!((cell.take(), cell.take()), (Some(7), None));
}

type Held = FutureOrOutput<std::future::Pending<()>, Inside>;

/// Looks into its own cell while it is dropped, and says whether it is out of reach.
struct Inside {
    cell: std::rc::Weak<Held>,
    is_out_of_reach: Rc<Cell<bool>>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let cell = self.cell.upgrade().expect("its cell lives on");
        self.is_out_of_reach.set(cell.take().is_none());
    }
}

#[test]
fn what_is_being_dropped_is_out_of_reach() {
    let cell: Rc<Held> = Rc::new(FutureOrOutput::new(pending()));
    let is_out_of_reach = Rc::new(Cell::new(false));
    cell.set(Inside {
        cell: Rc::downgrade(&cell),
        is_out_of_reach: is_out_of_reach.clone(),
    });
    cell.clear();
    assert!(is_out_of_reach.get());
    assert!(cell.take().is_none());
}

/// Panics of `replace`, called while the cell's own content is dropped.
fn replace_while_busy(replace: impl Fn(&FutureOrOutput<Pending<()>, AtDrop>) + 'static) -> bool {
    let cell: Rc<FutureOrOutput<Pending<()>, AtDrop>> = Rc::new(FutureOrOutput::new(pending()));
    let panicked = Rc::new(Cell::new(false));
    let (inside, panics) = (cell.clone(), panicked.clone());
    cell.set(AtDrop(Some(Box::new(move || {
        let replace = std::panic::AssertUnwindSafe(|| replace(&inside));
        panics.set(std::panic::catch_unwind(replace).is_err());
    }))));
    cell.clear();
    assert!(cell.take().is_none(), "the cell is empty");
    panicked.get()
}

struct AtDrop(Option<Box<dyn FnOnce()>>);

impl Drop for AtDrop {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|call| call());
    }
}

#[test]
fn content_in_use_cannot_be_replaced() {
    assert!(replace_while_busy(|cell| cell.set(AtDrop(None))));
    assert!(replace_while_busy(FutureOrOutput::clear));
}

#[test]
fn a_panic_leaves_the_stage_in_order() {
    let future = std::future::poll_fn(|_| -> Poll<()> { panic!("no") });
    let cell = Rc::pin(FutureOrOutput::<_, ()>::new(future));
    let poll = std::panic::AssertUnwindSafe(|| polled(cell.as_ref()));
    std::panic::catch_unwind(poll).expect_err("it panics");
    cell.set(());
    assert_eq!(cell.take(), Some(()));
}
