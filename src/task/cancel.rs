//! Cancel handles, and the part of a task that outlives its future and its result.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::ready::{Callback, Ready};
use crate::slots::Key;

/// Called when a task of a group has ended, with whether it panicked.
type GroupCallback = Box<dyn FnOnce(bool)>;

/// The part of a task that its cancel handles share, and whom its end concerns.
///
/// It finds the task by its key among the tasks of the loop, so it keeps neither the future nor the
/// result. A task has one only if it needs it.
pub(super) struct Link {
    /// The loop's queue and the task's key there, until the task has ended.
    task: RefCell<Option<(Rc<Ready>, Key)>>,
    cancelled: Cell<bool>,
    callbacks: RefCell<Vec<Rc<dyn Callback>>>,
    group: Cell<Option<GroupCallback>>,
}

impl Link {
    pub(super) fn new(task: Option<(Rc<Ready>, Key)>, cancelled: bool) -> Link {
        Link {
            task: RefCell::new(task),
            cancelled: Cell::new(cancelled),
            callbacks: RefCell::default(),
            group: Cell::new(None),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.task.borrow().is_none()
    }

    pub(super) fn cancel(&self) -> bool {
        let task = self.task.borrow().clone();
        let task = task.and_then(|(ready, key)| ready.task(key));
        task.is_some_and(|task| task.as_ref().body().cancel(task.head()))
    }

    /// Adds a callback for the end of a task that has not ended.
    pub(super) fn add_callback(&self, callback: Rc<dyn Callback>) {
        self.callbacks.borrow_mut().push(callback);
    }

    /// Calls `ended` when the task ends, and tells it whether the task panicked.
    pub(super) fn set_group(&self, ended: impl FnOnce(bool) + 'static) {
        self.group.set(Some(Box::new(ended)));
    }

    /// Queues the callbacks and tells the group. The task's key is invalid from here on.
    pub(super) fn end(&self, cancelled: bool, panicked: bool) {
        self.cancelled.set(cancelled);
        let Some((ready, _)) = self.task.take() else {
            return;
        };
        for callback in self.callbacks.take() {
            ready.push(callback);
        }
        if let Some(ended) = self.group.take() {
            ended(panicked);
        }
    }
}

/// A handle that cancels a task, from [`Task::cancel_handle`](crate::Task::cancel_handle).
///
/// It cancels a task whose [`Task`](crate::Task) is awaited elsewhere or was dropped. Its clones
/// name the same task. It keeps neither the future nor the result: once the task has ended, it
/// holds about 100 bytes. Dropping it does not cancel the task.
///
/// It works in the task itself, in destructors, and after the loop is closed. It stays on the
/// loop's thread, as the task does; another thread can cancel the task through
/// [`Remote::call_soon_threadsafe`](crate::Remote::call_soon_threadsafe) and a table of handles
/// on the loop's thread, or through a channel that a task on the loop receives from.
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
    link: Rc<Link>,
}

impl CancelHandle {
    pub(super) fn new(link: Rc<Link>) -> CancelHandle {
        CancelHandle { link }
    }

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
        self.link.cancel()
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
        self.link.is_ended()
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
