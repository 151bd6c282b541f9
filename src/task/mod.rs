//! Tasks: futures that a loop polls until they are done.
//!
//! # Who holds what
//!
//! [`Tasks`] holds each task's future; the [`Task`] that the user got and the future share the place of the result
//! ([`outcome`]); wakers ([`waker`]) hold a key and nothing else of the task. So a waker, from whatever thread and however late,
//! can keep neither a future nor a result alive, and a key whose task has ended finds nothing.
//!
//! # The states of a task
//!
//! ```text
//!            step                 Pending
//!   Idle ───────────▶ Running ───────────────▶ Idle
//!    │ cancel            │ cancel, from inside the step
//!    │                   ▼
//!    │              Cancelling ──▶ ended when the step returns, as cancelled whatever it returned
//!    ▼
//!   ended (removed): the future is dropped first, then the outcome settled, then who waits for it is told
//! ```

mod outcome;
mod promise;
mod waker;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub use outcome::Task;
pub(crate) use promise::promise;
pub use promise::{Promise, PromiseFuture};

use crate::exceptions::ExceptionContext;
use crate::ready::Ready;
use crate::remote::Door;
use crate::slots::{Key, Slots};
use outcome::{Outcome, Settle, Verdict};
use waker::TaskWaker;

type Body = Pin<Box<dyn Future<Output = ()>>>;

enum State {
    /// It waits for its step.
    Idle(Body),
    /// It is being polled, and its future is with who polls it.
    Running,
    /// It was cancelled while it was being polled.
    Cancelling,
    /// The future is with who runs the loop until it is complete; the place exists for its waker.
    Root,
}

struct Entry {
    state: State,
    outcome: Option<Rc<dyn Settle>>,
    waker: Arc<TaskWaker>,
    place: &'static Location<'static>,
}

/// What came of a step.
pub(crate) enum Stepped {
    /// The task had ended before: a wake-up that came too late.
    Gone,
    /// The future that the loop runs until it is complete has to be polled, with this waker.
    Root(Waker, &'static Location<'static>),
    /// A task was polled; this is where it was made.
    Task(&'static Location<'static>),
}

pub(crate) struct Tasks {
    entries: RefCell<Slots<Entry>>,
    /// Wakers of ended tasks that nobody else holds, to be used again.
    spare: RefCell<Vec<Arc<TaskWaker>>>,
    ready: Rc<Ready>,
    door: Arc<Door>,
    closed: Cell<bool>,
    steps: Cell<u64>,
}

/// As many spare wakers are kept as a busy program's tasks come and go.
const SPARE: usize = 256;

