//! A result that the program sets: asyncio's `Future`, in two halves.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use crate::error::{TaskError, drop_bounded, wake};
use crate::nesting::Kind;

enum PromiseState<T> {
    Pending(Option<Waker>),
    Done(Result<T, TaskError>),
    Taken,
}

type SharedState<T> = RefCell<PromiseState<T>>;

pub(crate) fn promise<T: 'static>() -> (Promise<T>, PromiseFuture<T>) {
    let shared = Rc::new(RefCell::new(PromiseState::Pending(None)));
    let promise = Promise {
        shared: Rc::downgrade(&shared),
    };
    let dispose = |result| drop_bounded(Kind::Drop, "while a result was dropped", result);
    (promise, PromiseFuture { shared, dispose })
}

/// Stores the result and wakes the awaiting task, unless there is a result.
fn settle<T>(shared: &SharedState<T>, result: Result<T, TaskError>) {
    let mut state = shared.borrow_mut();
    let PromiseState::Pending(waker) = &mut *state else {
        return;
    };
    let waker = waker.take();
    *state = PromiseState::Done(result);
    drop(state);
    if let Some(waker) = waker {
        wake(waker);
    }
}

/// The half of [`create_future`](crate::LoopHandle::create_future) that sets the result.
///
/// If it is dropped without a result, the other half fails with a
/// [cancelled](TaskError::is_cancelled) [`TaskError`].
///
/// # Examples
///
/// ```
/// # let event_loop = sendloop::Loop::new().unwrap();
/// let (promise, future) = event_loop.create_future();
/// event_loop.call_soon(move || promise.set_result("done").unwrap());
/// assert_eq!(event_loop.run_until_complete(future).unwrap(), "done");
/// ```
#[doc(alias("oneshot", "Sender"))]
#[must_use = "dropping a promise without a result cancels its future"]
pub struct Promise<T> {
    shared: Weak<SharedState<T>>,
}

impl<T> Promise<T> {
    /// Sets the result, and wakes the task that awaits the other half.
    ///
    /// # Errors
    ///
    /// The value itself if the other half was dropped, so that no task can receive it.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let (promise, future) = event_loop.create_future();
    /// drop(future);
    /// assert_eq!(promise.set_result(7), Err(7));
    /// ```
    #[doc(alias = "send")]
    pub fn set_result(self, value: T) -> Result<(), T> {
        match self.shared.upgrade() {
            Some(shared) => {
                settle(&shared, Ok(value));
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Returns true if the other half was dropped, so that no task can receive the result.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let (promise, future) = event_loop.create_future::<()>();
    /// assert!(!promise.cancelled());
    /// drop(future);
    /// assert!(promise.cancelled());
    /// ```
    #[doc(alias = "is_closed")]
    pub fn cancelled(&self) -> bool {
        self.shared.strong_count() == 0
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            settle(&shared, Err(TaskError::cancelled()));
        }
    }
}

/// The half of [`create_future`](crate::LoopHandle::create_future) that waits for the result.
///
/// # Cancel safety
///
/// Dropping a future that awaits `&mut future` loses nothing: it can be awaited again.
///
/// # Examples
///
/// ```
/// # let event_loop = sendloop::Loop::new().unwrap();
/// let (promise, future) = event_loop.create_future::<()>();
/// drop(promise);
/// assert!(event_loop.run_until_complete(future).unwrap_err().is_cancelled());
/// ```
#[doc(alias("oneshot", "Receiver"))]
#[must_use = "if the future is dropped, no task receives the result"]
pub struct PromiseFuture<T> {
    shared: Rc<SharedState<T>>,
    /// Drops a result that was not awaited, on bounded stack: it may own another such future.
    dispose: fn(Result<T, TaskError>),
}

impl<T> PromiseFuture<T> {
    /// Returns true if the result was set, or the promise was dropped without one.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let (promise, future) = event_loop.create_future();
    /// assert!(!future.done());
    /// promise.set_result(1).unwrap();
    /// assert!(future.done());
    /// ```
    pub fn done(&self) -> bool {
        !matches!(*self.shared.borrow(), PromiseState::Pending(_))
    }
}

impl<T> Future for PromiseFuture<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloning and dropping a waker may run foreign code, so the state is not borrowed then.
        let new_waker = cx.waker().clone();
        let mut state = self.shared.borrow_mut();
        match mem::replace(&mut *state, PromiseState::Taken) {
            PromiseState::Pending(old_waker) => {
                *state = PromiseState::Pending(Some(new_waker));
                drop(state);
                drop(old_waker);
                Poll::Pending
            }
            PromiseState::Done(result) => Poll::Ready(result),
            PromiseState::Taken => panic!("a PromiseFuture was polled after it was ready"),
        }
    }
}

impl<T> Drop for PromiseFuture<T> {
    fn drop(&mut self) {
        let state = self.shared.replace(PromiseState::Taken);
        match state {
            PromiseState::Pending(waker) => {
                drop_bounded(Kind::Drop, "while a waker was dropped", waker)
            }
            PromiseState::Done(result) => (self.dispose)(result),
            PromiseState::Taken => {}
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise")
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

impl<T> fmt::Debug for PromiseFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromiseFuture")
            .field("done", &self.done())
            .finish()
    }
}
