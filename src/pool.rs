//! Threads for work that blocks: as many as are needed, up to a limit, and none before the first
//! piece of work.
//!
//! # If a thread does not start
//!
//! The kernel may refuse a thread (`RLIMIT_NPROC`, a cgroup limit, no memory), often for a moment only.
//!
//! - If the pool has no thread at all, the job fails with that error.
//! - Otherwise the job stays queued, and the pool is *short* of threads: a job has no idle thread.
//!   Each worker that takes a job retries, and the loop retries every [`RETRY_INTERVAL`].

#[cfg(all(test, sendloop_loom))]
mod interleavings;

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{TaskError, quietly, wake};
use crate::nesting::{self, Kind};
use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, start_thread, thread_local};
use crate::sys::fork::Process;
use crate::sys::uninterrupted;

/// Work for a thread of the pool.
struct Job {
    /// Runs if it is called with `Ok`, and fails with the error otherwise.
    work: Box<dyn FnOnce(Result<(), TaskError>) + Send>,
    /// It only closes a file, which may take long: a thread of the pool does it in any case.
    closes: bool,
}

/// The time between two tries of the loop to start a missing thread. No time passes in a model.
const RETRY_INTERVAL: Duration = match cfg!(all(test, sendloop_loom)) {
    false => Duration::from_millis(10),
    true => Duration::ZERO,
};

/// A thread that has had nothing to do for good ends with its pool, not before: work comes in bursts.
#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// A thread that has nothing to do ends with its pool, not before: work comes in bursts.
    threads: usize,
    /// The threads that run no job: those that wait, are starting, or are about to look for a job.
    idle: usize,
    closed: bool,
    /// The time at which the loop retries, if the pool is short of threads.
    retry_at: Option<Instant>,
    /// Woken when the last thread has ended.
    ended: Vec<Waker>,
    /// Woken when no job is queued or running.
    idle_wakers: Vec<Waker>,
}

impl State {
    fn is_busy(&self) -> bool {
        !self.jobs.is_empty() || self.threads > self.idle
    }
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// How many threads there may be.
    most: usize,
    /// Whether `retry_at` is set. Only changes under the lock.
    short: AtomicBool,
    /// The process that the threads belong to.
    process: Process,
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
    fn work_off(self: &Arc<Shared>) {
        WORKS.with(|works| works.set(true));
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                let failed = self.start_missing_threads(&mut state);
                drop(state);
                failed.into_iter().for_each(log_failed_start);
                // Its panic is caught inside; but what it gives may be dropped here, where nobody wants it, and panic.
                quietly("while the result of work was dropped", || {
                    (job.work)(Ok(()))
                });
                // The job has forked and returns in the child too, which has no other thread and
                // leaves the queue alone.
                if !self.process.is_current() {
                    return;
                }
                state = self.state();
                state.idle += 1;
                if !state.idle_wakers.is_empty() && !state.is_busy() {
                    let wakers = mem::take(&mut state.idle_wakers);
                    drop(state);
                    wakers.into_iter().for_each(wake);
                    state = self.state();
                }
            } else if state.closed {
                break;
            } else {
                let woken = self.work.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.idle -= 1;
        state.threads -= 1;
        let last = state.threads == 0;
        let ended = last.then(|| mem::take(&mut state.ended));
        drop(state);
        ended.into_iter().flatten().for_each(wake);
    }

    fn submit(self: &Arc<Shared>, job: Job) {
        if !self.process.is_current() {
            return drop(job);
        }
        let mut state = self.state();
        if state.closed {
            drop(state);
            return refuse(job, TaskError::shut_down());
        }
        state.jobs.push_back(job);
        let failed = self.start_missing_threads(&mut state);
        // A pool without threads has no other job, as each was refused like this one.
        let refused = match state.threads {
            0 => state.jobs.pop_back(),
            _ => None,
        };
        drop(state);
        match (failed, refused) {
            (Some(error), Some(job)) => refuse(job, TaskError::no_thread(error)),
            (failed, _) => {
                self.work.notify_one();
                failed.into_iter().for_each(log_failed_start);
            }
        }
    }

    /// In a forked child, which has no thread to run them. If a thread of the parent held the lock,
    /// they stay.
    fn drop_inherited_jobs(&self) {
        let jobs = self
            .state
            .try_lock()
            .map(|mut state| mem::take(&mut state.jobs));
        for job in jobs.into_iter().flatten() {
            quietly("while work was dropped", || drop(job));
        }
    }

    /// Starts threads until each job has an idle one or the limit is reached.
    ///
    /// Returns the first error; later ones are retries, which nobody needs in the log.
    fn start_missing_threads(self: &Arc<Shared>, state: &mut State) -> Option<io::Error> {
        let retrying = state.retry_at.take().is_some();
        while state.jobs.len() > state.idle && state.threads < self.most {
            // A thread that is ending still counts against the limits for a moment, so try twice.
            // Without any thread the caller reports the first error instead.
            let started = match self.start(state) {
                Err(_) if state.threads > 0 => self.start(state),
                started => started,
            };
            if let Err(error) = started {
                if state.threads > 0 {
                    state.retry_at = Some(Instant::now() + RETRY_INTERVAL);
                    self.short.store(true, Ordering::Relaxed);
                }
                return (!retrying).then_some(error);
            }
        }
        self.short.store(false, Ordering::Relaxed);
        None
    }

    fn start(self: &Arc<Shared>, state: &mut State) -> io::Result<()> {
        uninterrupted(|| {
            let shared = self.clone();
            start_thread(move || shared.work_off())
        })?;
        state.threads += 1;
        state.idle += 1;
        Ok(())
    }
}

