//! The handle of a task.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::cancel::{CancelHandle, Link};
use super::work::Life;
use crate::error::TaskError;
use crate::ready::{Call, Standing, Step};
use crate::sys::pinned::Headed;

/// A task as its handle has it: with the type of its result, without that of its future.
pub(super) trait Join<T>: Step {
    fn life(&self) -> &Life;
    /// The result, once.
    fn take(self: Pin<&Self>) -> Option<Result<T, TaskError>>;
    /// The handle is gone: nobody will take the result.
    fn detach(self: Pin<&Self>, standing: &Standing);
}

/// A future that runs on the loop on its own, from [`create_task`](crate::LoopHandle::create_task), and its result.
///
/// Awaiting it gives what the future gave, or a [`TaskError`]: it was cancelled, or it panicked. Dropping it detaches the task,
/// which goes on. asyncio keeps only weak references to tasks, so that a dropped one may vanish; here the loop owns them.
///
/// # Cancel safety
///
/// Awaiting `&mut task` may be given up and taken up again: the result is not lost.
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
pub struct Task<T> {
    work: Pin<Rc<Headed<Standing, dyn Join<T>>>>,
}

impl<T> Task<T> {
    pub(super) fn new(work: Pin<Rc<Headed<Standing, dyn Join<T>>>>) -> Task<T> {
        Task { work }
    }

    fn life(&self) -> &Life {
        Pin::get_ref(self.work.as_ref().body()).life()
    }

    pub(super) fn link(&self) -> Rc<Link> {
        self.life().link(self.work.head())
    }

    /// Returns a handle that cancels this task, also while another task awaits it.
    ///
    /// The difference from asyncio: awaiting a `Task` consumes or borrows it, so cancelling it from
    /// elsewhere needs a handle of its own.
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
        CancelHandle::new(self.link())
    }

    /// Cancels the task and says whether that had an effect: false if it was done.
    ///
    /// A destructor of the future may cancel the next task, and so on. Up to 32 such nested
    /// cancellations drop their futures before they return. Deeper ones are queued, so that a chain
    /// of any length needs a bounded stack. The outermost call drops them before it returns, also
    /// if a destructor panics.
    ///
    /// Its future is dropped before this returns, and with it what it was waiting for. A task that cancels itself, directly or
    /// through what it calls, goes on until its next await and is dropped there; it ends as cancelled also if it returns instead.
    ///
    /// The difference from asyncio: nothing is raised inside the task, so it cannot refuse; what it must do at its end belongs
    /// into a destructor. And asyncio's task ends a turn of the loop later.
    pub fn cancel(&self) -> bool {
        let task = self.work.as_ref();
        task.body().cancel(task.get_ref().head())
    }

    /// Whether the task was cancelled and has ended by that.
    pub fn cancelled(&self) -> bool {
        self.life().is_cancelled()
    }

    /// Whether the task has ended in whatever way.
    pub fn done(&self) -> bool {
        self.life().is_ended()
    }

    /// Has the loop call `callback` soon after the task has ended, or soon if it has. Those of one task are called in the order
    /// in which they were added.
    ///
    /// The difference from asyncio: the callback is not given the task, which may be awaited elsewhere.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce() + 'static) {
        self.life()
            .on_end(self.work.head(), Rc::new(Call::new(callback)));
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // In a forked child nothing else would ever end a task of the parent's.
        if !self.done() && self.life().is_inherited() {
            self.cancel();
        }
        if !self.done() {
            self.life().set_joiner(cx.waker());
            // Its end came with the waker's clone.
            if !self.done() {
                return Poll::Pending;
            }
        }
        match self.work.as_ref().body().take() {
            Some(result) => Poll::Ready(result),
            None => panic!("a Task was polled after it was ready"),
        }
    }
}

/// What nobody took goes with who could have taken it.
impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let task = self.work.as_ref();
        task.body().detach(task.get_ref().head());
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
