//! Tasks: futures that a loop polls until they are done.
//!
//! # Who holds what
//!
//! A task is one allocation: what the run queue knows of it ([`TaskHeader`]), what its handle asks ([`cell`]), and the location where
//! first its future is and then its result. The loop has it among its tasks until it ends, the line has it while it stands there,
//! and the [`Task`] that the user got has it to the end. A [`Link`](cancel::Link) is what a [`CancelHandle`] and a [`TaskGroup`] have
//! of a task: it finds the task by its key until that ends, and keeps neither a future nor a result alive. A waker is a number ([`TaskWaker`]): from whatever thread and however
//! late, it keeps neither a future nor a result alive, and finds nobody where the task has ended.
//!
//! # The states of a task
//!
//! ```text
//!            step                 Pending
//!   Idle ───────────▶ Running ───────────────▶ Idle
//!    │ cancel            │ cancel, from inside the step
//!    ▼                   ▼
//!   Cancelling      Cancelling ──▶ ended when the step returns, as cancelled whatever it returned
//!    │
//!    ▼
//!   Ended: the future is dropped first, then the result settled, then who waits for it is told
//! ```

mod cancel;
mod cell;
mod group;
mod handle;
mod promise;

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Waker;

pub use cancel::CancelHandle;
pub use group::TaskGroup;
pub use handle::Task;
pub(crate) use promise::promise;
pub use promise::{Promise, PromiseFuture};

use crate::remote;
use crate::run_queue::{self, RunQueue, Runnable, Step, StepOutcome, TaskHeader};
use crate::sys::task_cell::{FutureOrOutput, WithHeader};
use crate::sys::waker::{self, WakesNumber};
use cell::{TaskCell, TaskState};

/// What it is to wake a task: from any thread, at any time, also after the task and the loop are gone.
struct TaskWaker;

impl WakesNumber for TaskWaker {
    fn wake(number: u64) {
        if !run_queue::wake_local(number) {
            remote::wake(number);
        }
    }
}

/// The location of the future that the loop runs until it is complete: it is with who runs it.
struct Root;

impl Step for Root {
    fn step(self: Pin<&Self>, _: &TaskHeader, _: &Waker) -> StepOutcome {
        StepOutcome::PollRoot
    }

    fn cancel(self: Pin<&Self>, _: &TaskHeader) -> bool {
        false
    }

    fn end_cancelled(self: Pin<&Self>, _: &TaskHeader) {}
}

pub(crate) struct Tasks {
    run_queue: Rc<RunQueue>,
    closed: Cell<bool>,
    steps: Cell<u64>,
}

impl Tasks {
    pub(crate) fn new(run_queue: Rc<RunQueue>) -> Tasks {
        Tasks {
            run_queue,
            closed: Cell::new(false),
            steps: Cell::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.run_queue.task_count()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Takes a future in and queues its first step. A closed loop's is dropped at once and ends as cancelled.
    #[track_caller]
    pub(crate) fn create<F: Future + 'static>(&self, future: F) -> Task<F::Output> {
        let state = TaskState::new(self.run_queue.clone());
        let cell = FutureOrOutput::new(future);
        let task: Pin<Rc<WithHeader<TaskHeader, TaskCell<F>>>> =
            WithHeader::pin(TaskHeader::new(), WithHeader::new(state, cell));
        if self.closed.get() || self.run_queue.is_inherited() {
            let task: Runnable = task.clone();
            self.run_queue.register(&task);
            task.as_ref().body().cancel(task.head());
        } else {
            self.run_queue.register_and_queue(task.clone());
        }
        Task::new(task)
    }

    /// A location for the future that the loop runs until it is complete, its first step queued.
    #[track_caller]
    pub(crate) fn create_root(&self) -> Runnable {
        let root: Runnable = WithHeader::pin(TaskHeader::new(), Root);
        self.run_queue.register_and_queue(root.clone());
        root
    }

    pub(crate) fn remove_root(&self, root: &Runnable) {
        self.run_queue.unregister(root.head());
    }

    /// Polls a task once, or has `root` polled, and says what it was. One that has ended meanwhile was in the line for nothing.
    pub(crate) fn step(&self, task: &Runnable, root: &mut dyn FnMut(&Waker)) -> &'static str {
        if let Some(key) = task.head().key() {
            let waker = waker::of_number::<TaskWaker>(self.run_queue.id().waker_number(key));
            match task.as_ref().body().step(task.head(), &waker) {
                StepOutcome::Done => self.steps.set(self.steps.get() + 1),
                StepOutcome::PollRoot => {
                    root(&waker);
                    return "run_until_complete";
                }
            }
        }
        "task"
    }

    /// Cancels all tasks but the one that is being polled, for the last of a program that returns from its main task.
    pub(crate) fn cancel_all(&self) {
        for task in self.run_queue.all_tasks() {
            task.as_ref().body().cancel(task.head());
        }
    }

    /// Cancels all tasks, and all that come later at once.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.cancel_all();
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("live", &self.len()).finish()
    }
}