impl Tasks {
    pub(crate) fn new(ready: Rc<Ready>, door: Arc<Door>) -> Rc<Tasks> {
        Rc::new(Tasks {
            entries: RefCell::new(Slots::new()),
            spare: RefCell::default(),
            ready,
            door,
            closed: Cell::new(false),
            steps: Cell::new(0),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Takes a future in and queues its first step. A closed loop's is dropped at once and ends as cancelled.
    #[track_caller]
    pub(crate) fn create<F>(self: &Rc<Tasks>, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let outcome = Rc::new(Outcome::new(self.ready.clone(), Location::caller()));
        if self.closed.get() {
            self.drop_contained(future);
            outcome.settle(Verdict::Cancelled);
            return Task::new(outcome, None);
        }
        let result = outcome.clone();
        let body = Box::pin(async move { result.stash(future.await) });
        let key = self.insert(State::Idle(body), Some(outcome.clone()));
        self.ready.push_task(key);
        Task::new(outcome, Some((key, self.clone())))
    }

    /// A place for the future that the loop runs until it is complete, its first step queued.
    #[track_caller]
    pub(crate) fn create_root(&self) -> Key {
        let key = self.insert(State::Root, None);
        self.ready.push_task(key);
        key
    }

    pub(crate) fn remove_root(&self, key: Key) {
        self.remove(key);
    }

    #[track_caller]
    fn insert(&self, state: State, outcome: Option<Rc<dyn Settle>>) -> Key {
        let spare = self.spare.borrow_mut().pop();
        let waker = spare.unwrap_or_else(|| Arc::new(TaskWaker::new(self.door.clone())));
        let key = self.entries.borrow_mut().insert(Entry {
            state,
            outcome,
            waker: waker.clone(),
            place: Location::caller(),
        });
        waker.serve(key);
        key
    }

    fn remove(&self, key: Key) -> Option<Entry> {
        let entry = self.entries.borrow_mut().remove(key)?;
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE && entry.waker.is_unshared() {
            spare.push(entry.waker.clone());
        }
        Some(entry)
    }

    /// Polls a task once.
    pub(crate) fn step(&self, key: Key) -> Stepped {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key) else {
            return Stepped::Gone;
        };
        entry.waker.begin_step();
        let (waker, place) = (Waker::from(entry.waker.clone()), entry.place);
        let mut body = match std::mem::replace(&mut entry.state, State::Running) {
            State::Idle(body) => body,
            State::Root => {
                entry.state = State::Root;
                return Stepped::Root(waker, place);
            }
            // A step inside a step of the same task: run_once was called from inside. It has its turn later.
            busy => {
                entry.state = busy;
                return Stepped::Gone;
            }
        };
        drop(entries);
        self.steps.set(self.steps.get() + 1);
        let cx = &mut Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx)));
        drop(waker);
        match polled {
            Ok(Poll::Pending) => self.put_back(key, body),
            Ok(Poll::Ready(())) => self.end(key, body, Verdict::Returned),
            Err(panic) => self.end(key, body, Verdict::Panicked(panic)),
        }
        Stepped::Task(place)
    }

    fn put_back(&self, key: Key, body: Body) {
        let mut entries = self.entries.borrow_mut();
        match entries.get_mut(key) {
            Some(entry) if matches!(entry.state, State::Running) => entry.state = State::Idle(body),
            _ => {
                drop(entries);
                self.end(key, body, Verdict::Cancelled);
            }
        }
    }

    fn end(&self, key: Key, body: Body, verdict: Verdict) {
        self.drop_contained(body);
        let Some(entry) = self.remove(key) else {
            return;
        };
        let verdict = match (&entry.state, verdict) {
            (State::Cancelling, Verdict::Panicked(panic)) => {
                let context = ExceptionContext::new("panic in a task that was being cancelled");
                let exceptions = self.ready.exceptions();
                exceptions.report(&context.with_panic(panic).with_place(entry.place));
                Verdict::Cancelled
            }
            (State::Cancelling, _) => Verdict::Cancelled,
            (_, verdict) => verdict,
        };
        if let Some(outcome) = &entry.outcome {
            outcome.settle(verdict);
        }
    }

    /// Cancels a task: drops its future now, or when the step returns that it is in. False if it has ended before.
    pub(crate) fn cancel(&self, key: Key) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key) else {
            return false;
        };
        match std::mem::replace(&mut entry.state, State::Cancelling) {
            State::Idle(body) => {
                drop(entries);
                self.end(key, body, Verdict::Cancelled);
                true
            }
            State::Running | State::Cancelling => true,
            State::Root => {
                entry.state = State::Root;
                false
            }
        }
    }

    /// Cancels all tasks but the one that is being polled, for the last of a program that returns from its main task.
    pub(crate) fn cancel_all(&self) {
        let keys = self.entries.borrow().keys();
        for key in keys {
            self.cancel(key);
        }
    }

    /// Drops what the user made. A panic in its destructor is reported and goes no further.
    fn drop_contained<T>(&self, value: T) {
        let exceptions = self.ready.exceptions();
        exceptions.contain("panic while a task's future was dropped", || drop(value));
    }

    /// Cancels all tasks, and all that come later at once.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.cancel_all();
        self.spare.borrow_mut().clear();
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("live", &self.len()).finish()
    }
}
