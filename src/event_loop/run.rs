//! The methods that run the loop: until a future is complete, until a stop, or for one iteration.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::{Builder, Inner, Loop, LoopHandle};
use crate::error::INHERITED;
use crate::nesting::SeparateLevels;
use crate::reactor::{RETRY_INTERVAL, shorter};
use crate::run_queue::Runnable;

/// The number of iterations after which [`Loop::run_until_idle`] fails.
const MAX_ITERATIONS: u32 = 10_000;

thread_local! {
    /// The running loop of this thread, which `Running` sets and clears.
    ///
    /// It has no destructor, as a loop may run in the destructor of another thread local.
    static RUNNING: RefCell<ManuallyDrop<Option<LoopHandle>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Returns the loop that runs on this thread.
///
/// Inside a task or a callback, this is the loop that runs the task or the callback. In a forked
/// child the parent's loop does not count as running, as in asyncio.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// assert!(sendloop::get_running_loop().is_none());
/// sendloop::run(async |_| {
///     let event_loop = sendloop::get_running_loop().unwrap();
///     event_loop.sleep(std::time::Duration::ZERO).await;
/// })
/// # }
/// ```
#[doc(alias("current", "try_current"))]
pub fn get_running_loop() -> Option<LoopHandle> {
    let running = RUNNING.with(|running| (**running.borrow()).clone());
    running.filter(|handle| handle.inner.process.is_current())
}

/// Creates a loop, runs `main` on it, and closes the loop: asyncio's `run`.
///
/// For other settings use [`Builder::run`].
///
/// After `main` has returned or panicked, `run` cancels the remaining tasks, and waits for executor
/// work that has begun. If work is still queued because every thread is busy, `run` drops it, and
/// its result is cancelled. The difference from asyncio: asyncio runs all queued work, so work that
/// no task awaits keeps the program alive.
///
/// # Ctrl-C
///
/// If SIGINT has its default disposition when `run` begins, the rules below apply. If the program
/// already handles or ignores SIGINT, `run` does not change that. If the program installs a handler
/// later, with [`add_signal_handler`](LoopHandle::add_signal_handler) or sigaction(2), that handler
/// takes over.
///
/// - The first Ctrl-C drops `main` and all tasks, and `run` fails with `Interrupted`. The loop does
///   this between two steps of tasks, so it cannot end a `main` that never yields.
/// - The second Ctrl-C ends the process, even if `main` never yields, because the signal handler
///   restores the default disposition at the first one.
/// - If the first Ctrl-C comes after `main` has returned, it ends the wait for the executor. `run`
///   returns the output of `main`, and the executor's threads go on until the process ends. asyncio
///   raises `KeyboardInterrupt` there.
///
/// # Errors
///
/// - Any OS error from the creation of the loop.
/// - `Interrupted` after Ctrl-C.
///
/// If `main` itself returns an error, it is inside the `Ok`.
///
/// # Panics
///
/// If a loop is already running on this thread, if the loop is stopped before `main` is complete,
/// or if `main` panics.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let answer = sendloop::run(async |event_loop| {
///     let half = event_loop.create_task(async { 21 });
///     2 * half.await.unwrap()
/// })?;
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
///
/// A program that ends at Ctrl-C without an error. An `async fn` can be `main`:
///
/// ```
/// use std::io;
/// use sendloop::LoopHandle;
///
/// fn main() -> io::Result<()> {
///     match sendloop::run(serve) {
///         Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
///         result => result?,
///     }
/// }
///
/// async fn serve(event_loop: LoopHandle) -> io::Result<()> {
///     // A signal that a terminal would send.
///     event_loop.call_soon(|| assert_eq!(unsafe { libc::raise(libc::SIGINT) }, 0));
///     std::future::pending().await
/// }
/// ```
#[doc(alias("block_on", "main"))]
#[track_caller]
pub fn run<T>(main: impl AsyncFnOnce(LoopHandle) -> T) -> io::Result<T> {
    Loop::builder().run(main)
}

impl Builder {
    /// Creates a loop with these settings, runs `main` on it, and closes the loop.
    ///
    /// This is [`run`] with settings. It ends in the same way, and has the same rules for Ctrl-C.
    /// [`shutdown_timeout`](Builder::shutdown_timeout) bounds the wait for executor work at the
    /// end.
    ///
    /// # Errors
    ///
    /// The errors of [`build`](Builder::build), and `Interrupted` after Ctrl-C.
    ///
    /// # Panics
    ///
    /// The same as [`run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sendloop::Loop;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let builder = Loop::builder()
    ///     .executor_threads(1)
    ///     .shutdown_timeout(Duration::from_secs(5));
    /// let answer = builder.run(async |event_loop| {
    ///     let half = event_loop.run_in_executor(|| 21);
    ///     2 * half.await.unwrap()
    /// })?;
    /// assert_eq!(answer, 42);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "block_on")]
    #[track_caller]
    pub fn run<T>(self, main: impl AsyncFnOnce(LoopHandle) -> T) -> io::Result<T> {
        let limit = self.shutdown_timeout;
        let event_loop = self.build()?;
        event_loop.enable_interrupt()?;
        let interrupt = &event_loop.inner.signals.interrupt;
        let _end = RunEnd { event_loop: &event_loop, limit };
        event_loop.run_until_complete(async {
            let mut main = pin!(main(event_loop.handle()));
            poll_fn(|cx| {
                if let Poll::Ready(output) = main.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                interrupt.poll(cx).map(|()| Err(io::ErrorKind::Interrupted.into()))
            })
            .await
        })
    }
}

/// The end of [`run`], also after a panic of `main`, as in asyncio.
struct RunEnd<'a> {
    event_loop: &'a Loop,
    limit: Option<Duration>,
}

