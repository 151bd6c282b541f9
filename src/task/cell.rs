//! A task from its first poll to its end.

use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::handle::Join;
use crate::error::{TaskError, bounded};
use crate::exceptions::ExceptionContext;
use crate::nesting::{self, Kind};
use crate::run_queue::{Phase, RunQueue, Step, TaskHeader};
use crate::sys::task_cell::FutureOrOutput;

/// A task cell without its header: the future, and after it the result.
pub(super) type TaskBody<F> = FutureOrOutput<F, TaskResult<<F as Future>::Output>>;

type TaskResult<T> = Result<T, TaskError>;

impl<F: Future + 'static> Step for TaskBody<F> {
    fn step(self: Pin<&Self>, header: &TaskHeader, waker: &Waker) -> bool {
        let TaskHeader { phase, run_queue, .. } = header;
        run_queue.steps.set(run_queue.steps.get() + 1);
        if phase.get() != Phase::Idle {
            return true;
        }
        phase.set(Phase::Running);
        let cx = &mut Context::from_waker(waker);
        let mut value = None;
        // Catching panics of the poll and of the drop apart would cost 3 ns more.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(Poll::Ready(ready)) = self.poll(cx) {
                value = Some(ready);
                self.set(None);
            }
        }));
        match (value, polled) {
            (Some(value), dropped) => {
                if let Err(panic) = dropped {
                    let context = ExceptionContext::of_panic(PANIC_IN_DROP, panic, None);
                    run_queue.exceptions.report(&context);
                }
                settle(&self, header, Ok(value));
            }
            (None, Err(panic)) => end(self, header, TaskError::panic(panic)),
            (None, Ok(())) if phase.get() == Phase::Running => phase.set(Phase::Idle),
            (None, Ok(())) => end(self, header, TaskError::cancelled()),
        }
        true
    }

    fn cancel(self: Pin<&Self>, header: &TaskHeader) -> bool {
        let phase = header.phase.get();
        if header.is_ended() {
            return false;
        }
        header.phase.set(Phase::Cancelling);
        if phase != Phase::Idle {
            return true;
        }
        if !nesting::is_full(Kind::Cancel) {
            nesting::run(Kind::Cancel, || end(self, header, TaskError::cancelled()));
        } else if let Some(task) = header.task() {
            nesting::queue(move || {
                task.head().phase.set(Phase::Idle);
                task.as_ref().body().cancel(task.head());
            });
        }
        true
    }
}

impl<F: Future + 'static> Join<F::Output> for TaskBody<F> {
    fn take(&self) -> Option<TaskResult<F::Output>> {
        FutureOrOutput::take(self)
    }

    fn detach(&self, header: &TaskHeader) {
        header.detached.set(true);
        if header.is_ended() {
            dispose(self, header);
        }
    }
}

const PANIC_IN_DROP: &str = "panic while a task's future was dropped";

/// Drops the future of a task that has no output, and ends the task with `error`.
fn end<F: Future + 'static>(task: Pin<&TaskBody<F>>, header: &TaskHeader, error: TaskError) {
    header.run_queue.exceptions.contain(PANIC_IN_DROP, || task.set(None));
    settle(&task, header, Err(error));
}

/// Ends a task whose future was dropped: stores the result and wakes the awaiting task.
fn settle<F: Future + 'static>(
    task: &TaskBody<F>,
    header: &TaskHeader,
    result: TaskResult<F::Output>,
) {
    // This reads the phase only now, because a destructor of the dropped future may have cancelled
    // the task.
    let cancelled = header.phase.get() == Phase::Cancelling;
    let panicked = !cancelled && result.as_ref().is_err_and(TaskError::is_panic);
    if cancelled {
        let message = "panic in a task that was being cancelled";
        report_or_drop(&header.run_queue, header.location, message, result);
        task.set(Some(Err(TaskError::cancelled())));
    } else {
        task.set(Some(result));
    }
    header.end(cancelled, panicked);
    if header.detached.get() {
        dispose(task, header);
    }
}

/// Drops a result that no task awaits, on bounded stack. If the result is a panic, reports it.
fn dispose<F: Future + 'static>(task: &TaskBody<F>, header: &TaskHeader) {
    let Some(result) = task.take() else {
        return;
    };
    if result.is_ok() && !mem::needs_drop::<F::Output>() {
        return;
    }
    let (run_queue, location) = (header.run_queue.clone(), header.location);
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
