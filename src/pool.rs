//! Threads for work that blocks: as many as are needed, up to a limit, and none before the first piece of work.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::error::{TaskError, quietly, wake};

struct Job {
    work: Box<dyn FnOnce() + Send>,
    /// It only closes a file, which may take long: a thread of the pool does it in any case.
    closes: bool,
}

/// A thread that has had nothing to do for good ends with its pool, not before: work comes in bursts.
#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// How many of the threads run a job.
    busy: usize,
    idle: usize,
    closed: bool,
    /// Woken when the last thread has ended.
    ended: Vec<Waker>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// How many threads there may be.
    most: usize,
}

thread_local! {
    /// Whether this is a thread of a pool.
    static WORKS: Cell<bool> = const { Cell::new(false) };
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Jobs run without the lock and their panics are caught: what is inside is whole in any case.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one thread.
    fn work_off(&self) {
        WORKS.set(true);
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.busy += 1;
                drop(state);
                // Its panic is caught inside; but what it gives may be dropped here, where nobody wants it, and panic.
                quietly("while the result of work was dropped", job.work);
                state = self.state();
                state.busy -= 1;
            } else if state.closed {
                break;
            } else {
                state.idle += 1;
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
        state.threads -= 1;
        let last = state.threads == 0;
        let ended = last.then(|| mem::take(&mut state.ended));
        drop(state);
        ended.into_iter().flatten().for_each(wake);
    }

    fn submit(self: &Arc<Shared>, job: Job) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            return drop(job);
        }
        state.jobs.push_back(job);
        let wanted = state.jobs.len() > state.idle && state.threads < self.most;
        if wanted && !self.start_thread(&mut state) && state.threads == 0 {
            // Nobody is there to run it, and nobody could be started: it is cancelled rather than forgotten.
            let job = state.jobs.pop_back();
            drop(state);
            return drop(job);
        }
        drop(state);
        self.work.notify_one();
    }

    fn start_thread(self: &Arc<Shared>, state: &mut State) -> bool {
        let shared = self.clone();
        let thread = thread::Builder::new().name("sendloop-worker".into());
        match thread.spawn(move || shared.work_off()) {
            Ok(_) => state.threads += 1,
            Err(error) => log::error!("a thread of the executor could not be started: {error}"),
        }
        state.threads > 0
    }
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    pub(crate) fn new(most: usize) -> Pool {
        Pool {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                most: most.max(1),
            }),
        }
    }

    /// asyncio's number: enough for work that mostly waits, bounded on large machines.
    pub(crate) fn usual_threads() -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (cores + 4).min(32)
    }

    /// Has a thread run `work`, and gives its result to the [`Blocking`]. A closed pool's is cancelled.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Blocking<T> {
        let cell = Arc::new(Mutex::new(Outcome::Pending(None)));
        let report = Report(cell.clone());
        let work = Box::new(move || report.send(catch_unwind(AssertUnwindSafe(work))));
        self.shared.submit(Job {
            work,
            closes: false,
        });
        Blocking { cell }
    }

    /// A file for work in the pool. A `slow` one is closed by a thread of the pool, whoever lets go of it.
    pub(crate) fn lend(&self, file: File, slow: bool) -> Lent {
        let pool = if slow {
            Arc::downgrade(&self.shared)
        } else {
            Weak::new()
        };
        Lent {
            file: Some(file),
            pool,
        }
    }

    /// Takes no more work. What is queued is still run; threads end when there is no more.
    pub(crate) fn close(&self) {
        self.shared.state().closed = true;
        self.shared.work.notify_all();
    }

    /// Drops the work that has not begun because every thread is busy. Work that a free thread is
    /// about to begin counts as begun.
    pub(crate) fn drop_queued(&self) {
        let mut state = self.shared.state();
        let begun = state
            .threads
            .saturating_sub(state.busy)
            .min(state.jobs.len());
        let queued = state.jobs.split_off(begun);
        let (kept, dropped): (Vec<Job>, Vec<Job>) = queued.into_iter().partition(|job| job.closes);
        state.jobs.extend(kept);
        drop(state);
        for job in dropped {
            quietly("while queued work was dropped", || drop(job));
        }
    }

    /// After [`close`](Pool::close): ready when the last thread is through.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        let mine = cx.waker().clone();
        let mut state = self.shared.state();
        if state.threads == 0 {
            return Poll::Ready(());
        }
        if !state.ended.iter().any(|waker| waker.will_wake(&mine)) {
            state.ended.push(mine);
        }
        Poll::Pending
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.shared.state().threads)
            .finish()
    }
}

/// See [`Pool::lend`]. Where there is no pool any more, who lets go of it closes it.
pub(crate) struct Lent {
    file: Option<File>,
    pool: Weak<Shared>,
}

impl Deref for Lent {
    type Target = File;

    fn deref(&self) -> &File {
        self.file.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let file = self.file.take();
        if WORKS.get() {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            let work = Box::new(move || drop(file));
            pool.submit(Job { work, closes: true });
        }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

enum Outcome<T> {
    Pending(Option<Waker>),
    Ended(Result<T, TaskError>),
    Taken,
}

type Place<T> = Arc<Mutex<Outcome<T>>>;

fn lock<T>(cell: &Place<T>) -> MutexGuard<'_, Outcome<T>> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The working end of a [`Blocking`]: dropped without a result, it says cancelled.
struct Report<T>(Place<T>);

impl<T> Report<T> {
    fn send(&self, result: thread::Result<T>) {
        self.end(result.map_err(TaskError::Panicked));
    }

    fn end(&self, result: Result<T, TaskError>) {
        let mut outcome = lock(&self.0);
        let Outcome::Pending(waker) = &mut *outcome else {
            return;
        };
        let waker = waker.take();
        *outcome = Outcome::Ended(result);
        drop(outcome);
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        self.end(Err(TaskError::Cancelled));
    }
}

/// The result of work in the executor, as [`run_in_executor`](crate::LoopHandle::run_in_executor) gives it.
///
/// Dropping it leaves the work to end on its own; its result is dropped then.
pub struct Blocking<T> {
    cell: Place<T>,
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloning and dropping a waker may run foreign code: not under the lock.
        let mine = cx.waker().clone();
        let mut outcome = lock(&self.cell);
        match &mut *outcome {
            Outcome::Pending(waker) => {
                let before = waker.replace(mine);
                drop(outcome);
                drop(before);
                Poll::Pending
            }
            Outcome::Ended(_) => match mem::replace(&mut *outcome, Outcome::Taken) {
                Outcome::Ended(result) => Poll::Ready(result),
                _ => Poll::Pending,
            },
            Outcome::Taken => panic!("a Blocking was polled after it was ready"),
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = !matches!(*lock(&self.cell), Outcome::Pending(_));
        f.debug_struct("Blocking").field("done", &ended).finish()
    }
}
