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
use std::time::{Duration, Instant};

use crate::error::{TaskError, TaskErrorKind, drop_bounded, log_panic, wake};
use crate::nesting::Kind;
use crate::oneshot::{Discard, Oneshot, discard};
use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, start_thread, thread_local};
use crate::sys::fork::Process;
use crate::sys::thread::processors;
use crate::sys::uninterrupted;

/// The time between two attempts of the loop to start a missing thread. No time passes in a model.
const RETRY_INTERVAL: Duration = match cfg!(all(test, sendloop_loom)) {
    false => Duration::from_millis(10),
    true => Duration::ZERO,
};

/// A [`WorkCell`] as the pool sees it, without the type of its result.
trait Work: Send + Sync {
    /// Runs the work, unless it was dropped. After an error, drops it and fails with the error.
    fn run(&self, begin: Result<(), TaskError>);
}

struct Job {
    work: Arc<dyn Work>,
    /// True if [`Pool::cancel_queued`] keeps it, as for the close of a file, which may be slow.
    must_run: bool,
}

impl Job {
    /// Fails a job that no thread will run.
    fn refuse(self, error: TaskError) {
        self.work.run(Err(error));
    }
}

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
    /// Woken when the pool is no longer busy.
    wakers: Vec<Waker>,
}

impl PoolState {
    /// Returns whether a job is queued or running, or a thread of a closed pool has not ended.
    fn is_busy(&self) -> bool {
        !self.jobs.is_empty() || self.threads > self.idle || self.closed && self.threads > 0
    }
}

type Locked<'a> = MutexGuard<'a, PoolState>;

pub(crate) struct Pool {
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

impl Pool {
    pub(crate) fn new(max_threads: usize) -> Arc<Pool> {
        Arc::new(Pool {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_threads: max_threads.max(1),
            short: AtomicBool::new(false),
            process: Process::current(),
        })
    }

    /// Returns asyncio's default number of threads.
    ///
    /// It suits work that mostly waits, and is bounded on large machines.
    pub(crate) fn default_threads() -> usize {
        (processors() + 4).min(32)
    }

    /// Locks the state, or returns `None` in a forked child, which has no thread of the pool.
    fn state(&self) -> Option<Locked<'_>> {
        // Jobs run without the lock, and no code under the lock panics midway. So a poisoned state
        // is consistent.
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.process.is_current().then(lock)
    }

    /// Runs jobs until the pool is closed and its queue is empty: the main function of a thread.
    ///
    /// If a job forks, it returns in the child too. There this returns, and leaves the queue alone.
    fn run_jobs(self: &Arc<Pool>) -> Option<()> {
        IS_POOL_THREAD.with(|is_pool_thread| is_pool_thread.set(true));
        let mut state = self.state()?;
        while let Some(job) = self.next_job(state) {
            // If the `Blocking` is gone, this drops the result, and that may panic.
            log_panic("while the result of work was dropped", move || job.work.run(Ok(())));
            state = self.update(self.state()?, |state| state.idle += 1)?;
        }
        // While `idle` is above `threads`, a paused clock does not jump. So it jumps only after the
        // tasks that wait for the end are awake.
        state = self.update(self.state()?, |state| state.threads -= 1)?;
        self.update(state, |state| state.idle -= 1).map(drop)
    }

