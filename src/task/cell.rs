//! The state of a task, and what happens to a task from its first poll to its end.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::cancel::TaskLink;
use super::handle::Join;
use crate::error::{TaskError, bounded, wake};
use crate::exceptions::ExceptionContext;
use crate::nesting::{self, Kind};
use crate::run_queue::{Callback, RunQueue, Step, TaskHeader};
use crate::sys::task_cell::{FutureOrOutput, WithHeader};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
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

/// The part of a task cell that does not depend on the types of the future and the result.
pub(super) struct TaskState {
    phase: Cell<Phase>,
    /// True if the result was taken, or the [`Task`](super::Task) was dropped.
    detached: Cell<bool>,
    /// The waker of the task that awaits this one.
    pub(super) joiner: Cell<Option<Waker>>,
    /// The part that cancel handles share. Created for the first cancel handle or done callback, so
    /// that other tasks stay small.
    link: Cell<Option<Rc<TaskLink>>>,
    pub(super) run_queue: Rc<RunQueue>,
}

impl TaskState {
    pub(super) fn new(run_queue: Rc<RunQueue>) -> TaskState {
        TaskState {
            phase: Cell::new(Phase::Idle),
            detached: Cell::new(false),
            joiner: Cell::new(None),
            link: Cell::new(None),
            run_queue,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.phase.get(), Phase::Ended { .. })
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.phase.get() == Phase::Ended { cancelled: true }
    }

    /// Returns the task's link, and creates the link if there is none.
    pub(super) fn link(&self, header: &TaskHeader) -> Rc<TaskLink> {
        let link = self.link.take().unwrap_or_else(|| {
            let key = header.key.get().filter(|_| !self.is_ended());
            let task = key.map(|key| (self.run_queue.clone(), key));
            Rc::new(TaskLink {
                task: RefCell::new(task),
                cancelled: Cell::new(self.is_cancelled()),
                ..TaskLink::default()
            })
        });
        self.link.set(Some(link.clone()));
        link
    }

    pub(super) fn on_end(&self, header: &TaskHeader, callback: Rc<dyn Callback>) {
        if self.is_ended() {
            self.run_queue.push(callback);
        } else {
            self.link(header).callbacks.borrow_mut().push(callback);
        }
    }

    /// Marks the task as ended, ends its link, and wakes the task that awaits it.
    fn end(&self, cancelled: bool, panicked: bool) {
        self.phase.set(Phase::Ended { cancelled });
        if let Some(link) = self.link.take() {
            link.end(cancelled, panicked);
        }
        if let Some(waker) = self.joiner.take() {
            wake(waker);
        }
    }
}

/// Keeps a clone of `waker` in `slot`, unless the waker in the slot wakes the same task.
pub(super) fn keep_waker(slot: &Cell<Option<Waker>>, waker: &Waker) {
    let old_waker = slot.take();
    let is_same = old_waker.as_ref().is_some_and(|it| it.will_wake(waker));
    slot.set(old_waker);
    if !is_same {
        // Cloning and dropping a waker may run foreign code, which may take and wake the waker of
        // the slot. So the slot always has a waker meanwhile.
        let new_waker = waker.clone();
        drop(slot.replace(Some(new_waker)));
    }
}

/// A task cell without its header: the state, and the future or output.
pub(super) type TaskBody<F> = WithHeader<TaskState, TaskContent<F>>;

type TaskContent<F> = FutureOrOutput<F, TaskResult<<F as Future>::Output>>;
type TaskResult<T> = Result<T, TaskError>;