impl Drop for RunEnd<'_> {
    fn drop(&mut self) {
        let inner = &self.event_loop.inner;
        // A forked child has no threads to wait for. If another loop runs here, this one never ran.
        if inner.process.is_current() && get_running_loop().is_none() {
            inner.run_queue.cancel_tasks();
            inner.pool.close();
            inner.pool.cancel_queued();
            self.event_loop.wait_for_executor(self.limit);
        }
    }
}

/// The guard of a loop that runs.
struct Running<'a> {
    inner: &'a Inner,
    /// The task of `run_until_complete`.
    root: Option<Runnable>,
    /// Dropping it restores the levels.
    _levels: SeparateLevels,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(root) = &self.root {
            // Stale wakers are ignored from here on.
            self.inner.run_queue.unregister(root.head());
        }
        self.inner.running.set(false);
        self.inner.stopping.set(false);
        drop(RUNNING.with(|running| running.borrow_mut().take()));
        self.inner.update_descriptor();
    }
}

impl Loop {
    /// Runs the loop until `future` is complete, and returns its output.
    ///
    /// The future may borrow local variables, and need not be `Send`. As in asyncio, callbacks that
    /// the future has queued still run after it completes. Tasks that are not done stay, and go on
    /// when the loop runs again.
    ///
    /// # Panics
    ///
    /// - If a loop is already running on this thread.
    /// - If the loop is [stopped](LoopHandle::stop) before the future is complete.
    /// - If the future panics.
    /// - In a forked child, if the loop is its parent's.
    ///
    /// After a panic of the future or an early stop, the loop stays usable.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let words = vec!["borrowed", "not", "moved"];
    /// let count = event_loop.run_until_complete(async { words.len() });
    /// assert_eq!(count, words.len());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "block_on")]
    #[track_caller]
    pub fn run_until_complete<F: IntoFuture>(&self, future: F) -> F::Output {
        match self.try_run(future.into_future(), None) {
            Some(output) => output,
            None => panic!("the loop was stopped before the future was complete"),
        }
    }

