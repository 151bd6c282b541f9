//! Cancel handles.

use std::fmt;
use std::rc::Rc;

use crate::run_queue::TaskLink;

/// A handle that cancels a task, from [`Task::cancel_handle`](crate::Task::cancel_handle).
///
/// It cancels a task whose [`Task`](crate::Task) is awaited elsewhere or was dropped. All its
/// clones cancel the same task. It keeps neither the future nor the result alive: after the task's
/// end, it holds about 100 bytes. Dropping it does not cancel the task.
///
/// It works in the task itself, in destructors, and after the loop is closed. It stays on the
/// loop's thread, like the task. To cancel a task from another thread, keep a table of handles on
/// the loop's thread and use [`Remote::call_soon_threadsafe`](crate::Remote::call_soon_threadsafe).
/// Or send the request through a channel to a task of the loop.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let event_loop = sendloop::Loop::new()?;
/// let task = event_loop.create_task(std::future::pending::<()>());
/// let cancel_handle = task.cancel_handle();
/// let waits = event_loop.create_task(async move { task.await.unwrap_err().is_cancelled() });
///
/// event_loop.call_soon(move || assert!(cancel_handle.cancel()));
/// assert!(event_loop.run_until_complete(waits).unwrap());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "AbortHandle")]
pub struct CancelHandle {
    pub(super) link: Rc<TaskLink>,
}

impl CancelHandle {
    /// Cancels the task, as [`Task::cancel`](crate::Task::cancel) does.
    ///
    /// Returns false if the task had ended already.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let cancel_handle = event_loop.create_task(std::future::pending::<()>()).cancel_handle();
    /// assert!(cancel_handle.cancel());
    /// assert!(!cancel_handle.cancel());
    /// ```
    #[doc(alias = "abort")]
    pub fn cancel(&self) -> bool {
        let task = self.link.task.borrow().clone();
        task.is_some_and(|task| task.as_ref().body().cancel(task.head()))
    }

    /// Returns true if the task ended because it was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let task = event_loop.create_task(async { 1 });
    /// let cancel_handle = task.cancel_handle();
    /// event_loop.run_until_complete(task).unwrap();
    /// assert!(cancel_handle.done() && !cancel_handle.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        self.link.cancelled.get()
    }

    /// Returns true if the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let cancel_handle = event_loop.create_task(std::future::pending::<()>()).cancel_handle();
    /// assert!(!cancel_handle.done());
    /// drop(event_loop);
    /// assert!(cancel_handle.done());
    /// ```
    #[doc(alias = "is_finished")]
    pub fn done(&self) -> bool {
        self.link.task.borrow().is_none()
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("done", &self.done())
            .field("cancelled", &self.cancelled())
            .finish()
    }
}
