//! Tasks: futures that a loop polls until they are done.
//!
//! # Who holds what
//!
//! A task is one allocation, the task cell. It has two parts:
//!
//! - [`TaskHeader`]: the task's key, whether it is queued, the phase, the waker of the awaiting
//!   task, and the link.
//! - [`FutureOrOutput`]: the future, and after its end the result.
//!
//! These hold a task cell:
//!
//! - the loop's table of tasks, until the task has ended;
//! - the run queue, while the task is queued;
//! - the user's [`Task`], until it is dropped.
//!
//! These only refer to a task, and keep neither its future nor its result alive:
//!
//! - A [`CancelHandle`] and a [`TaskGroup`] share a [`TaskLink`](run_queue::TaskLink), which
//!   refers to the task until the task has ended.
//! - A waker is a number ([`TaskWaker`]), which any thread may keep. After the task's end it finds
//!   no task.
//!
//! # The states of a task
//!
//! ```text
//!            step             pending
//!   Idle ───────────▶ Running ───────────▶ Idle
//!    │                  │   │
//!    │ cancel           │   │ ready or panic
//!    │                  │   └──────────────▶ Ended
//!    │                  │ cancel, from inside the step
//!    ▼                  ▼
//!   Cancelling       Cancelling ───────────▶ Ended as cancelled, after the step returns
//!    │
//!    └─────────────────────────────────────▶ Ended as cancelled
//! ```
//!
//! At its end a task drops its future, then stores its result, and then wakes the awaiting task.

mod cancel;
mod cell;
mod group;
mod handle;
mod promise;

use std::pin::Pin;
use std::rc::Rc;
use std::task::Waker;

pub use cancel::CancelHandle;
pub use group::TaskGroup;
pub use handle::Task;
pub(crate) use promise::promise;
pub use promise::{Promise, PromiseFuture};

use crate::remote;
use crate::run_queue::{self, RunQueue, Runnable, Step, TaskHeader};
use crate::sys::task_cell::{FutureOrOutput, WithHeader};
use crate::sys::waker::{self, WakeById};
use cell::TaskBody;

/// Wakes tasks by their numbers.
///
/// A waker works on any thread, and after the task's end and the loop's.
struct TaskWaker;

impl WakeById for TaskWaker {
    fn wake(number: u64) {
        if !run_queue::wake_local(number) {
            remote::wake(number);
        }
    }
}

/// The task of `run_until_complete`, whose future `root` of [`RunQueue::step`] polls.
struct RootTask;

impl Step for RootTask {
    fn step(self: Pin<&Self>, _: &TaskHeader, _: &Waker) -> bool {
        false
    }

    fn cancel(self: Pin<&Self>, _: &TaskHeader) -> bool {
        false
    }
}

impl RunQueue {
    /// Creates a task and queues its first step. On a closed loop the task is cancelled at once.
    #[track_caller]
    pub(crate) fn create_task<F: Future + 'static>(
        self: &Rc<RunQueue>,
        future: F,
    ) -> Task<F::Output> {
        let task: Pin<Rc<WithHeader<TaskHeader, TaskBody<F>>>> =
            WithHeader::pin(TaskHeader::new(self.clone()), FutureOrOutput::new(future));
        if !self.register(task.clone()) {
            task.as_ref().body().cancel(task.head());
        }
        Task { cell: task }
    }

    /// Creates the task of `run_until_complete`, and queues its first step.
    #[track_caller]
    pub(crate) fn create_root(self: &Rc<RunQueue>) -> Runnable {
        let root: Runnable = WithHeader::pin(TaskHeader::new(self.clone()), RootTask);
        self.register(root.clone());
        root
    }

    /// Polls a task, unless it has ended. Calls `root` to poll the future of `run_until_complete`.
    ///
    /// Returns the kind of the task, for the log of debug mode.
    pub(crate) fn step(&self, task: &Runnable, root: &mut dyn FnMut(&Waker)) -> &'static str {
        let Some(key) = task.head().key.get() else {
            return "task";
        };
        let waker = waker::from_id::<TaskWaker>(self.id.waker_number(key));
        if task.as_ref().body().step(task.head(), &waker) {
            return "task";
        }
        root(&waker);
        "run_until_complete"
    }
}
