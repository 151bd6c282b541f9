//! The executor's threads, for work that blocks.
//!
//! The pool starts a thread if a job has no idle one, up to a limit. Before the first job there is
//! none. A thread ends only with its pool, as work comes in bursts.
//!
//! # If a thread does not start
//!
//! The kernel may refuse a thread (`RLIMIT_NPROC`, a cgroup limit, no memory), often only for a
//! moment.
//!
//! - If the pool has no thread at all, the job fails with that error.
//! - Otherwise the job stays queued, and the pool is *short* of threads. Each thread that takes a
//!   job retries the start, and the loop retries it every [`RETRY_INTERVAL`].

#[cfg(all(test, sendloop_loom))]
mod loom_tests;

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

use crate::error::{TaskError, log_panic, wake};
use crate::nesting::{self, Kind};
use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, start_thread, thread_local};
use crate::sys::fork::Process;
use crate::sys::uninterrupted;

/// One piece of work for a thread of the pool.
struct Job {
    /// Runs if its argument is `Ok`; otherwise its result is that error.
    work: Box<dyn FnOnce(Result<(), TaskError>) + Send>,
    /// True if the job only closes a file, which may be slow. The pool never drops such a job.
    closes_file: bool,
}

/// The time between two attempts of the loop to start a missing thread. No time passes in a model.
const RETRY_INTERVAL: Duration = match cfg!(all(test, sendloop_loom)) {
    false => Duration::from_millis(10),
    true => Duration::ZERO,
};

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<Job>,
    /// All threads that have not ended, those that are starting included.
    threads: usize,
    /// The threads that run no job: they wait, are starting, or are about to take one.
    idle: usize,
    closed: bool,
    /// The time at which the loop retries, if the pool is short of threads.
    retry_at: Option<Instant>,
    /// Woken when the last thread has ended.
    ended_wakers: Vec<Waker>,
    /// Woken when no job is queued or running.
    idle_wakers: Vec<Waker>,
}

impl PoolState {
    fn is_busy(&self) -> bool {
        !self.jobs.is_empty() || self.threads > self.idle
    }
}

struct PoolShared {
    state: Mutex<PoolState>,
    /// Notified if a job is queued or the pool is closed.
    changed: Condvar,
    max_threads: usize,
    /// True if `retry_at` is set. It changes only under the lock.
    short: AtomicBool,
    /// The process that the threads belong to.
    process: Process,
}

thread_local! {
    /// True on the threads of a pool.
    static IS_POOL_THREAD: Cell<bool> = const { Cell::new(false) };
}

impl PoolShared {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        // Jobs run without the lock, and no code under the lock panics midway. So a poisoned state
        // is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until the pool is closed and its queue is empty: the main function of a thread.
    fn run_jobs(self: &Arc<PoolShared>) {
        IS_POOL_THREAD.with(|is_pool_thread| is_pool_thread.set(true));
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                let failed = self.start_missing_threads(&mut state);
                drop(state);
                failed.into_iter().for_each(log_failed_start);
                // The job catches the panic of its work. If its `Blocking` is gone, the job drops
                // the result here, and that may panic too.
                log_panic("while the result of work was dropped", || {
                    (job.work)(Ok(()))
                });
                // If the job forked, it returns in the child too. The child has no other thread of
                // the pool and leaves the queue alone.
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
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.idle -= 1;
        state.threads -= 1;
        let is_last = state.threads == 0;
        let wakers = is_last.then(|| mem::take(&mut state.ended_wakers));
        drop(state);
        wakers.into_iter().flatten().for_each(wake);
    }

    fn submit(self: &Arc<PoolShared>, job: Job) {
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
        // A pool without threads has no other job: it refused each of them like this one.
        let refused = match state.threads {
            0 => state.jobs.pop_back(),
            _ => None,
        };
        drop(state);
        match (failed, refused) {
            (Some(error), Some(job)) => refuse(job, TaskError::no_thread(error)),
            (failed, _) => {
                self.changed.notify_one();
                failed.into_iter().for_each(log_failed_start);
            }
        }
    }

    /// Drops the queued jobs in a forked child, which has no thread to run them.
    ///
    /// If a thread of the parent held the lock at the fork, the jobs stay.
    fn drop_inherited_jobs(&self) {
        let jobs = self
            .state
            .try_lock()
            .map(|mut state| mem::take(&mut state.jobs));
        for job in jobs.into_iter().flatten() {
            log_panic("while work was dropped", || drop(job));
        }
    }