impl<F: Future + 'static> Step for TaskBody<F> {
    fn step(
        self: Pin<&Self>,
        header: &TaskHeader,
        waker: &Waker,
        _: &mut dyn FnMut(&Waker),
    ) -> &'static str {
        let state = self.get_ref().head();
        let steps = &state.run_queue.steps;
        steps.set(steps.get() + 1);
        if state.phase.get() != Phase::Idle {
            return "task";
        }
        state.phase.set(Phase::Running);
        let cx = &mut Context::from_waker(waker);
        let mut value = None;
        // Catching panics of the poll and of the drop apart would cost 3 ns more.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(Poll::Ready(ready)) = self.body().poll(cx) {
                value = Some(ready);
                self.body().clear();
            }
        }));
        match (value, polled) {
            (Some(value), dropped) => {
                let exceptions = &state.run_queue.exceptions;
                if let Err(panic) = dropped {
                    exceptions.contain(PANIC_IN_DROP, || resume_unwind(panic));
                }
                settle(self, header, Ok(value));
            }
            (None, Err(panic)) => end(self, header, TaskError::panic(panic)),
            (None, Ok(())) if state.phase.get() == Phase::Running => state.phase.set(Phase::Idle),
            (None, Ok(())) => end(self, header, TaskError::cancelled()),
        }
        "task"
    }

    fn cancel(self: Pin<&Self>, header: &TaskHeader) -> bool {
        let state = self.get_ref().head();
        let phase = &state.phase;
        match phase.get() {
            Phase::Ended { .. } => return false,
            Phase::Running | Phase::Cancelling => phase.set(Phase::Cancelling),
            Phase::Idle => {
                phase.set(Phase::Cancelling);
                let too_deep = nesting::is_full(Kind::Cancel);
                let key = header.key.get().filter(|_| too_deep);
                match key.and_then(|key| state.run_queue.task(key)) {
                    Some(task) => {
                        nesting::queue(move || task.as_ref().body().end_cancelled(task.head()));
                    }
                    None => self.end_cancelled(header),
                }
            }
        }
        true
    }

    fn end_cancelled(self: Pin<&Self>, header: &TaskHeader) {
        nesting::run(Kind::Cancel, || {
            end(self, header, TaskError::cancelled());
        });
    }
}

impl<F: Future + 'static> Join<F::Output> for TaskBody<F> {
    fn state(&self) -> &TaskState {
        self.head()
    }

    fn take(self: Pin<&Self>) -> Option<TaskResult<F::Output>> {
        self.get_ref().head().detached.set(true);
        self.body().take()
    }

    fn detach(self: Pin<&Self>, header: &TaskHeader) {
        let state = self.get_ref().head();
        if !state.detached.replace(true) && state.is_ended() {
            dispose::<F>(state, header, &self.body());
        }
    }
}

const PANIC_IN_DROP: &str = "panic while a task's future was dropped";

/// Drops the future of a task that has no output, and ends the task with `error`.
fn end<F: Future + 'static>(task: Pin<&TaskBody<F>>, header: &TaskHeader, error: TaskError) {
    let exceptions = &task.get_ref().head().run_queue.exceptions;
    exceptions.contain(PANIC_IN_DROP, || task.body().clear());
    settle(task, header, Err(error));
}

/// Ends a task whose future was dropped: stores the result and wakes the awaiting task.
fn settle<F: Future + 'static>(
    task: Pin<&TaskBody<F>>,
    header: &TaskHeader,
    result: TaskResult<F::Output>,
) {
    let (state, content) = (task.get_ref().head(), task.body());
    let run_queue = &state.run_queue;
    // This reads the phase only now, because a destructor of the dropped future may have cancelled
    // the task.
    let cancelled = state.phase.get() == Phase::Cancelling;
    let panicked = !cancelled && result.as_ref().is_err_and(TaskError::is_panic);
    if cancelled {
        let message = "panic in a task that was being cancelled";
        report_or_drop(run_queue, header.location, message, result);
        content.set(Err(TaskError::cancelled()));
    } else {
        content.set(result);
    }
    // No user code runs between these two calls. So a link finds its task until the task has ended.
    run_queue.unregister(header);
    state.end(cancelled, panicked);
    if state.detached.get() {
        dispose::<F>(state, header, &content);
    }
}

/// Drops a result that no task awaits, on bounded stack. If the result is a panic, reports it.
fn dispose<F: Future + 'static>(state: &TaskState, header: &TaskHeader, content: &TaskContent<F>) {
    let Some(result) = content.take() else {
        return;
    };
    if result.is_ok() && !mem::needs_drop::<F::Output>() {
        return;
    }
    let (run_queue, location) = (state.run_queue.clone(), header.location);
    bounded(Kind::Drop, "while a result was dropped", move || {
        let message = "panic in a task whose result nobody took";
        report_or_drop(&run_queue, location, message, result);
    });
}

/// Reports a result that is a panic, with `message`. Drops any other result.
fn report_or_drop<T>(
    run_queue: &RunQueue,
    location: &'static Location<'static>,
    message: &'static str,
    result: TaskResult<T>,
) {
    let exceptions = &run_queue.exceptions;
    match result.map_err(TaskError::try_into_panic) {
        Err(Ok(panic)) => {
            exceptions.report(&ExceptionContext::of_panic(message, panic, Some(location)));
        }
        Err(Err(_no_panic)) => {}
        Ok(value) => exceptions.contain("panic while a result was dropped", || drop(value)),
    }
}
