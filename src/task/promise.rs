//! A result that the program sets: asyncio's `Future`, in two halves.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use crate::error::TaskError;
use crate::oneshot::{Discard, Oneshot, discard};

pub(crate) fn promise<T: 'static>() -> (Promise<T>, PromiseFuture<T>) {
    let shared = Rc::new(RefCell::new(Oneshot::Pending(None)));
    let promise = Promise { shared: Rc::downgrade(&shared) };
    (promise, PromiseFuture { shared, discard })
}

fn set<T>(shared: &RefCell<Oneshot<T>>, result: Result<T, TaskError>) {
    let before = shared.borrow_mut().set(result);
    before.wake();
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
    shared: Weak<RefCell<Oneshot<T>>>,
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
        let Some(shared) = self.shared.upgrade() else {
            return Err(value);
        };
        set(&shared, Ok(value));
        Ok(())
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
            set(&shared, Err(TaskError::cancelled()));
        }
    }
}

/// The half of [`create_future`](crate::LoopHandle::create_future) that waits for the result.
///
/// # Cancel safety
///
/// Awaiting `&mut future` is cancel safe: if that wait is dropped, `future` can be awaited again.
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
    shared: Rc<RefCell<Oneshot<T>>>,
    discard: Discard<T>,
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
        !self.shared.borrow().is_pending()
    }
}

impl<T> Future for PromiseFuture<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waker = Some(cx.waker().clone());
        let text = "a PromiseFuture was polled after it was ready";
        self.shared.borrow_mut().poll(&mut waker, text)
    }
}

impl<T> Drop for PromiseFuture<T> {
    fn drop(&mut self) {
        let left = self.shared.borrow_mut().close();
        (self.discard)(left);
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("cancelled", &self.cancelled()).finish()
    }
}

impl<T> fmt::Debug for PromiseFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromiseFuture").field("done", &self.done()).finish()
    }
}