/// Ends a job that no thread will run, on bounded stack: dropping its work may submit more.
fn refuse(job: Job, error: TaskError) {
    let refuse = move || (job.work)(Err(error));
    match nesting::is_full(Kind::Drop) {
        true => nesting::queue(move || quietly("while a refused job was dropped", refuse)),
        false => nesting::run(Kind::Drop, refuse),
    }
}

/// Must be called without the pool's lock, as a logger is foreign code.
fn log_failed_start(error: io::Error) {
    log::warn!("the executor cannot start another thread and retries: {error}");
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
                short: AtomicBool::new(false),
                process: Process::current(),
            }),
        }
    }

    /// asyncio's number: enough for work that mostly waits, bounded on large machines.
    pub(crate) fn usual_threads() -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (cores + 4).min(32)
    }

    /// Runs `work` on a thread and passes its result to the [`Blocking`]. A closed pool cancels it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Blocking<T> {
        let cell = Arc::new(Place {
            outcome: Mutex::new(Outcome::Pending(None)),
            process: Process::current(),
        });
        let report = Report(cell.clone());
        let work = move |may_run: Result<(), TaskError>| match may_run {
            Ok(()) => report.send(catch_unwind(AssertUnwindSafe(work))),
            Err(error) => report.end(Err(error)),
        };
        self.shared.submit(Job {
            work: Box::new(work),
            closes: false,
        });
        Blocking { cell }
    }

    /// Returns the time until the loop must retry, or `None` if no thread is missing.
    pub(crate) fn retry_timeout(&self) -> Option<Duration> {
        // A forked child starts no thread for the parent's jobs.
        if !self.shared.short.load(Ordering::Relaxed) || !self.shared.process.is_current() {
            return None;
        }
        let retry_at = self.shared.state().retry_at?;
        Some(retry_at.saturating_duration_since(Instant::now()))
    }

    /// Returns whether a job is queued or running. If so, `waker` is woken when none is.
    pub(crate) fn is_busy(&self, waker: &Waker) -> bool {
        if !self.shared.process.is_current() {
            return false;
        }
        let mut state = self.shared.state();
        let is_busy = state.is_busy();
        if is_busy && !state.idle_wakers.iter().any(|it| it.will_wake(waker)) {
            state.idle_wakers.push(waker.clone());
        }
        is_busy
    }

    /// Retries to start threads if the pool is short of them and a retry is due.
    pub(crate) fn start_missing_threads(&self) {
        if self.retry_timeout() == Some(Duration::ZERO) {
            // The first failure was logged.
            let _ = self.shared.start_missing_threads(&mut self.shared.state());
        }
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
        if !self.shared.process.is_current() {
            return self.shared.drop_inherited_jobs();
        }
        self.shared.state().closed = true;
        self.shared.work.notify_all();
    }

    /// Drops the work that has not begun because every thread is busy. Work that a free thread is
    /// about to begin counts as begun.
    pub(crate) fn drop_queued(&self) {
        if !self.shared.process.is_current() {
            return;
        }
        let mut state = self.shared.state();
        let begun = state.idle.min(state.jobs.len());
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
        if !self.shared.process.is_current() {
            return Poll::Ready(());
        }
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
        let threads = match self.shared.process.is_current() {
            true => self.shared.state().threads,
            false => 0,
        };
        f.debug_struct("Pool").field("threads", &threads).finish()
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
        if WORKS.with(Cell::get) {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            let work = Box::new(move |_| drop(file));
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

struct Place<T> {
    outcome: Mutex<Outcome<T>>,
    process: Process,
}

impl<T> Place<T> {
    /// In a forked child `None` if a thread of the parent held the lock.
    fn lock(&self) -> Option<MutexGuard<'_, Outcome<T>>> {
        if !self.process.is_current() {
            return self.outcome.try_lock().ok();
        }
        Some(self.outcome.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The working end of a [`Blocking`]: dropped without a result, it says cancelled.
struct Report<T>(Arc<Place<T>>);

impl<T> Report<T> {
    fn send(&self, result: thread::Result<T>) {
        self.end(result.map_err(TaskError::panic));
    }

    fn end(&self, result: Result<T, TaskError>) {
        let Some(mut outcome) = self.0.lock() else {
            return;
        };
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
        self.end(Err(TaskError::cancelled()));
    }
}

/// The result of work in the executor, as [`run_in_executor`](crate::LoopHandle::run_in_executor) gives it.
///
/// Dropping it leaves the work to end on its own; its result is dropped then.
///
/// # Examples
///
/// ```
/// # let event_loop = sendloop::Loop::new().unwrap();
/// let work: sendloop::Blocking<u32> = event_loop.run_in_executor(|| 6 * 7);
/// assert_eq!(event_loop.run_until_complete(work).unwrap(), 42);
/// ```
#[doc(alias = "JoinHandle")]
#[must_use = "the work runs without it, but its result and its panic are lost"]
pub struct Blocking<T> {
    cell: Arc<Place<T>>,
}

impl<T> Blocking<T> {
    /// Returns whether this is a forked child, whose parent runs the work.
    pub(crate) fn is_inherited(&self) -> bool {
        !self.cell.process.is_current()
    }
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloning and dropping a waker may run foreign code: not under the lock.
        let mine = cx.waker().clone();
        let Some(mut outcome) = self.cell.lock() else {
            return Poll::Ready(Err(TaskError::cancelled()));
        };
        match &mut *outcome {
            Outcome::Pending(_) if self.is_inherited() => Poll::Ready(Err(TaskError::cancelled())),
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
        let outcome = self.cell.lock();
        let ended = outcome.is_some_and(|outcome| !matches!(*outcome, Outcome::Pending(_)));
        f.debug_struct("Blocking").field("done", &ended).finish()
    }
}
