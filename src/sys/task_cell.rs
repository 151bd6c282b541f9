//! One allocation for each task: a header of a known type, and a body.
//!
//! The body first holds the future, then its output. The loop refers to the task through one trait,
//! and the task's handle through another one, so both have shared references. A poll or a
//! destructor may call back into the same task through the other reference. The flag `busy` refuses
//! that.

use std::cell::{Cell, UnsafeCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A header, and a body that is pinned with it.
pub(crate) struct WithHeader<H, B: ?Sized> {
    head: H,
    body: B,
}

impl<H, B> WithHeader<H, B> {
    pub(crate) fn pin(head: H, body: B) -> Pin<Rc<WithHeader<H, B>>> {
        Rc::pin(WithHeader { head, body })
    }
}

impl<H, B: ?Sized> WithHeader<H, B> {
    pub(crate) fn head(&self) -> &H {
        &self.head
    }

    pub(crate) fn body(self: Pin<&Self>) -> Pin<&B> {
        // SAFETY: `body` is pinned if `self` is. No code here moves it or returns a `&mut` to it,
        // `WithHeader` has no destructor, and it is `Unpin` only if its body is.
        unsafe { self.map_unchecked(|this| &this.body) }
    }
}

enum Content<F, R> {
    Future(F),
    /// `None` if the content was cleared, or the result taken.
    Result(Option<R>),
}

/// A future, and after it its output.
pub(crate) struct FutureOrOutput<F, R> {
    busy: Cell<bool>,
    content: UnsafeCell<Content<F, R>>,
}

/// A guard of exclusive access to the content.
struct Busy<'a>(&'a Cell<bool>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<F, R> FutureOrOutput<F, R> {
    pub(crate) fn new(future: F) -> FutureOrOutput<F, R> {
        FutureOrOutput { busy: Cell::new(false), content: UnsafeCell::new(Content::Future(future)) }
    }

    /// Calls `f` with the content, or returns `None` if the content is in use.
    ///
    /// `f` must not move a future.
    fn with<T>(&self, f: impl FnOnce(&mut Content<F, R>) -> T) -> Option<T> {
        if self.busy.replace(true) {
            return None;
        }
        let _busy = Busy(&self.busy);
        // SAFETY: the cell is not `Sync`, so only one thread uses it. On that thread this access is
        // the only one: `busy` was false, and stays true until `f` has returned or unwound.
        Some(f(unsafe { &mut *self.content.get() }))
    }

    /// Polls the future, or returns `None` if there is none or if it is in use.
    pub(crate) fn poll(self: Pin<&Self>, cx: &mut Context<'_>) -> Option<Poll<F::Output>>
    where
        F: Future,
    {
        self.get_ref().with(|content| match content {
            // SAFETY: `self` is pinned, and no method moves a future. An assignment drops it in
            // place.
            Content::Future(future) => Some(unsafe { Pin::new_unchecked(future) }.poll(cx)),
            Content::Result(_) => None,
        })?
    }

    /// Drops the content, and replaces it by the output if there is one.
    ///
    /// # Panics
    ///
    /// If the content is in use, as it would stay, and the output would be lost.
    pub(crate) fn set(&self, result: Option<R>) {
        let set = self.with(|content| *content = Content::Result(result));
        assert!(set.is_some(), "cannot replace a task's future or output while it is in use");
    }

    /// Takes the output, or returns `None` if there is none or if it is in use.
    pub(crate) fn take(&self) -> Option<R> {
        self.with(|content| match content {
            Content::Result(result) => result.take(),
            Content::Future(_) => None,
        })?
    }
}

#[cfg(test)]
mod tests;