    /// Starts threads until each job has an idle one or the limit is reached.
    ///
    /// Returns the error of the first failure, for the log, but not the errors of retries.
    fn start_missing_threads(self: &Arc<PoolShared>, state: &mut PoolState) -> Option<io::Error> {
        let retrying = state.retry_at.take().is_some();
        while state.jobs.len() > state.idle && state.threads < self.max_threads {
            // A thread that is ending counts against the kernel's limits for a moment longer, so
            // the pool tries twice. If it has no thread at all, the job fails with the first error.
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

    fn start(self: &Arc<PoolShared>, state: &mut PoolState) -> io::Result<()> {
        uninterrupted(|| {
            let shared = self.clone();
            start_thread(move || shared.run_jobs())
        })?;
        state.threads += 1;
        state.idle += 1;
        Ok(())
    }
}

/// Fails a job that no thread will run. Dropping its work may submit more jobs.
fn refuse(job: Job, error: TaskError) {
    drop_nested("while a refused job was dropped", move || {
        (job.work)(Err(error));
    });
}

/// Performs an action that drops a user's values, on bounded stack.
///
/// The values may own more values of their kind.
fn drop_nested(when: &'static str, action: impl FnOnce() + 'static) {
    match nesting::is_full(Kind::Drop) {
        true => nesting::queue(move || log_panic(when, action)),
        false => nesting::run(Kind::Drop, action),
    }
}

/// Logs a failed start. The caller must not hold the pool's lock, as a logger is foreign code.
fn log_failed_start(error: io::Error) {
    log::warn!("the executor cannot start another thread and retries: {error}");
}

pub(crate) struct Pool {
    shared: Arc<PoolShared>,
}

impl Pool {
    pub(crate) fn new(max_threads: usize) -> Pool {
        Pool {
            shared: Arc::new(PoolShared {
                state: Mutex::default(),
                changed: Condvar::new(),
                max_threads: max_threads.max(1),
                short: AtomicBool::new(false),
                process: Process::current(),
            }),
        }
    }

    /// Returns asyncio's default number of threads.
    ///
    /// It suits work that mostly waits, and is bounded on large machines.
    pub(crate) fn default_threads() -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (cores + 4).min(32)
    }

    /// Runs `work` on a thread and passes its result to the [`Blocking`]. A closed pool cancels it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Blocking<T> {
        let cell = Arc::new(OutcomeCell {
            outcome: Mutex::new(JobOutcome::Pending(None)),
            process: Process::current(),
        });
        let sender = ResultSender(cell.clone());
        let work = move |may_run: Result<(), TaskError>| match may_run {
            Ok(()) => sender.send(catch_unwind(AssertUnwindSafe(work)).map_err(TaskError::panic)),
            Err(error) => sender.send(Err(error)),
        };
        self.shared.submit(Job {
            work: Box::new(work),
            closes_file: false,
        });
        Blocking {
            cell,
            discard: |result| drop_nested("while the result of work was dropped", || drop(result)),
        }
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
            // The pool has logged the first failure.
            let _ = self.shared.start_missing_threads(&mut self.shared.state());
        }
    }

    /// Wraps a file for work in the pool. If `is_slow`, only a thread of the pool closes the file.
    pub(crate) fn lend(&self, file: File, is_slow: bool) -> LentFile {
        let pool = if is_slow {
            Arc::downgrade(&self.shared)
        } else {
            Weak::new()
        };
        LentFile {
            file: Some(file),
            pool,
        }
    }

    /// Refuses more work. The threads still run the queued jobs, and end after them.
    pub(crate) fn close(&self) {
        if !self.shared.process.is_current() {
            return self.shared.drop_inherited_jobs();
        }
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
    }

    /// Drops the work that has not begun because every thread is busy.
    ///
    /// Work that an idle thread is about to begin counts as begun.
    pub(crate) fn drop_queued(&self) {
        if !self.shared.process.is_current() {
            return;
        }
        let mut state = self.shared.state();
        let begun = state.idle.min(state.jobs.len());
        let queued = state.jobs.split_off(begun);
        let (kept, dropped): (Vec<Job>, Vec<Job>) =
            queued.into_iter().partition(|job| job.closes_file);
        state.jobs.extend(kept);
        drop(state);
        for job in dropped {
            log_panic("while queued work was dropped", || drop(job));
        }
    }

    /// Polls for the end of the last thread, after [`close`](Pool::close).
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.shared.process.is_current() {
            return Poll::Ready(());
        }
        let new_waker = cx.waker().clone();
        let mut state = self.shared.state();
        if state.threads == 0 {
            return Poll::Ready(());
        }
        let wakers = &mut state.ended_wakers;
        if !wakers.iter().any(|waker| waker.will_wake(&new_waker)) {
            wakers.push(new_waker);
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

/// A file from [`Pool::lend`].
///
/// If it is slow to close, dropping it queues a job that closes it. A thread of a pool closes it at
/// once, and so does the dropping thread if the pool is gone.
pub(crate) struct LentFile {
    file: Option<File>,
    pool: Weak<PoolShared>,
}

impl Deref for LentFile {
    type Target = File;

    fn deref(&self) -> &File {
        self.file.as_ref().expect("present until the drop")
    }
}

impl Drop for LentFile {
    fn drop(&mut self) {
        let file = self.file.take();
        if IS_POOL_THREAD.with(Cell::get) {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            let work = Box::new(move |_| drop(file));
            pool.submit(Job {
                work,
                closes_file: true,
            });
        }
    }
}

impl fmt::Debug for LentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

enum JobOutcome<T> {
    Pending(Option<Waker>),
    Ended(Result<T, TaskError>),
    Taken,
}

struct OutcomeCell<T> {
    outcome: Mutex<JobOutcome<T>>,
    process: Process,
}

impl<T> OutcomeCell<T> {
    /// Locks the outcome. Returns `None` in a forked child if a thread of the parent held the lock.
    fn lock(&self) -> Option<MutexGuard<'_, JobOutcome<T>>> {
        if !self.process.is_current() {
            return self.outcome.try_lock().ok();
        }
        Some(self.outcome.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The job's end of a [`Blocking`]. If it is dropped without a result, the result is cancelled.
struct ResultSender<T>(Arc<OutcomeCell<T>>);

impl<T> ResultSender<T> {
    fn send(&self, result: Result<T, TaskError>) {
        let Some(mut outcome) = self.0.lock() else {
            return;
        };
        let JobOutcome::Pending(waker) = &mut *outcome else {
            return;
        };
        let waker = waker.take();
        *outcome = JobOutcome::Ended(result);
        drop(outcome);
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

impl<T> Drop for ResultSender<T> {
    fn drop(&mut self) {
        self.send(Err(TaskError::cancelled()));
    }
}

/// The result of executor work, from [`run_in_executor`](crate::LoopHandle::run_in_executor).
///
/// Dropping it does not stop the work; the executor drops the result at its end.
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
    cell: Arc<OutcomeCell<T>>,
    /// Drops a result that was not awaited. `Drop` for every `T` cannot queue it, as that needs
    /// `T: 'static`.
    discard: fn(Result<T, TaskError>),
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
        // Cloning and dropping a waker may run foreign code, so the lock is not held then.
        let new_waker = cx.waker().clone();
        let Some(mut outcome) = self.cell.lock() else {
            return Poll::Ready(Err(TaskError::cancelled()));
        };
        match &mut *outcome {
            JobOutcome::Pending(_) if self.is_inherited() => {
                Poll::Ready(Err(TaskError::cancelled()))
            }
            JobOutcome::Pending(waker) => {
                let old_waker = waker.replace(new_waker);
                drop(outcome);
                drop(old_waker);
                Poll::Pending
            }
            JobOutcome::Ended(_) => match mem::replace(&mut *outcome, JobOutcome::Taken) {
                JobOutcome::Ended(result) => Poll::Ready(result),
                _ => Poll::Pending,
            },
            JobOutcome::Taken => panic!("a Blocking was polled after it was ready"),
        }
    }
}

impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        let outcome = self.cell.lock().map(|mut outcome| match &*outcome {
            JobOutcome::Ended(_) => mem::replace(&mut *outcome, JobOutcome::Taken),
            _ => JobOutcome::Taken,
        });
        // The lock is released before the result is dropped.
        if let Some(JobOutcome::Ended(result)) = outcome {
            (self.discard)(result);
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.cell.lock();
        let ended = outcome.is_some_and(|outcome| !matches!(*outcome, JobOutcome::Pending(_)));
        f.debug_struct("Blocking").field("done", &ended).finish()
    }
}
