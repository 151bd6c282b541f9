//! The handle that a user gets for a task.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::cancel::CancelHandle;
use crate::error::TaskError;
use crate::run_queue::{Call, Step, TaskHeader};
use crate::sys::task_cell::WithHeader;

/// A task without the type of its future, as its handle uses it.
pub(super) trait Join<T>: Step {
    /// Takes the result. Returns `None` if the task has not ended or the result was taken.
    fn take(&self) -> Option<Result<T, TaskError>>;
    /// Drops the result, now or at the task's end, as the handle is gone.
    fn detach(&self, header: &TaskHeader);
}

/// A handle to a task, from [`create_task`](crate::LoopHandle::create_task).
///
/// Awaiting it returns the output of the task's future, or a [`TaskError`] if the task was
/// cancelled or panicked. Dropping it detaches the task, which goes on.
///
/// The difference from asyncio: the loop owns its tasks. asyncio keeps weak references, so a task
/// that the program does not keep may disappear.
///
/// # Cancel safety
///
/// Awaiting `&mut task` is cancel safe: if that wait is dropped, `task` can be awaited again.
///
/// # Examples
///
/// ```
/// use sendloop::Loop;
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::new()?;
/// let task = event_loop.create_task(async { 6 * 7 });
/// assert_eq!(event_loop.run_until_complete(task).unwrap(), 42);
///
/// let broken = event_loop.create_task(async { panic!("no") });
/// assert!(event_loop.run_until_complete(broken).unwrap_err().is_panic());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "JoinHandle")]
pub struct Task<T> {
    pub(super) cell: Pin<Rc<WithHeader<TaskHeader, dyn Join<T>>>>,
}

impl<T> Task<T> {
    /// Returns a handle that can cancel this task while another task awaits it.
    ///
    /// asyncio needs no such handle. Here, awaiting a `Task` consumes or borrows it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let task = event_loop.create_task(std::future::pending::<()>());
    ///     let cancel_handle = task.cancel_handle();
    ///     event_loop.call_soon(move || drop(cancel_handle.cancel()));
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// })
    /// # }
    /// ```
    #[doc(alias = "abort_handle")]
    #[must_use = "a cancel handle does nothing unless `cancel` is called"]
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle { link: self.cell.head().link() }
    }

    /// Cancels the task. Returns false if the task had ended already.
    ///
    /// The task's future is dropped before this returns. A task that cancels itself, directly or
    /// through a function that it calls, goes on until its next await, and is dropped there. If it
    /// returns before that, it still counts as cancelled.
    ///
    /// A destructor of the future may cancel another task, and so on. Up to 32 such nested calls
    /// drop their futures before they return. Deeper calls queue theirs, so that a chain of any
    /// length needs only a bounded stack. The outermost call drops the queued futures before it
    /// returns, even if a destructor panics.
    ///
    /// The difference from asyncio: the task gets no exception, so it cannot refuse. Put its
    /// cleanup into destructors. In asyncio, a task ends one iteration later.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let task = event_loop.create_task(std::future::pending::<()>());
    /// assert!(task.cancel());
    /// assert!(!task.cancel());
    /// ```
    #[doc(alias = "abort")]
    pub fn cancel(&self) -> bool {
        self.cell.as_ref().body().cancel(self.cell.head())
    }

    /// Returns true if the task ended because it was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let task = event_loop.create_task(std::future::pending::<()>());
    /// assert!(!task.cancelled());
    /// task.cancel();
    /// assert!(task.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        self.cell.head().is_cancelled()
    }

    /// Returns true if the task has ended: it returned, panicked, or was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let task = event_loop.create_task(async {});
    /// assert!(!task.done());
    /// event_loop.run_once(None).unwrap();
    /// assert!(task.done());
    /// ```
    #[doc(alias = "is_finished")]
    pub fn done(&self) -> bool {
        self.cell.head().is_ended()
    }

    /// Queues `callback` with the loop when the task ends, or now if it has ended.
    ///
    /// The callbacks of one task run in the order in which they were added.
    ///
    /// The difference from asyncio: the callback does not get the task, as the task may be awaited
    /// elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let handle = event_loop.handle();
    /// event_loop.create_task(async {}).add_done_callback(move || handle.stop());
    /// event_loop.run_forever();
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce() + 'static) {
        let run_queue = self.cell.head().run_queue.clone();
        let location = Location::caller();
        self.cell.head().on_end(move |_| {
            run_queue.push(Rc::new(Call::with_location(location, callback)));
        });
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // In a forked child no loop ends a task of the parent.
        let header = self.cell.head();
        if !self.done() && header.run_queue.is_inherited() {
            self.cancel();
        }
        if !self.done() {
            // Cloning and dropping a waker may run foreign code, which may end the task and wake
            // the waker in the header. So the header always has a waker meanwhile.
            let waker = cx.waker().clone();
            drop(header.joiner.replace(Some(waker)));
        }
        if !self.done() {
            return Poll::Pending;
        }
        match self.cell.as_ref().body().take() {
            Some(result) => Poll::Ready(result),
            None => panic!("a Task was polled after it was ready"),
        }
    }
}

/// Detaches the task. If the task has ended, this drops its result.
impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.cell.as_ref().body().detach(self.cell.head());
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("done", &self.done())
            .field("cancelled", &self.cancelled())
            .finish()
    }
}
