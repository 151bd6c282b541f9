//! What a task is: its future, and then its result, in one location; who waits for it; how far it is.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::cancel::Link;
use super::handle::Join;
use crate::error::{TaskError, wake};
use crate::exceptions::{ExceptionContext, Exceptions};
use crate::nesting::{self, Kind};
use crate::run_queue::{Callback, RunQueue, Step, StepOutcome, TaskHeader};
use crate::sys::task_cell::{FutureOrOutput, WithHeader};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It waits for its step.
    Idle,
    /// It is being polled, or its future dropped.
    Running,
    /// It was cancelled meanwhile.
    Cancelling,
    Ended {
        cancelled: bool,
    },
}

/// What is known of a task, whatever its types.
pub(super) struct TaskState {
    phase: Cell<Phase>,
    /// Nobody will take the result: it was taken, or the handle is gone.
    detached: Cell<bool>,
    joiner: Cell<Option<Waker>>,
    /// Made at the first cancel handle or callback, so that a task without is small.
    link: Cell<Option<Rc<Link>>>,
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

    /// Returns whether this is a forked child, and the task is of a loop that it inherited.
    pub(super) fn is_inherited(&self) -> bool {
        self.run_queue.is_inherited()
    }

    pub(super) fn set_joiner(&self, waker: &Waker) {
        keep_waker(&self.joiner, waker);
    }

    /// Returns the task's link, which its handles share until it has ended.
    pub(super) fn link(&self, header: &TaskHeader) -> Rc<Link> {
        let link = self.link.take().unwrap_or_else(|| {
            let key = header.key().filter(|_| !self.is_ended());
            let task = key.map(|key| (self.run_queue.clone(), key));
            Rc::new(Link::new(task, self.is_cancelled()))
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

    /// Tells whom it concerns that the task has ended.
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
    let before = slot.take();
    let same = before.as_ref().is_some_and(|it| it.will_wake(waker));
    slot.set(before);
    if !same {
        // Cloning and dropping a waker may run foreign code, which may wake: there always is a waker then.
        let mine = waker.clone();
        drop(slot.replace(Some(mine)));
    }
}

/// The body of a task: what is known of it, and the location of its future and its result.
pub(super) type TaskCell<F> = WithHeader<TaskState, CellOf<F>>;

type CellOf<F> = FutureOrOutput<F, TaskResult<<F as Future>::Output>>;
type TaskResult<T> = Result<T, TaskError>;

impl<F: Future + 'static> Step for TaskCell<F> {
    fn step(self: Pin<&Self>, header: &TaskHeader, waker: &Waker) -> StepOutcome {
        let state = self.get_ref().head();
        if state.phase.get() != Phase::Idle {
            return StepOutcome::Done;
        }
        state.phase.set(Phase::Running);
        let (mut value, cx) = (None, &mut Context::from_waker(waker));
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            if let Some(Poll::Ready(ready)) = self.body().poll(cx) {
                value = Some(ready);
                self.body().clear();
            }
        }));
        match (value, stepped) {
            (Some(value), dropped) => {
                if let Err(panic) = dropped {
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

impl<F: Future + 'static> Join<F::Output> for TaskCell<F> {
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

/// The end of a task that has no result: its future is dropped first.
fn end<F: Future + 'static>(work: Pin<&TaskCell<F>>, header: &TaskHeader, error: TaskError) {
    let exceptions = work.get_ref().head().run_queue.exceptions();
    exceptions.contain(PANIC_IN_DROP, || work.body().clear());
    settle(work, header, Err(error));
}

/// Behind the end of its future, a task's result is settled, and who waits for it is told.
fn settle<F: Future + 'static>(
    work: Pin<&TaskCell<F>>,
    header: &TaskHeader,
    result: TaskResult<F::Output>,
) {
    let (state, cell) = (work.get_ref().head(), work.body());
    // Asked only now: a destructor of the future's may have cancelled it too.
    let cancelled = state.phase.get() == Phase::Cancelling;
    let panicked = !cancelled && result.as_ref().is_err_and(TaskError::is_panic);
    if cancelled {
        overrule(state, header, result);
        cell.set(Err(TaskError::cancelled()));
    } else {
        cell.set(result);
    }
    // In between no code of the user's runs: a link finds its task until the task has ended.
    state.run_queue.unregister(header);
    state.end(cancelled, panicked);
    if state.detached.get() {
        dispose::<F>(state, header, &cell);
    }
}

/// A cancellation in the last step wins over what the step came to.
fn overrule<T>(state: &TaskState, header: &TaskHeader, result: TaskResult<T>) {
    let message = "panic in a task that was being cancelled";
    discard(
        state.run_queue.exceptions(),
        header.location,
        message,
        result,
    );
}

/// Disposes of a result that nobody took, on bounded stack.
fn dispose<F: Future + 'static>(state: &TaskState, header: &TaskHeader, cell: &CellOf<F>) {
    let Some(result) = cell.take() else {
        return;
    };
    if result.is_ok() && !mem::needs_drop::<F::Output>() {
        return;
    }
    let message = "panic in a task whose result nobody took";
    if nesting::is_full(Kind::Drop) {
        let (run_queue, location) = (state.run_queue.clone(), header.location);
        nesting::queue(move || discard(run_queue.exceptions(), location, message, result));
    } else {
        let exceptions = state.run_queue.exceptions();
        nesting::run(Kind::Drop, || {
            discard(exceptions, header.location, message, result)
        });
    }
}

/// Reports a panic with `message`, and contains the destructor of any other result.
fn discard<T>(
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
