//! The settings of a loop.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::debug::DebugMode;
use super::embedding::Embedding;
use super::signals::Signals;
use super::{BUDGET, Inner, Loop, LoopHandle};
use crate::clock::Clock;
use crate::pool::Pool;
use crate::reactor::Reactor;
use crate::remote::Inbox;
use crate::run_queue::RunQueue;
use crate::sys::fork::Process;
use crate::sys::signal;
use crate::timers::Timers;

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
    pub(super) shutdown_timeout: Option<Duration>,
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
        let run_queue = RunQueue::new(inbox.id, clock_waker.clone());
        let threads = self.executor_threads.unwrap_or_else(Pool::default_threads);
        let inner = Inner {
            run_queue,
            timers: Timers::default(),
            reactor,
            pool: Pool::new(threads),
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
