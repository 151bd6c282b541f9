//! The state of a task, and its steps from the first poll to the end.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::cancel::TaskLink;
use super::handle::Join;
use crate::error::{TaskError, wake};
use crate::exceptions::{ExceptionContext, Exceptions};
use crate::nesting::{self, Kind};
use crate::run_queue::{Callback, RunQueue, Step, StepOutcome, TaskHeader};
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
    joiner: Cell<Option<Waker>>,
    /// Created for the first cancel handle or callback, so that other tasks stay small.
    link: Cell<Option<Rc<TaskLink>>>,
    run_queue: Rc<RunQueue>,
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

    /// Returns whether this is a forked child that inherited the task.
    pub(super) fn is_inherited(&self) -> bool {
        self.run_queue.is_inherited()
    }

    pub(super) fn set_joiner(&self, waker: &Waker) {
        keep_waker(&self.joiner, waker);
    }

    /// Returns the task's link, and creates it if there is none.
    pub(super) fn link(&self, header: &TaskHeader) -> Rc<TaskLink> {
        let link = self.link.take().unwrap_or_else(|| {
            let key = header.key().filter(|_| !self.is_ended());
            let task = key.map(|key| (self.run_queue.clone(), key));
            Rc::new(TaskLink::new(task, self.is_cancelled()))
        });
        self.link.set(Some(link.clone()));
        link
    }

    pub(super) fn on_end(&self, header: &TaskHeader, callback: Rc<dyn Callback>) {
        if self.is_ended() {
            self.run_queue.push(callback);
        } else {
            self.link(header).add_callback(callback);
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

/// Keeps a clone of `waker` in `slot`, unless the waker there wakes the same task.
pub(super) fn keep_waker(slot: &Cell<Option<Waker>>, waker: &Waker) {
    let old_waker = slot.take();
    let is_same = old_waker.as_ref().is_some_and(|it| it.will_wake(waker));
    slot.set(old_waker);
    if !is_same {
        // Cloning and dropping a waker may run foreign code, which may wake the slot's waker. So
        // the slot is not empty then.
        let new_waker = waker.clone();
        drop(slot.replace(Some(new_waker)));
    }
}

/// A task cell without its header: the state, and the future or output.
pub(super) type TaskBody<F> = WithHeader<TaskState, TaskContent<F>>;

type TaskContent<F> = FutureOrOutput<F, TaskResult<<F as Future>::Output>>;
type TaskResult<T> = Result<T, TaskError>;

impl<F: Future + 'static> Step for TaskBody<F> {
    fn step(self: Pin<&Self>, header: &TaskHeader, waker: &Waker) -> StepOutcome {
        let state = self.get_ref().head();
        if state.phase.get() != Phase::Idle {
            return StepOutcome::Done;
        }
        state.phase.set(Phase::Running);
        let (mut value, cx) = (None, &mut Context::from_waker(waker));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(Poll::Ready(ready)) = self.body().poll(cx) {
                value = Some(ready);
                self.body().clear();
            }
        }));
        match (value, polled) {
            (Some(value), future_dropped) => {
                if let Err(panic) = future_dropped {
                    let context = ExceptionContext::new(PANIC_IN_DROP);
                    state
                        .run_queue
                        .exceptions()
                        .report(&context.with_panic(panic));
                }
                settle(self, header, Ok(value));
            }
            (None, Err(panic)) => end(self, header, TaskError::panic(panic)),
            (None, Ok(())) if state.phase.get() == Phase::Running => state.phase.set(Phase::Idle),
            (None, Ok(())) => end(self, header, TaskError::cancelled()),
        }
        StepOutcome::Done
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
                let key = header.key().filter(|_| too_deep);
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
        nesting::run(Kind::Cancel, || end(self, header, TaskError::cancelled()));
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
    let exceptions = task.get_ref().head().run_queue.exceptions();
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
    // Read only now, as a destructor in the future may have cancelled the task.
    let cancelled = state.phase.get() == Phase::Cancelling;
    let panicked = !cancelled && result.as_ref().is_err_and(TaskError::is_panic);
    if cancelled {
        report_overruled(state, header, result);
        content.set(Err(TaskError::cancelled()));
    } else {
        content.set(result);
    }
    // No user code runs between these two calls, so a link finds its task until the task has ended.
    state.run_queue.unregister(header);
    state.end(cancelled, panicked);
    if state.detached.get() {
        dispose::<F>(state, header, &content);
    }
}

/// Drops the result of a task that was cancelled in its last step, and reports a panic.
fn report_overruled<T>(state: &TaskState, header: &TaskHeader, result: TaskResult<T>) {
    let message = "panic in a task that was being cancelled";
    report_or_drop(
        state.run_queue.exceptions(),
        header.location,
        message,
        result,
    );
}

/// Drops a result that was not awaited, on bounded stack, and reports a panic.
fn dispose<F: Future + 'static>(state: &TaskState, header: &TaskHeader, content: &TaskContent<F>) {
    let Some(result) = content.take() else {
        return;
    };
    if result.is_ok() && !mem::needs_drop::<F::Output>() {
        return;
    }
    let message = "panic in a task whose result nobody took";
    if nesting::is_full(Kind::Drop) {
        let (run_queue, location) = (state.run_queue.clone(), header.location);
        nesting::queue(move || report_or_drop(run_queue.exceptions(), location, message, result));
    } else {
        let exceptions = state.run_queue.exceptions();
        nesting::run(Kind::Drop, || {
            report_or_drop(exceptions, header.location, message, result)
        });
    }
}

/// Reports a panic with `message`, or drops another result and reports its destructor's panic.
fn report_or_drop<T>(
    exceptions: &Exceptions,
    location: &'static Location<'static>,
    message: &'static str,
    result: TaskResult<T>,
) {
    match result.map_err(TaskError::try_into_panic) {
        Err(Ok(panic)) => {
            let context = ExceptionContext::new(message);
            exceptions.report(&context.with_panic(panic).with_location(location));
        }
        Err(Err(_no_panic)) => {}
        Ok(value) => exceptions.contain("panic while a result was dropped", || drop(value)),
    }
}
