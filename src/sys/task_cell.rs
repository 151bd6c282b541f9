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
pub(crate) struct WithHeader<H, B: ?Sized> {
    head: H,
    body: B,
}

impl<H, B> WithHeader<H, B> {
    pub(crate) fn new(head: H, body: B) -> WithHeader<H, B> {
        WithHeader { head, body }
    }

    pub(crate) fn pin(head: H, body: B) -> Pin<Rc<WithHeader<H, B>>> {
        Rc::pin(WithHeader::new(head, body))
    }
}

impl<H, B: ?Sized> WithHeader<H, B> {
    pub(crate) fn head(&self) -> &H {
        &self.head
    }

    pub(crate) fn body(self: Pin<&Self>) -> Pin<&B> {
        // SAFETY: `body` is pinned where `self` is: nothing here moves it or gives it out by `&mut`, there is no destructor of
        // `WithHeader`, and it is `Unpin` only where its body is.
        unsafe { self.map_unchecked(|headed| &headed.body) }
    }
}

enum Content<F, R> {
    Future(F),
    Result(R),
    Nothing,
}

/// The place of a future, and afterwards of what came of it.
pub(crate) struct FutureOrOutput<F, R> {
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

impl<F, R> FutureOrOutput<F, R> {
    pub(crate) fn new(future: F) -> FutureOrOutput<F, R> {
        FutureOrOutput {
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
mod tests;