    /// Waits for a job. Returns `None` if the pool is closed and its queue is empty.
    fn next_job(self: &Arc<Pool>, mut state: Locked<'_>) -> Option<Job> {
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                let failed = self.start_missing_threads(&mut state);
                drop(state);
                failed.into_iter().for_each(log_failed_start);
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Changes the state, and wakes the wakers if the pool is no longer busy.
    fn update<'a>(
        &'a self,
        mut state: Locked<'a>,
        change: fn(&mut PoolState),
    ) -> Option<Locked<'a>> {
        change(&mut state);
        if state.wakers.is_empty() || state.is_busy() {
            return Some(state);
        }
        let wakers = mem::take(&mut state.wakers);
        // A waker is foreign code.
        drop(state);
        wakers.into_iter().for_each(wake);
        self.state()
    }

    fn submit(self: &Arc<Pool>, job: Job) {
        let Some(mut state) = self.state() else {
            return job.refuse(TaskError::cancelled());
        };
        if state.closed {
            drop(state);
            return job.refuse(TaskError(TaskErrorKind::ShutDown));
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
            (Some(error), Some(job)) => job.refuse(TaskError(TaskErrorKind::NoThread(error))),
            (failed, _) => {
                self.changed.notify_one();
                failed.into_iter().for_each(log_failed_start);
            }
        }
    }

    /// Runs `work` on a thread and passes its result to the [`Blocking`]. A closed pool cancels it.
    pub(crate) fn run<T: Send + 'static>(
        self: &Arc<Pool>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Blocking<T> {
        let cell = WorkCell::new(work);
        self.submit(Job { work: cell.clone(), must_run: false });
        Blocking { cell, is_useless_alone: false, discard }
    }

    /// Starts threads until each job has an idle one or the limit is reached.
    ///
    /// Returns the error of the first failure, for the log, but not the errors of retries.
    fn start_missing_threads(self: &Arc<Pool>, state: &mut PoolState) -> Option<io::Error> {
        let start = || {
            uninterrupted(|| {
                let pool = self.clone();
                start_thread(move || {
                    pool.run_jobs();
                })
            })
        };
        let retrying = state.retry_at.take().is_some();
        while state.jobs.len() > state.idle && state.threads < self.max_threads {
            // A thread that is ending counts against the kernel's limits for a moment longer, so
            // the pool tries twice. If it has no thread at all, the job fails with the first error.
            let started = match start() {
                Err(_) if state.threads > 0 => start(),
                started => started,
            };
            if let Err(error) = started {
                if state.threads > 0 {
                    state.retry_at = Some(Instant::now() + RETRY_INTERVAL);
                    self.short.store(true, Ordering::Relaxed);
                }
                return (!retrying).then_some(error);
            }
            state.threads += 1;
            state.idle += 1;
        }
        self.short.store(false, Ordering::Relaxed);
        None
    }

    /// Returns the time until the loop must retry, or `None` if no thread is missing.
    pub(crate) fn retry_timeout(&self) -> Option<Duration> {
        if !self.short.load(Ordering::Relaxed) {
            return None;
        }
        let retry_at = self.state()?.retry_at?;
        Some(retry_at.saturating_duration_since(Instant::now()))
    }

    /// Retries to start threads if the pool is short of them and a retry is due.
    pub(crate) fn retry_start(self: &Arc<Pool>) {
        if self.retry_timeout() == Some(Duration::ZERO) {
            let state = self.state();
            // The pool has logged the first failure.
            let _ = state.map(|mut state| self.start_missing_threads(&mut state));
        }
    }

    /// Returns whether a paused clock must wait for the pool. If so, `waker` is woken afterwards.
    pub(crate) fn is_busy(&self, waker: &Waker) -> bool {
        self.poll(waker, |state| state.is_busy() || state.idle > state.threads).is_pending()
    }

    /// Polls for the end of the last thread, after [`close`](Pool::close).
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll(cx.waker(), |state| state.threads > 0)
    }

    fn poll(&self, waker: &Waker, is_busy: fn(&PoolState) -> bool) -> Poll<()> {
        // Cloning and dropping a waker may run foreign code, so the lock is not held then.
        let waker = waker.clone();
        let Some(mut state) = self.state().filter(|state| is_busy(state)) else {
            return Poll::Ready(());
        };
        if !state.wakers.iter().any(|it| it.will_wake(&waker)) {
            state.wakers.push(waker);
        }
        Poll::Pending
    }

    /// Refuses more work. The threads still run the queued jobs, and end after them.
    ///
    /// In a forked child, this cancels the queued jobs. If a thread of the parent held the lock at
    /// the fork, the jobs stay.
    pub(crate) fn close(&self) {
        if let Some(mut state) = self.state() {
            state.closed = true;
            drop(state);
            self.changed.notify_all();
        } else if let Ok(mut state) = self.state.try_lock() {
            let jobs = mem::take(&mut state.jobs);
            drop(state);
            cancel(jobs);
        }
    }

    /// Cancels the work that has not begun because every thread is busy.
    ///
    /// Work that an idle thread is about to begin counts as begun.
    pub(crate) fn cancel_queued(&self) {
        let Some(mut state) = self.state() else {
            return;
        };
        let begun = state.idle.min(state.jobs.len());
        let queued = state.jobs.split_off(begun).into_iter();
        let (kept, cancelled): (VecDeque<_>, VecDeque<_>) = queued.partition(|job| job.must_run);
        state.jobs.extend(kept);
        drop(state);
        cancel(cancelled);
    }

    /// Wraps a file for work in the pool. If `is_slow`, only a thread of the pool closes the file.
    pub(crate) fn lend(self: &Arc<Pool>, file: File, is_slow: bool) -> LentFile {
        let pool = is_slow.then(|| Arc::downgrade(self));
        LentFile { file: Some(file), pool: pool.unwrap_or_default() }
    }
}

