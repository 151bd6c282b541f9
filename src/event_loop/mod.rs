//! The loop: its parts, its settings, its owner, and its handles.
//!
//! [`Loop`] is the owner. It runs the loop, and dropping it closes the loop. Tasks and callbacks
//! keep clones of the [`LoopHandle`]. Only the owner has the methods that run the loop, so a task
//! cannot run its own loop. Closing drops all tasks and callbacks, and so breaks their reference
//! cycles with the loop.

#[cfg(all(test, sendloop_loom))]
mod loom_tests;

mod debug;
mod descriptors;
mod embedding;
mod iteration;
mod run;
mod schedule;
mod signals;
mod stats;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

pub use descriptors::Readiness;
pub use run::{get_running_loop, run};
pub use schedule::{Handle, Sleep, TimerHandle};
pub use signals::Signal;
pub(crate) use stats::Fallback;
pub use stats::{Fallbacks, Stats};

use crate::clock::Clock;
use crate::error::{LoopClosedError, inherited, log_panic};
use crate::pool::Pool;
use crate::reactor::{Reactor, Source};
use crate::remote::{Inbox, Remote};
use crate::run_queue::RunQueue;
use crate::sys::fork::{Process, drop_inherited_poller};
use crate::sys::signal;
use crate::timers::Timers;
use debug::DebugMode;
use embedding::Embedding;
use iteration::NEVER;
use signals::Signals;

/// The most operations that a task may finish in one step before other tasks run.
///
/// Otherwise an operation that is always ready would block the other tasks.
const BUDGET: u32 = 128;

/// The number of bytes that costs as much as one operation, so that a budget is 2 MiB.
const BYTES_PER_OPERATION: u64 = 16 << 10;

/// The most bytes that one system call moves.
pub(crate) const MAX_PER_CALL: usize = 1 << 20;

/// The parts of a loop, shared by its handles.
pub(crate) struct Inner {
    run_queue: Rc<RunQueue>,
    timers: Timers,
    reactor: Rc<Reactor>,
    pub(crate) pool: Arc<Pool>,
    inbox: Arc<Inbox>,
    clock: Clock,
    /// Makes the loop run an iteration, as a message from another thread does.
    clock_waker: Waker,
    /// The time that the loop has waited for a manual clock without an event. `None` after the log.
    standstill: Cell<Option<Duration>>,
    embedding: Embedding,
    /// The process that created the loop. No other process may run it.
    process: Process,
    running: Cell<bool>,
    stopping: Cell<bool>,
    closed: Cell<bool>,
    budget: Cell<u32>,
    /// The number of budgets that the present step has consumed.
    yields: Cell<u64>,
    stats: RefCell<Stats>,
    debug: DebugMode,
    /// Each descriptor that has a callback. The callbacks are in its source.
    fd_callbacks: RefCell<HashMap<RawFd, Rc<Source>>>,
    signals: Signals,
}

impl Inner {
    /// Fails in a forked child.
    #[inline]
    fn check_process(&self) -> io::Result<()> {
        self.process.is_current().then_some(()).ok_or_else(inherited)
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        // From here on the loop refuses new work, so a destructor cannot prolong the close.
        self.pool.close();
        let messages = self.inbox.close();
        // In a forked child the clock knows no loop of the parent.
        if self.process.is_current() {
            self.clock.unsubscribe(&self.clock_waker);
        }
        self.run_queue.close();
        let exceptions = &self.run_queue.exceptions;
        self.timers.close(exceptions);
        for message in messages {
            exceptions.contain("panic while another thread's call was dropped", || drop(message));
        }
        for callback in self.fd_callbacks.take().into_values().flat_map(descriptors::take_callbacks)
        {
            exceptions.contain("panic while a callback was dropped", || callback.cancel());
        }
        self.close_signals();
        self.reactor.close();
        self.embedding.timer.take();
        log_panic("while an exception handler was dropped", || exceptions.set(None));
    }
}

