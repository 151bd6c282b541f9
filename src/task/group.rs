//! Task groups: asyncio's `TaskGroup`.
//!
//! The group owns the [`Task`]s. When a task ends, it passes its key to the group. So the cost of a
//! task and of a result does not depend on the number of tasks in the group.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Task;
use super::cancel::CancelHandle;
use crate::error::{TaskError, wake};
use crate::run_queue::RunQueue;
use crate::slots::{Key, Slots};

/// The tasks of a group. A running task has a weak reference to them.
struct Members<T> {
    /// The tasks whose result `join_next` has not returned.
    tasks: RefCell<Slots<Task<T>>>,
    /// The keys of the tasks that have ended, in the order of their ends.
    ended: RefCell<VecDeque<Key>>,
    /// True if a task panicked or the group was cancelled. A new task is cancelled at once then.
    shut_down: Cell<bool>,
    /// The waker of the task that waits in `join_next`.
    joiner: Cell<Option<Waker>>,
}

impl<T> Members<T> {
    fn end(&self, key: Key, panicked: bool) {
        self.ended.borrow_mut().push_back(key);
        if panicked && !self.shut_down.get() {
            self.cancel();
        }
        if let Some(waker) = self.joiner.take() {
            wake(waker);
        }
    }

    fn cancel(&self) {
        self.shut_down.set(true);
        // A destructor may create another task, so the tasks are not borrowed while it runs.
        let tasks = self.tasks.borrow();
        let live = tasks.values().filter(|task| !task.done());
        let handles: Vec<CancelHandle> = live.map(Task::cancel_handle).collect();
        drop(tasks);
        for handle in handles {
            handle.cancel();
        }
    }
}

/// A group of tasks that end together, from [`task_group`](crate::LoopHandle::task_group).
///
/// [`join_next`](TaskGroup::join_next) returns the result of each task, in the order in which the
/// tasks end. The group keeps each result until then. If a task panics, the group cancels the
/// others. Dropping the group cancels its tasks, so no task outlives the function that owns the
/// group.
///
/// After a panic or [`cancel`](TaskGroup::cancel) the group is shut down: it cancels each new task
/// at once. A [`CancelHandle`] cancels one task and leaves the others alone.
///
/// The difference from asyncio: only a panic cancels the group. An `Err` that a task returns does
/// not. To end the group at the first `Err`, return from the function that owns it, as the example
/// does. Dropping the group does not wait, because it ends the tasks at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sendloop::LoopHandle;
///
/// async fn total(event_loop: &LoopHandle) -> std::io::Result<u32> {
///     let mut group = event_loop.task_group();
///     for part in 1..=3 {
///         let sleep = event_loop.sleep(Duration::from_millis(part));
///         group.create_task(async move {
///             sleep.await;
///             Ok::<_, std::io::Error>(part as u32)
///         });
///     }
///     let mut total = 0;
///     while let Some(result) = group.join_next().await {
///         total += result??; // A panic or an error of one task cancels the others.
///     }
///     Ok(total)
/// }
///
/// # fn main() -> std::io::Result<()> {
/// assert_eq!(sendloop::run(async |event_loop| total(&event_loop).await)??, 6);
/// # Ok(())
/// # }
/// ```
///
/// A result may lead to more tasks:
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// sendloop::run(async |event_loop| {
///     let mut group = event_loop.task_group();
///     group.create_task(async { 3 });
///     let mut visited = Vec::new();
///     while let Some(result) = group.join_next().await {
///         let page = result.unwrap();
///         visited.push(page);
///         for link in 0..page {
///             group.create_task(async move { link });
///         }
///     }
///     assert_eq!(visited, [3, 0, 1, 2, 0, 0, 1, 0]);
/// })
/// # }
/// ```
#[doc(alias("JoinSet", "nursery"))]
#[must_use = "dropping a task group cancels its tasks"]
pub struct TaskGroup<T> {
    run_queue: Rc<RunQueue>,
    members: Rc<Members<T>>,
}

impl<T> TaskGroup<T> {
    pub(crate) fn new(run_queue: Rc<RunQueue>) -> TaskGroup<T> {
        TaskGroup {
            run_queue,
            members: Rc::new(Members {
                tasks: RefCell::default(),
                ended: RefCell::default(),
                shut_down: Cell::new(false),
                joiner: Cell::new(None),
            }),
        }
    }