    /// Waits for the end of the executor's threads, for at most `limit` of real time, or until
    /// Ctrl-C.
    fn wait_for_executor(&self, limit: Option<Duration>) {
        let mut ended = poll_fn(|cx| match self.inner.signals.interrupt.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.inner.pool.poll_ended(cx),
        });
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let has_timed_out = || end.is_some_and(|end| Instant::now() >= end);
        // A `stop` at this time must not end the wait.
        while self.try_run(&mut ended, end).is_none() && !has_timed_out() {}
    }

    /// Runs the loop like [`run_until_complete`](Loop::run_until_complete), but returns `None`
    /// after a stop, or at `end` in real time.
    #[track_caller]
    fn try_run<F: Future>(&self, future: F, end: Option<Instant>) -> Option<F::Output> {
        let mut running = self.enter();
        let inner = running.inner;
        running.root = Some(inner.run_queue.create_root());
        let mut future = pin!(future);
        let mut output = None;
        let mut step = |waker: &Waker| {
            // The future was complete in the last iteration. The entries that were queued before
            // its end have run since.
            if output.is_some() {
                return inner.stopping.set(true);
            }
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                output = Some(value);
                waker.wake_by_ref();
            }
        };
        inner.run_until_stopped(end, &mut step);
        if let Some(root) = running.root.take() {
            // Before the future is dropped, as its destructor may wake it.
            inner.run_queue.unregister(root.head());
        }
        output
    }

    /// Runs the loop until it is [stopped](LoopHandle::stop).
    ///
    /// The loop can run again afterwards.
    ///
    /// If the loop was stopped before this call, exactly one iteration runs, as in asyncio.
    ///
    /// # Panics
    ///
    /// - If a loop is already running on this thread.
    /// - In a forked child, if the loop is its parent's.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.call_later(Duration::from_millis(1), move || handle.stop());
    /// event_loop.run_forever();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn run_forever(&self) {
        let running = self.enter();
        running.inner.run_until_stopped(None, &mut |_| {});
    }

    /// Runs one iteration of the loop, waiting at most `timeout` for an event.
    ///
    /// With `None`, it waits without a limit. To run this loop inside another one, poll [this
    /// loop's descriptor](Loop#method.as_fd) for readability, then call
    /// `run_once(Some(Duration::ZERO))`.
    ///
    /// A [paused clock](crate::Clock::paused) jumps by at most `timeout` instead of waiting. So
    /// with such a clock, an embedder calls `run_once(event_loop.next_timeout())`, which jumps to
    /// the next timer.
    ///
    /// asyncio has no such method. Its `stop` before `run_forever` has nearly the same effect.
    ///
    /// # Errors
    ///
    /// - Any error of the poller. The iteration still runs timers and queued work. An interrupted
    ///   wait is not an error.
    /// - In a forked child, an error if the loop is its parent's.
    ///
    /// # Panics
    ///
    /// If a loop is already running on this thread: for example, inside a task or a callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let task = event_loop.create_task(event_loop.sleep(Duration::from_millis(1)));
    /// while !task.done() {
    ///     event_loop.run_once(None)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("tick", "turn"))]
    #[track_caller]
    pub fn run_once(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.check_process()?;
        let running = self.enter();
        running.inner.run_iteration(timeout, &mut |_| {}).map(drop)
    }

    /// Runs iterations without waiting until nothing is ready.
    ///
    /// The method is for tests and frame loops. It returns after an iteration that finds nothing to
    /// run. Tasks may still wait for a timer or a later event.
    ///
    /// - For each descriptor, [`add_reader`](LoopHandle::add_reader) and
    ///   [`add_writer`](LoopHandle::add_writer) call at most one callback each, even if the
    ///   descriptor stays ready or a callback adds another one. Signals are delivered at most once.
    /// - A [`stop`](LoopHandle::stop), before the call or during it, ends the run after the current
    ///   iteration.
    /// - A [paused clock](crate::Clock::paused) does not jump: no time passes for the loop.
    ///
    /// asyncio has no such method.
    ///
    /// # Errors
    ///
    /// - `WouldBlock` after 10,000 iterations, for example if a task always yields. No work is
    ///   lost: the next run continues.
    /// - Any error of the poller.
    /// - In a forked child, an error if the loop is its parent's.
    ///
    /// # Panics
    ///
    /// If a loop is already running on this thread: for example, inside a task or a callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::{Loop, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let handle = event_loop.handle();
    /// let receiver = event_loop.create_task(async move { handle.sock_recv(&near, 10).await });
    /// event_loop.run_until_idle()?;
    /// assert!(!receiver.done());
    ///
    /// let handle = event_loop.handle();
    /// event_loop.create_task(async move { handle.sock_sendall(&far, b"hello").await });
    /// event_loop.run_until_idle()?;
    /// assert!(receiver.done());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("run_until_stalled", "try_tick"))]
    #[track_caller]
    pub fn run_until_idle(&self) -> io::Result<()> {
        self.inner.check_process()?;
        let running = self.enter();
        let inner = running.inner;
        let _once = inner.reactor.once();
        for _ in 0..MAX_ITERATIONS {
            let had_work = inner.run_iteration(Some(Duration::ZERO), &mut |_| {})?;
            let is_idle = !had_work && inner.reactor.poll_timeout() != Some(Duration::ZERO);
            if is_idle || inner.stopping.get() {
                return Ok(());
            }
        }
        let what = format!("the loop is still busy after {MAX_ITERATIONS} iterations");
        Err(io::Error::new(io::ErrorKind::WouldBlock, what))
    }

    /// Returns the time from now until an iteration is due.
    ///
    /// The result is zero if work is queued, and otherwise the time until the next timer. It is
    /// `None` if only I/O, a call from another thread or a signal can cause an iteration. A loop
    /// that polls [this loop's descriptor](Loop#method.as_fd) needs this method only on systems
    /// other than Linux, right before each wait.
    ///
    /// The time is that of the loop's clock. With a [paused clock](crate::Clock::paused),
    /// `run_once(event_loop.next_timeout())` jumps by the result.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// assert_eq!(event_loop.next_timeout(), None);
    /// event_loop.call_later(Duration::from_secs(60), || {});
    /// assert!(event_loop.next_timeout().unwrap() > Duration::from_secs(50));
    /// event_loop.call_soon(|| {});
    /// assert_eq!(event_loop.next_timeout(), Some(Duration::ZERO));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let own = shorter(self.inner.poll_timeout(), self.inner.reactor.poll_timeout());
        shorter(own, self.inner.pool.retry_timeout())
    }

    #[track_caller]
    fn enter(&self) -> Running<'_> {
        assert!(self.inner.process.is_current(), "{INHERITED}");
        assert!(get_running_loop().is_none(), "a loop is already running on this thread");
        let handle = Some(self.handle());
        drop(RUNNING.with(|running| mem::replace(&mut **running.borrow_mut(), handle)));
        self.inner.running.set(true);
        self.inner.run_queue.notifies_embedder.set(false);
        Running { inner: &self.inner, root: None, _levels: SeparateLevels::enter() }
    }
}

impl Inner {
    /// Runs until a stop, or until `end` in real time.
    #[track_caller]
    fn run_until_stopped(&self, end: Option<Instant>, root: &mut dyn FnMut(&Waker)) {
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if let Err(error) = self.run_iteration(left, root) {
                assert!(self.process.is_current(), "{INHERITED}");
                // The poller fails only if memory is short. The loop must still serve timers and
                // other threads, but must not spin.
                log::error!("the poller of a loop failed, and the loop retries: {error}");
                thread::sleep(RETRY_INTERVAL);
            }
            if self.stopping.get() || left == Some(Duration::ZERO) {
                break;
            }
        }
    }
}