/// The settings of a [`Loop`], from [`Loop::builder`].
///
/// # Examples
///
/// ```
/// use sendloop::{Clock, Loop};
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::builder()
///     .executor_threads(2)
///     .clock(Clock::manual())
///     .debug(true)
///     .build()?;
/// assert!(event_loop.get_debug());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "current_thread")]
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build` or `run`"]
pub struct Builder {
    executor_threads: Option<usize>,
    shutdown_timeout: Option<Duration>,
    clock: Clock,
    debug: Option<bool>,
}

impl Builder {
    /// Sets the maximum number of executor threads; at least 1.
    ///
    /// The default is asyncio's: min(32, cores + 4).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::builder().executor_threads(1).build()?;
    /// let thread = || std::thread::current().id();
    /// let first = event_loop.run_until_complete(event_loop.run_in_executor(thread)).unwrap();
    /// let second = event_loop.run_until_complete(event_loop.run_in_executor(thread)).unwrap();
    /// assert_eq!(first, second);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "max_blocking_threads")]
    pub fn executor_threads(mut self, max: usize) -> Builder {
        self.executor_threads = Some(max);
        self
    }

    /// Bounds the wait for executor work at the end of [`run`](Builder::run).
    ///
    /// The limit is real time, whatever the loop's clock. After the limit, `run` returns the output
    /// of `main`, and busy threads go on until the process ends. With zero, `run` does not wait.
    /// Without this setting, `run` waits until the work that has begun is done, as asyncio does.
    ///
    /// Only `run` uses this setting. Dropping or closing a [`Loop`] never waits for the executor.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use sendloop::Loop;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// Loop::builder().shutdown_timeout(Duration::from_millis(10)).run(async |event_loop| {
    ///     drop(event_loop.run_in_executor(|| loop { thread::park() }));
    /// })
    /// # }
    /// ```
    pub fn shutdown_timeout(mut self, limit: Duration) -> Builder {
        self.shutdown_timeout = Some(limit);
        self
    }

    /// Sets the clock of the loop. The default is [`Clock::real`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use sendloop::{Clock, Loop};
    ///
    /// let clock = Clock::manual();
    /// let event_loop = Loop::builder().clock(clock.clone()).build()?;
    /// let start = event_loop.time();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(event_loop.time() - start, Duration::from_secs(60));
    /// # Ok(())
    /// # }
    /// ```
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// Turns [debug mode](LoopHandle::set_debug) on or off from the start.
    ///
    /// The default is on if the environment variable `SENDLOOP_DEBUG` is neither empty nor 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::builder().debug(true).build()?;
    /// assert!(event_loop.get_debug());
    /// # Ok(())
    /// # }
    /// ```
    pub fn debug(mut self, debug: bool) -> Builder {
        self.debug = Some(debug);
        self
    }

    /// Creates the loop. Like [`Loop::new`], this may set SIGPIPE to ignored.
    ///
    /// # Errors
    ///
    /// Any OS error, for example if the process is out of descriptors. `InvalidInput` if the clock
    /// is [paused](Clock::paused) and another loop uses or used it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::builder().executor_threads(2).build()?;
    /// assert_eq!(event_loop.run_until_complete(async { 7 }), 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn build(self) -> io::Result<Loop> {
        signal::ignore_sigpipe()?;
        let (reactor, poller) = Reactor::new()?;
        let descriptor = reactor.descriptor()?;
        let inbox = Inbox::new(poller)?;
        let clock_waker = Waker::from(inbox.clone());
        self.clock.subscribe(&clock_waker).inspect_err(|_| drop(inbox.close()))?;
        let inner = Inner {
            run_queue: RunQueue::new(inbox.id, clock_waker.clone()),
            timers: Timers::default(),
            reactor,
            pool: Pool::new(self.executor_threads.unwrap_or_else(Pool::default_threads)),
            inbox,
            clock: self.clock,
            clock_waker,
            standstill: Cell::new(Some(Duration::ZERO)),
            embedding: Embedding::default(),
            process: Process::current(),
            running: Cell::new(false),
            stopping: Cell::new(false),
            closed: Cell::new(false),
            budget: Cell::new(BUDGET),
            yields: Cell::new(0),
            stats: RefCell::default(),
            debug: DebugMode::new(self.debug),
            fd_callbacks: RefCell::default(),
            signals: Signals::default(),
        };
        let handle = LoopHandle { inner: Rc::new(inner) };
        Ok(Loop { handle, descriptor: Some(descriptor) })
    }
}

