//! The part of a task cell that does not depend on the types of the future and the result.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;

use super::{RunQueue, Runnable};
use crate::error::wake;
use crate::slots::Key;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The task waits for its next step.
    Idle,
    /// The loop polls the task, or drops its future after the last poll.
    Running,
    /// The task was cancelled, but has not ended.
    Cancelling,
    Ended {
        cancelled: bool,
    },
}

pub(crate) struct TaskHeader {
    /// The key in the table of tasks, or `None` after the task's end.
    pub(crate) key: Cell<Option<Key>>,
    /// True while the task is in the queue.
    pub(super) queued: Cell<bool>,
    /// The location that created the task, for logs.
    pub(crate) location: &'static Location<'static>,
    pub(crate) phase: Cell<Phase>,
    /// True if the [`Task`](crate::Task) was dropped before the task's end.
    pub(crate) detached: Cell<bool>,
    /// The waker of the task that awaits this one.
    pub(crate) joiner: Cell<Option<Waker>>,
    /// The part that cancel handles share. Created for the first cancel handle or done callback, so
    /// that other tasks stay small.
    link: Cell<Option<Rc<TaskLink>>>,
    pub(crate) run_queue: Rc<RunQueue>,
}

/// The part of a task that its cancel handles share, with the callbacks for its end.
///
/// A task has a link only if it needs one.
pub(crate) struct TaskLink {
    /// The task, until it has ended. After that, the link keeps neither the future nor the result
    /// alive.
    pub(crate) task: RefCell<Option<Runnable>>,
    pub(crate) cancelled: Cell<bool>,
    callbacks: RefCell<Vec<EndCallback>>,
}

/// Called when a task has ended. The argument is true if the task panicked.
type EndCallback = Box<dyn FnOnce(bool)>;

impl TaskHeader {
    #[track_caller]
    pub(crate) fn new(run_queue: Rc<RunQueue>) -> TaskHeader {
        TaskHeader {
            key: Cell::new(None),
            queued: Cell::new(false),
            location: Location::caller(),
            phase: Cell::new(Phase::Idle),
            detached: Cell::new(false),
            joiner: Cell::new(None),
            link: Cell::new(None),
            run_queue,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase.get(), Phase::Ended { .. })
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.phase.get() == Phase::Ended { cancelled: true }
    }

    /// Returns the task itself, until it has ended.
    pub(crate) fn task(&self) -> Option<Runnable> {
        self.run_queue.tasks.borrow().get(self.key.get()?).cloned()
    }

    /// Returns the task's link, and creates the link if there is none.
    pub(crate) fn link(&self) -> Rc<TaskLink> {
        let link = self.link.take().unwrap_or_else(|| {
            let (task, cancelled) = (RefCell::new(self.task()), Cell::new(self.is_cancelled()));
            Rc::new(TaskLink { task, cancelled, callbacks: RefCell::default() })
        });
        self.link.set(Some(link.clone()));
        link
    }

    /// Calls `callback` when the task ends, or now if it has ended.
    pub(crate) fn on_end(&self, callback: impl FnOnce(bool) + 'static) {
        if self.is_ended() {
            callback(false);
        } else {
            self.link().callbacks.borrow_mut().push(Box::new(callback));
        }
    }

    /// Marks the task as ended, calls its callbacks, and wakes the task that awaits it.
    pub(crate) fn end(&self, cancelled: bool, panicked: bool) {
        // No user code runs before the phase is set. So a link finds its task until then.
        self.run_queue.unregister(self);
        self.phase.set(Phase::Ended { cancelled });
        if let Some(link) = self.link.take() {
            link.cancelled.set(cancelled);
            drop(link.task.take());
            for callback in link.callbacks.take() {
                let message = "panic while a callback was dropped";
                self.run_queue.exceptions.contain(message, || callback(panicked));
            }
        }
        if let Some(waker) = self.joiner.take() {
            wake(waker);
        }
    }
}
