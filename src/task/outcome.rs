//! What a task comes to, and the handle that waits for it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Tasks;
use crate::error::{TaskError, wake};
use crate::exceptions::ExceptionContext;
use crate::ready::{Call, Callback, Ready};
use crate::slots::Key;

/// How a task ended.
pub(super) enum Verdict {
    /// Its future was ready, and its result is stashed.
    Returned,
    Cancelled,
    Panicked(Box<dyn Any + Send>),
}

enum State<T> {
    Pending,
    Done(Result<T, TaskError>),
    /// The result went to whoever waited for it.
    Taken {
        cancelled: bool,
    },
}

/// The place of a task's result.
pub(super) struct Outcome<T> {
    stash: Cell<Option<T>>,
    state: RefCell<State<T>>,
    joiner: Cell<Option<Waker>>,
    callbacks: RefCell<Vec<Rc<dyn Callback>>>,
    ready: Rc<Ready>,
    place: &'static Location<'static>,
}

/// An [`Outcome`] of whatever type, for the task that does not know it.
pub(super) trait Settle {
    fn settle(&self, verdict: Verdict);
}

impl<T> Outcome<T> {
    pub(super) fn new(ready: Rc<Ready>, place: &'static Location<'static>) -> Outcome<T> {
        Outcome {
            stash: Cell::new(None),
            state: RefCell::new(State::Pending),
            joiner: Cell::new(None),
            callbacks: RefCell::default(),
            ready,
            place,
        }
    }

    /// Keeps the result until the task's end is settled: a cancellation in its last step still wins.
    pub(super) fn stash(&self, value: T) {
        self.stash.set(Some(value));
    }

    fn is_done(&self) -> bool {
        !matches!(*self.state.borrow(), State::Pending)
    }

    fn is_cancelled(&self) -> bool {
        matches!(
            *self.state.borrow(),
            State::Done(Err(TaskError::Cancelled)) | State::Taken { cancelled: true }
        )
    }

    fn take(&self) -> Option<Result<T, TaskError>> {
        let mut state = self.state.borrow_mut();
        let cancelled = match &*state {
            State::Pending => return None,
            State::Done(result) => matches!(result, Err(TaskError::Cancelled)),
            State::Taken { .. } => panic!("a Task was polled after it was ready"),
        };
        match mem::replace(&mut *state, State::Taken { cancelled }) {
            State::Done(result) => Some(result),
            _ => None,
        }
    }

    fn on_done(&self, callback: Rc<dyn Callback>) {
        if self.is_done() {
            self.ready.push(callback);
        } else {
            self.callbacks.borrow_mut().push(callback);
        }
    }
}

impl<T> Settle for Outcome<T> {
    fn settle(&self, verdict: Verdict) {
        let stashed = self.stash.take();
        let result = match (verdict, stashed) {
            (Verdict::Returned, Some(value)) => Ok(value),
            (Verdict::Panicked(panic), _) => Err(TaskError::Panicked(panic)),
            (_, unwanted) => {
                let exceptions = self.ready.exceptions();
                exceptions.contain("panic while a result was dropped", || drop(unwanted));
                Err(TaskError::Cancelled)
            }
        };
        *self.state.borrow_mut() = State::Done(result);
        for callback in self.callbacks.take() {
            self.ready.push(callback);
        }
        if let Some(waker) = self.joiner.take() {
            wake(waker);
        }
    }
}

/// What nobody took goes with the last one who could have taken it: a panic is reported, and a result's destructor contained.
impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        let exceptions = self.ready.exceptions();
        match mem::replace(self.state.get_mut(), State::Pending) {
            State::Done(Err(TaskError::Panicked(panic))) => {
                let context = ExceptionContext::new("panic in a task whose result nobody took");
                exceptions.report(&context.with_panic(panic).with_place(self.place));
            }
            state => exceptions.contain("panic while a result was dropped", || drop(state)),
        }
    }
}

/// A future that runs on the loop on its own, from [`create_task`](crate::LoopHandle::create_task), and its result.
///
/// Awaiting it gives what the future gave, or a [`TaskError`]: it was cancelled, or it panicked. Dropping it detaches the task,
/// which goes on. asyncio keeps only weak references to tasks, so that a dropped one may vanish; here the loop owns them.
///
/// # Cancel safety
///
/// Awaiting `&mut task` may be given up and taken up again: the result is not lost.
///
/// # Examples
///
/// ```
/// use sendloop::Loop;
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::new()?;
/// let task = event_loop.create_task(async { 6 * 7 });
/// assert_eq!(event_loop.run_until_complete(task).unwrap(), 42);
///
/// let broken = event_loop.create_task(async { panic!("no") });
/// assert!(event_loop.run_until_complete(broken).unwrap_err().is_panicked());
/// # Ok(())
/// # }
/// ```
pub struct Task<T> {
    outcome: Rc<Outcome<T>>,
    /// Where the task lives; a closed loop has no place for one.
    home: Option<(Key, Rc<Tasks>)>,
}

impl<T> Task<T> {
    pub(super) fn new(outcome: Rc<Outcome<T>>, home: Option<(Key, Rc<Tasks>)>) -> Task<T> {
        Task { outcome, home }
    }

    /// Cancels the task and says whether that had an effect: false if it was done.
    ///
    /// Its future is dropped before this returns, and with it what it was waiting for. A task that cancels itself, directly or
    /// through what it calls, goes on until its next await and is dropped there; it ends as cancelled also if it returns instead.
    ///
    /// The difference from asyncio: nothing is raised inside the task, so it cannot refuse; what it must do at its end belongs
    /// into a destructor. And asyncio's task ends a turn of the loop later.
    pub fn cancel(&self) -> bool {
        match &self.home {
            Some((key, tasks)) => !self.done() && tasks.cancel(*key),
            None => false,
        }
    }

    /// Whether the task was cancelled and has ended by that.
    pub fn cancelled(&self) -> bool {
        self.outcome.is_cancelled()
    }

    /// Whether the task has ended in whatever way.
    pub fn done(&self) -> bool {
        self.outcome.is_done()
    }

    /// Has the loop call `callback` soon after the task has ended, or soon if it has. Those of one task are called in the order
    /// in which they were added.
    ///
    /// The difference from asyncio: the callback is not given the task, which may be awaited elsewhere.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce() + 'static) {
        self.outcome.on_done(Rc::new(Call::new(callback)));
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.outcome.take() {
            Some(result) => Poll::Ready(result),
            None => {
                let before = self.outcome.joiner.replace(Some(cx.waker().clone()));
                drop(before);
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("done", &self.done())
            .field("cancelled", &self.cancelled())
            .finish()
    }
}