/// An event loop: the owner, which runs the loop and closes it when it is dropped.
///
/// It dereferences to [`LoopHandle`], which has all methods that do not run the loop. The loop and
/// its handles stay on one thread, so neither is `Send`. Other threads use a
/// [`remote`](LoopHandle::remote).
///
/// Dropping the loop drops every task, callback and timer, even if they hold handles of this loop.
/// It does not wait for the executor's threads. A closed loop never panics and never waits without
/// end:
///
/// - `call_soon`, `call_later` and `create_task` drop their argument.
/// - Operations that would have to wait fail with [`LoopClosedError`].
///
/// # Forked child
///
/// A forked process inherits the loops of its parent. In the child such a loop is closed:
///
/// - `run_until_complete` and `run_forever` panic, and [`run_once`](Loop::run_once) fails. If a
///   callback or a task forks, the child's run ends in the same way after that callback or step.
/// - Dropping the loop, a socket, a task or a callback runs its destructor and closes the child's
///   descriptors. The parent's loop keeps its registrations.
/// - Wakers, handles and [`Remote`]s have no effect on the parent's loop. Executor work is
///   cancelled.
/// - A signal that only the parent's loop handles has its default effect in the child, if it had
///   the default effect before the loop handled it.
///
/// A new loop in the child works, and may use the sockets that the child inherited. In the child,
/// the library never waits for a lock or a thread of the parent.
///
/// Other code may hang in a child if the parent has more threads:
///
/// - `std::thread::spawn`, also in executor work: another thread may have held std's lock.
/// - [`getaddrinfo`](LoopHandle::getaddrinfo) of a name, and
///   [`getnameinfo`](LoopHandle::getnameinfo): the C library does not reset the resolver's locks.
///   An address such as `127.0.0.1` needs no lookup.
/// - Every allocation after a fork by the raw system call, if another thread was allocating at the
///   fork.
///
/// On Linux since 4.14, the library also detects a fork by the raw system call. On other systems it
/// detects only the `fork` of the C library.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sendloop::Loop;
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::new()?;
/// let answer = event_loop.run_until_complete(async {
///     event_loop.sleep(Duration::from_millis(1)).await;
///     42
/// });
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
///
/// Only the owner can run a loop. A task holds a handle, so this does not compile:
///
/// ```compile_fail
/// # let event_loop = sendloop::Loop::new().unwrap();
/// let handle = event_loop.handle();
/// event_loop.create_task(async move { handle.run_until_complete(async {}) });
/// ```
#[doc(alias("Runtime", "LocalExecutor", "LocalSet"))]
pub struct Loop {
    handle: LoopHandle,
    /// The poller's descriptor, for [`AsFd`]. `None` only during the drop.
    descriptor: Option<OwnedFd>,
}

impl Loop {
    /// Creates a loop with the default settings.
    ///
    /// If SIGPIPE is at its default, this sets it to ignored, for the whole process. Otherwise a
    /// sendfile(2) to a peer that has gone would kill the process. Rust's own runtime does the same
    /// before `main`. The loop never restores the default. If the program restores it, such a
    /// sendfile kills the process, until the program creates another loop.
    ///
    /// # Errors
    ///
    /// Any OS error, for example if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// assert_eq!(event_loop.run_until_complete(async { 42 }), 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> io::Result<Loop> {
        Loop::builder().build()
    }

    /// Returns a builder for a loop with other settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::builder().executor_threads(4).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns a handle to this loop, for tasks and callbacks to keep.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.call_soon(move || handle.stop());
    /// event_loop.run_forever();
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle(&self) -> LoopHandle {
        self.handle.clone()
    }

    /// Closes the loop. Dropping the loop has the same effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.close();
    /// assert!(handle.is_closed());
    /// assert!(handle.call_soon(|| {}).cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(self) {}
}

impl Deref for Loop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.handle.inner.close();
        if !self.handle.inner.process.is_current() {
            drop_inherited_poller(self.descriptor.take());
        }
    }
}

/// The loop's descriptor, which is readable when an iteration is due, for
/// [embedding](Loop::run_once).
impl AsFd for Loop {
    /// Returns the loop's descriptor, for another loop to poll for readability.
    ///
    /// After the first call, the descriptor is readable in these situations:
    ///
    /// - An event is pending, or a call or a wake-up from another thread.
    /// - Work is queued: a task that was created, woken or cancelled, a callback, or a
    ///   [`stop`](LoopHandle::stop).
    /// - A timer is due, or a [manual clock](crate::Clock::manual) was advanced.
    /// - A [paused clock](crate::Clock::paused) would jump.
    ///
    /// After an iteration has done all that, the descriptor is no longer readable. So the other
    /// loop can poll it without a timeout. With a paused clock, call
    /// `run_once(event_loop.next_timeout())`, which jumps.
    ///
    /// The first call creates a timerfd. If that fails, the loop logs a warning, and retries in
    /// each iteration. Until the retry succeeds, the descriptor is readable while the loop has
    /// timers.
    ///
    /// # Platform
    ///
    /// The timerfd needs Linux. On other systems, a timer that falls due does not make the
    /// descriptor readable. There, call [`next_timeout`](Loop::next_timeout) right before each
    /// wait, and wait at most that long.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustix::event::{PollFd, PollFlags, poll};
    /// use sendloop::Loop;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let task = event_loop.create_task(event_loop.sleep(Duration::from_millis(5)));
    /// while !task.done() {
    ///     # #[cfg(target_os = "linux")]
    ///     poll(&mut [PollFd::new(&event_loop, PollFlags::IN)], None)?;
    ///     event_loop.run_once(Some(Duration::ZERO))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.embed();
        self.descriptor.as_ref().expect("present until the drop").as_fd()
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loop").field(&self.handle).finish()
    }
}