    /// Runs a future on the loop as a task of the group, from the next iteration on.
    ///
    /// [`join_next`](TaskGroup::join_next) returns its result, so this returns a handle that only
    /// cancels the task. If the group is shut down or the loop is closed, the future is dropped at
    /// once, and the result is cancelled; asyncio raises `RuntimeError`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let mut group = event_loop.task_group();
    ///     let cancel_handle = group.create_task(std::future::pending());
    ///     group.create_task(async { "done" });
    ///
    ///     assert_eq!(group.join_next().await.unwrap().unwrap(), "done");
    ///     cancel_handle.cancel();
    ///     assert!(group.join_next().await.unwrap().unwrap_err().is_cancelled());
    ///     assert!(group.join_next().await.is_none());
    /// })
    /// # }
    /// ```
    #[doc(alias("spawn", "spawn_local"))]
    #[track_caller]
    pub fn create_task(&self, future: impl IntoFuture<Output = T> + 'static) -> CancelHandle
    where
        T: 'static,
    {
        let task = self.run_queue.create_task(future.into_future());
        let (handle, cell) = (task.cancel_handle(), task.cell.clone());
        let key = self.members.tasks.borrow_mut().insert(task);
        let members = Rc::downgrade(&self.members);
        cell.head().on_end(move |panicked| {
            if let Some(members) = members.upgrade() {
                members.end(key, panicked);
            }
        });
        if self.members.shut_down.get() {
            handle.cancel();
        }
        handle
    }

    /// Waits for the next task that ends, and returns its result.
    ///
    /// Results come in the order in which the tasks end. Each task has a result, even if it is
    /// cancelled. After the last result, the method returns `None`.
    ///
    /// # Errors
    ///
    /// A [`TaskError`] inside `Some` if the task panicked or was cancelled. Closing the loop
    /// cancels the tasks, so it ends the wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no result: the next call returns it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let mut group = event_loop.task_group();
    ///     group.create_task(async { panic!("no") });
    ///     group.create_task(std::future::pending::<()>());
    ///
    ///     assert!(group.join_next().await.unwrap().unwrap_err().is_panic());
    ///     // The panic cancelled the other task.
    ///     assert!(group.join_next().await.unwrap().unwrap_err().is_cancelled());
    ///     assert!(group.join_next().await.is_none());
    /// })
    /// # }
    /// ```
    pub async fn join_next(&mut self) -> Option<Result<T, TaskError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// Polls for the result that [`join_next`](TaskGroup::join_next) waits for.
    ///
    /// The group wakes only the waker of the last call. Unlike `join_next`, a call does not borrow
    /// the group during the wait, so a task can add tasks to its own group.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::future::poll_fn;
    /// use std::rc::Rc;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let group = Rc::new(RefCell::new(event_loop.task_group()));
    ///     // A task that held an `Rc` would keep its own group alive.
    ///     let own = Rc::downgrade(&group);
    ///     group.borrow().create_task(async move {
    ///         own.upgrade().unwrap().borrow().create_task(async { 2 });
    ///         1
    ///     });
    ///     let mut results = Vec::new();
    ///     while let Some(result) = poll_fn(|cx| group.borrow_mut().poll_join_next(cx)).await {
    ///         results.push(result.unwrap());
    ///     }
    ///     assert_eq!(results, [1, 2]);
    /// })
    /// # }
    /// ```
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, TaskError>>> {
        let members = &*self.members;
        // In a forked child no loop ends a task of the parent.
        if self.run_queue.is_inherited() && !members.shut_down.get() {
            members.cancel();
        }
        if members.ended.borrow().is_empty() && !self.is_empty() {
            // Cloning and dropping a waker may run foreign code, which may end a task.
            let waker = cx.waker().clone();
            drop(members.joiner.replace(Some(waker)));
        }
        let ended = members.ended.borrow_mut().pop_front();
        let task = ended.and_then(|key| members.tasks.borrow_mut().remove(key));
        match task {
            Some(mut task) => Pin::new(&mut task).poll(cx).map(Some),
            None if self.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Cancels all tasks and shuts the group down.
    ///
    /// Like [`Task::cancel`], this drops the futures before it returns. A task that calls this ends
    /// at its next await. [`join_next`](TaskGroup::join_next) still returns every result.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let mut group = event_loop.task_group();
    ///     group.create_task(std::future::pending::<()>());
    ///     group.cancel();
    ///     assert!(group.join_next().await.unwrap().unwrap_err().is_cancelled());
    /// })
    /// # }
    /// ```
    #[doc(alias("abort_all", "shutdown"))]
    pub fn cancel(&self) {
        self.members.cancel();
    }

    /// Returns the number of tasks whose result [`join_next`](TaskGroup::join_next) has not
    /// returned.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let mut group = event_loop.task_group();
    ///     group.create_task(async {});
    ///     event_loop.sleep(std::time::Duration::ZERO).await;
    ///     assert_eq!(group.len(), 1); // It has ended, and its result is still here.
    ///     group.join_next().await;
    ///     assert_eq!(group.len(), 0);
    /// })
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.members.tasks.borrow().len()
    }

    /// Returns true if `join_next` has returned every result.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let group = event_loop.task_group();
    /// assert!(group.is_empty());
    /// group.create_task(async {});
    /// assert!(!group.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for TaskGroup<T> {
    fn drop(&mut self) {
        self.members.cancel();
    }
}

impl<T> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("len", &self.len())
            .field("ended", &self.members.ended.borrow().len())
            .finish()
    }
}