/// Logs a failed start. The caller must not hold the pool's lock, as a logger is foreign code.
fn log_failed_start(error: io::Error) {
    log::warn!("the executor cannot start another thread and retries: {error}");
}

/// Drops the work of jobs that no thread will run.
fn cancel(jobs: VecDeque<Job>) {
    for job in jobs {
        log_panic("while queued work was dropped", || {
            job.refuse(TaskError::cancelled());
        });
    }
}

/// A file from [`Pool::lend`].
///
/// If it is slow to close, dropping it queues a job that closes it. A thread of a pool closes it at
/// once, and so does the dropping thread if the pool is gone.
#[derive(Debug)]
pub(crate) struct LentFile {
    file: Option<File>,
    pool: Weak<Pool>,
}

impl Deref for LentFile {
    type Target = File;

    fn deref(&self) -> &File {
        self.file.as_ref().expect("present until the drop")
    }
}

impl Drop for LentFile {
    fn drop(&mut self) {
        if IS_POOL_THREAD.with(Cell::get) {
            return;
        }
        if let (Some(pool), Some(file)) = (self.pool.upgrade(), self.file.take()) {
            pool.submit(Job { work: WorkCell::new(|| drop(file)), must_run: true });
        }
    }
}

/// Executor work, and then its result.
struct WorkCell<T> {
    state: Mutex<WorkState<T>>,
    process: Process,
}

struct WorkState<T> {
    /// `None` after a thread has begun it.
    work: Option<Box<dyn FnOnce() -> T + Send>>,
    result: Oneshot<T>,
}

impl<T> WorkCell<T> {
    fn new(work: impl FnOnce() -> T + Send + 'static) -> Arc<WorkCell<T>> {
        let state = WorkState { work: Some(Box::new(work)), result: Oneshot::Pending(None) };
        Arc::new(WorkCell { state: Mutex::new(state), process: Process::current() })
    }

    /// Locks the state. Returns `None` in a forked child if a thread of the parent held the lock.
    fn state(&self) -> Option<MutexGuard<'_, WorkState<T>>> {
        if !self.process.is_current() {
            return self.state.try_lock().ok();
        }
        Some(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&self, result: Result<T, TaskError>) {
        let before = self.state().map(|mut state| state.result.set(result));
        before.into_iter().for_each(Oneshot::wake);
    }
}

impl<T: Send + 'static> Work for WorkCell<T> {
    fn run(&self, begin: Result<(), TaskError>) {
        // The work runs and is dropped without the lock.
        let take_work = || self.state()?.work.take();
        match begin {
            Ok(()) => {
                if let Some(work) = take_work() {
                    self.end(catch_unwind(AssertUnwindSafe(work)).map_err(TaskError::panic));
                }
            }
            Err(error) => {
                self.end(Err(error));
                // Dropping the work may submit more jobs.
                drop_bounded(Kind::Drop, "while a refused job was dropped", take_work());
            }
        }
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
    cell: Arc<WorkCell<T>>,
    /// True if the work is of no use without its result.
    is_useless_alone: bool,
    discard: Discard<T>,
}

impl<T> Blocking<T> {
    /// Makes the drop of this future drop its work too, if no thread has begun the work.
    ///
    /// Otherwise cancelled work would accumulate while the executor is busy.
    pub(crate) fn cancel_on_drop(mut self) -> Blocking<T> {
        self.is_useless_alone = true;
        self
    }
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waker = Some(cx.waker().clone());
        let state = self.cell.state();
        let text = "a Blocking was polled after it was ready";
        let polled = state.map(|mut state| state.result.poll(&mut waker, text));
        match polled {
            Some(polled) if polled.is_ready() || self.cell.process.is_current() => polled,
            // This is a forked child, whose parent runs the work.
            _ => Poll::Ready(Err(TaskError::cancelled())),
        }
    }
}

impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        let Some(mut state) = self.cell.state() else {
            return;
        };
        let left = state.result.close();
        let work = state.work.take_if(|_| self.is_useless_alone);
        drop(state);
        (self.discard)(left);
        drop(work);
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.cell.state();
        let done = state.is_some_and(|state| !state.result.is_pending());
        f.debug_struct("Blocking").field("done", &done).finish()
    }
}
