//! Futures in one allocation with what is known of them, polled in place through shared references.
//!
//! A task is one allocation: a head of a known type, and a body that first holds the future and then its result. The loop holds
//! it by one trait and the task's handle by another, so neither has it for itself, and what one of them does (a poll, a
//! destructor) may come back through the other. `busy` says no to that.

use std::cell::{Cell, UnsafeCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A head, and a body that is pinned with it.
pub(crate) struct Headed<H, B: ?Sized> {
    head: H,
    body: B,
}

impl<H, B> Headed<H, B> {
    pub(crate) fn new(head: H, body: B) -> Headed<H, B> {
        Headed { head, body }
    }

    pub(crate) fn pin(head: H, body: B) -> Pin<Rc<Headed<H, B>>> {
        Rc::pin(Headed::new(head, body))
    }
}

impl<H, B: ?Sized> Headed<H, B> {
    pub(crate) fn head(&self) -> &H {
        &self.head
    }

    pub(crate) fn body(self: Pin<&Self>) -> Pin<&B> {
        // SAFETY: `body` is pinned where `self` is: nothing here moves it or gives it out by `&mut`, there is no destructor of
        // `Headed`, and it is `Unpin` only where its body is.
        unsafe { self.map_unchecked(|headed| &headed.body) }
    }
}

enum Content<F, R> {
    Future(F),
    Result(R),
    Nothing,
}

/// The place of a future, and afterwards of what came of it.
pub(crate) struct Stage<F, R> {
    busy: Cell<bool>,
    content: UnsafeCell<Content<F, R>>,
}

const IN_USE: &str = "a task's content was replaced while it was in use";

/// The time in which one has the content for itself.
struct Busy<'a>(&'a Cell<bool>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<F, R> Stage<F, R> {
    pub(crate) fn new(future: F) -> Stage<F, R> {
        Stage {
            busy: Cell::new(false),
            content: UnsafeCell::new(Content::Future(future)),
        }
    }

    /// Runs `f` with the content, which it must not move while it is a future; not where it is in use already.
    fn with<T>(&self, f: impl FnOnce(&mut Content<F, R>) -> T) -> Option<T> {
        if self.busy.replace(true) {
            return None;
        }
        let _busy = Busy(&self.busy);
        // SAFETY: one thread, as a cell is not `Sync`, and on that thread nobody else: `busy` was false, and is true until `f`
        // has returned or unwound.
        Some(f(unsafe { &mut *self.content.get() }))
    }

    /// Polls the future; `None` where there is none or it is being polled.
    pub(crate) fn poll(self: Pin<&Self>, cx: &mut Context<'_>) -> Option<Poll<F::Output>>
    where
        F: Future,
    {
        self.get_ref().with(|content| match content {
            // SAFETY: `self` is pinned, and no method moves a future: it is dropped by assignment, where it is.
            Content::Future(future) => Some(unsafe { Pin::new_unchecked(future) }.poll(cx)),
            _ => None,
        })?
    }

    /// Drops the content.
    ///
    /// # Panics
    ///
    /// If the content is in use: it would stay.
    pub(crate) fn clear(&self) {
        let cleared = self.with(|content| *content = Content::Nothing);
        assert!(cleared.is_some(), "{IN_USE}");
    }

    /// Puts the result where the future was.
    ///
    /// # Panics
    ///
    /// If the content is in use: the result would be lost.
    pub(crate) fn set(&self, result: R) {
        let set = self.with(|content| *content = Content::Result(result));
        assert!(set.is_some(), "{IN_USE}");
    }

    pub(crate) fn take(&self) -> Option<R> {
        self.with(|content| {
            if !matches!(content, Content::Result(_)) {
                return None;
            }
            match std::mem::replace(content, Content::Nothing) {
                Content::Result(result) => Some(result),
                _ => None,
            }
        })?
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Pending, pending, ready};
    use std::task::Waker;

    use super::*;

    fn polled<F: Future, R>(stage: Pin<&Stage<F, R>>) -> Option<Poll<F::Output>> {
        stage.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_future_gives_way_to_its_result() {
        let task = Headed::pin("head", Stage::<_, u8>::new(ready(7_u8)));
        assert_eq!(*task.head(), "head");
        let stage = task.as_ref().body();
        assert_eq!(stage.take(), None);
        assert_eq!(polled(stage), Some(Poll::Ready(7)));
        stage.set(7);
        assert_eq!(polled(stage), None);
        assert_eq!((stage.take(), stage.take()), (Some(7), None));
    }

    type Held = Stage<std::future::Pending<()>, Inside>;

    /// Looks into its own stage while it is dropped, and says whether it is out of reach.
    struct Inside {
        stage: std::rc::Weak<Held>,
        is_out_of_reach: Rc<Cell<bool>>,
    }

    impl Drop for Inside {
        fn drop(&mut self) {
            let stage = self.stage.upgrade().expect("its stage lives on");
            self.is_out_of_reach.set(stage.take().is_none());
        }
    }

    #[test]
    fn what_is_being_dropped_is_out_of_reach() {
        let stage: Rc<Held> = Rc::new(Stage::new(pending()));
        let is_out_of_reach = Rc::new(Cell::new(false));
        stage.set(Inside {
            stage: Rc::downgrade(&stage),
            is_out_of_reach: is_out_of_reach.clone(),
        });
        stage.clear();
        assert!(is_out_of_reach.get());
        assert!(stage.take().is_none());
    }

    /// Panics of `replace`, called while the stage's own content is dropped.
    fn replace_while_busy(replace: impl Fn(&Stage<Pending<()>, AtDrop>) + 'static) -> bool {
        let stage: Rc<Stage<Pending<()>, AtDrop>> = Rc::new(Stage::new(pending()));
        let panicked = Rc::new(Cell::new(false));
        let (inside, panics) = (stage.clone(), panicked.clone());
        stage.set(AtDrop(Some(Box::new(move || {
            let replace = std::panic::AssertUnwindSafe(|| replace(&inside));
            panics.set(std::panic::catch_unwind(replace).is_err());
        }))));
        stage.clear();
        assert!(stage.take().is_none(), "the stage is empty");
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
        assert!(replace_while_busy(|stage| stage.set(AtDrop(None))));
        assert!(replace_while_busy(Stage::clear));
    }

    #[test]
    fn a_panic_leaves_the_stage_in_order() {
        let future = std::future::poll_fn(|_| -> Poll<()> { panic!("no") });
        let stage = Rc::pin(Stage::<_, ()>::new(future));
        let poll = std::panic::AssertUnwindSafe(|| polled(stage.as_ref()));
        std::panic::catch_unwind(poll).expect_err("it panics");
        stage.set(());
        assert_eq!(stage.take(), Some(()));
    }
}
