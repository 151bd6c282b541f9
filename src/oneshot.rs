//! A result that one side sets and the other side awaits.
//!
//! The two sides share it in a cell or under a lock. Wakers and results are foreign code, so each
//! side releases the borrow or the lock before it drops or wakes what a method returns.

use std::mem;
use std::panic::panic_any;
use std::task::{Poll, Waker};

use crate::error::{TaskError, drop_bounded, wake};
use crate::nesting::Kind;

pub(crate) enum Oneshot<T> {
    /// There is no result. The waker is that of the task that awaits it.
    Pending(Option<Waker>),
    Ready(Result<T, TaskError>),
    /// The awaiting side has the result, or was dropped.
    Taken,
}

impl<T> Oneshot<T> {
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self, Oneshot::Pending(_))
    }

    /// Stores a result, if it is awaited. The caller must [`wake`](Oneshot::wake) what this
    /// returns.
    pub(crate) fn set(&mut self, result: Result<T, TaskError>) -> Oneshot<T> {
        match self.is_pending() {
            true => mem::replace(self, Oneshot::Ready(result)),
            false => Oneshot::Ready(result),
        }
    }

    /// Wakes the task that awaits the result, or drops a result that no task awaits.
    pub(crate) fn wake(self) {
        if let Oneshot::Pending(Some(waker)) = self {
            wake(waker);
        }
    }

    /// Takes the result. If there is none, this swaps `waker` for the present one.
    ///
    /// # Panics
    ///
    /// With `text`, if the result was taken before.
    pub(crate) fn poll(
        &mut self,
        waker: &mut Option<Waker>,
        text: &'static str,
    ) -> Poll<Result<T, TaskError>> {
        match mem::replace(self, Oneshot::Taken) {
            Oneshot::Pending(old_waker) => {
                *self = Oneshot::Pending(mem::replace(waker, old_waker));
                Poll::Pending
            }
            Oneshot::Ready(result) => Poll::Ready(result),
            Oneshot::Taken => panic_any(text),
        }
    }

    /// Ends the awaiting side, and returns its waker or result, for its [`Discard`].
    pub(crate) fn close(&mut self) -> Oneshot<T> {
        mem::replace(self, Oneshot::Taken)
    }
}

/// Drops a waker or a result on bounded stack.
///
/// The awaiting side keeps a pointer to [`discard`], as `Drop` for every `T` cannot name a function
/// for `T: 'static`.
pub(crate) type Discard<T> = fn(Oneshot<T>);

pub(crate) fn discard<T: 'static>(left: Oneshot<T>) {
    // After a result was taken, nothing is left.
    if !matches!(left, Oneshot::Taken) {
        drop_bounded(Kind::Drop, "while a result was dropped", left);
    }
}