/// A cloneable handle to a [`Loop`], for everything except running it.
///
/// A handle stays on the loop's thread. It may outlive the loop: on a closed loop, its methods do
/// nothing or fail, as [`Loop`] describes.
#[derive(Clone)]
pub struct LoopHandle {
    pub(crate) inner: Rc<Inner>,
}

impl LoopHandle {
    /// Returns whether one of the methods that run the loop is active.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// assert!(!event_loop.is_running());
    /// assert!(event_loop.run_until_complete(async { event_loop.is_running() }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_running(&self) -> bool {
        self.inner.running.get() && self.inner.process.is_current()
    }

    /// Returns whether the loop is closed, by [`Loop::close`] or because it was dropped.
    ///
    /// In a forked child, an inherited loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// assert!(!handle.is_closed());
    /// drop(event_loop);
    /// assert!(handle.is_closed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_closed(&self) -> bool {
        self.inner.closed.get() || !self.inner.process.is_current()
    }

    /// Fails if the loop [is closed](LoopHandle::is_closed).
    pub(crate) fn check_closed(&self) -> io::Result<()> {
        self.inner.check_process()?;
        match self.inner.closed.get() {
            true => Err(LoopClosedError.into()),
            false => Ok(()),
        }
    }

    /// Returns the present time of the loop's [clock](crate::Clock).
    ///
    /// asyncio returns seconds from an arbitrary start. Here the time is an [`Instant`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let start = event_loop.time();
    /// event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(1)));
    /// assert!(event_loop.time() - start >= Duration::from_millis(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn time(&self) -> Instant {
        self.inner.clock.now()
    }

    /// Returns a handle to this loop for other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let remote = event_loop.remote();
    /// let thread = std::thread::spawn(move || remote.stop());
    /// event_loop.run_forever();
    /// thread.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn remote(&self) -> Remote {
        Remote { inbox: self.inner.inbox.clone() }
    }

    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.inner.reactor
    }

    /// Polls the budget before an operation. If the step has consumed its budget, this wakes the
    /// task and is pending.
    ///
    /// Only that one operation is pending. The next operations in the step share a quarter of the
    /// budget, then a quarter of that, and so on. So every operation makes progress, even if the
    /// task polls many of them, and together they exceed the budget only a little. This also renews
    /// the budget of a task of another loop.
    #[inline]
    pub(crate) fn poll_budget(&self, cx: &Context<'_>) -> Poll<()> {
        if self.inner.budget.get() > 0 {
            return Poll::Ready(());
        }
        self.shrink_budget(cx);
        Poll::Pending
    }

    /// Polls the budget, and consumes it for an operation that moves no bytes.
    ///
    /// An operation that may end without a system call begins with this, as a task that repeats it
    /// would stop the loop.
    pub(crate) fn poll_proceed(&self, cx: &Context<'_>) -> Poll<()> {
        ready!(self.poll_budget(cx));
        self.consume_budget(0);
        Poll::Ready(())
    }

    #[cold]
    fn shrink_budget(&self, cx: &Context<'_>) {
        let yields = self.inner.yields.get() + 1;
        self.inner.yields.set(yields);
        self.inner.budget.set((BUDGET >> (2 * yields.min(8))).max(1));
        cx.waker().wake_by_ref();
    }

    /// Consumes the budget for an operation that was ready and moved `bytes`.
    ///
    /// An operation that waits consumes nothing, because other tasks run meanwhile.
    #[inline]
    pub(crate) fn consume_budget(&self, bytes: u64) {
        let cost = 1 + (bytes / BYTES_PER_OPERATION).min(u64::from(BUDGET)) as u32;
        let left = self.inner.budget.get().saturating_sub(cost);
        self.inner.budget.set(left);
    }

    /// Returns the most bytes that the next call may send: the rest of the budget, but at most
    /// [`MAX_PER_CALL`].
    pub(crate) fn sendable(&self) -> usize {
        let left = u64::from(self.inner.budget.get()) * BYTES_PER_OPERATION;
        left.min(MAX_PER_CALL as u64) as usize
    }

    /// Returns the time after `delay`. If an `Instant` cannot hold it, this returns a time in the
    /// far future.
    pub(crate) fn deadline(&self, delay: Duration) -> Instant {
        let now = self.time();
        now.checked_add(delay).unwrap_or_else(|| now + NEVER * 10)
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .field("tasks", &self.inner.run_queue.task_count())
            .finish()
    }
}
