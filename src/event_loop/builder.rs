//! The settings of a loop.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::debug::Debug;
use super::embedding::Embedding;
use super::stats::Counters;
use super::virtual_time::Standstill;
use super::watch::Watches;
use super::{BUDGET, Inner, Loop, LoopHandle};
use crate::clock::Clock;
use crate::pool::Pool;
use crate::reactor::Reactor;
use crate::ready::Ready;
use crate::remote::Door;
use crate::sys::fork::Process;
use crate::sys::signal;
use crate::task::Tasks;
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
    /// Sets how many threads the executor may have: at least 1. The default is asyncio's,
    /// min(32, cores + 4).
    #[doc(alias = "max_blocking_threads")]
    pub fn executor_threads(mut self, most: usize) -> Builder {
        self.executor_threads = Some(most);
        self
    }

    /// Bounds the wait for executor work at the end of [`run`](Builder::run).
    ///
    /// It is real time, whatever the loop's clock. When it is over, `run` returns the output of
    /// `main`, and threads that still work go on until the process ends. Zero waits for nothing.
    /// Without this setting `run` waits until the work that has begun is done, as asyncio does.
    ///
    /// Only `run` uses it. Dropping or closing a [`Loop`] never waits for the executor.
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

    /// Sets the clock of the loop. The default is [`Clock::real`]; [`Clock`] has examples.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// Turns [debug mode](LoopHandle::set_debug) on or off from the start.
    ///
    /// The default is on if the environment variable `SENDLOOP_DEBUG` is neither empty nor 0.
    pub fn debug(mut self, debug: bool) -> Builder {
        self.debug = Some(debug);
        self
    }

    /// Creates the loop. See [`Loop::new`] for what it does to SIGPIPE.
    ///
    /// # Errors
    ///
    /// Any OS error, as when no descriptor is left for a poller. `InvalidInput` if the clock is
    /// [paused](Clock::paused) and was given to another loop before.
    pub fn build(self) -> io::Result<Loop> {
        signal::ignore_sigpipe()?;
        let (reactor, poller) = Reactor::new()?;
        let descriptor = reactor.descriptor()?;
        let door = Door::new(poller)?;
        let watcher = Waker::from(door.clone());
        self.clock
            .watch(&watcher)
            .inspect_err(|_| drop(door.close()))?;
        let ready = Ready::new(door.id(), watcher.clone());
        let threads = self.executor_threads.unwrap_or_else(Pool::usual_threads);
        let inner = Inner {
            tasks: Rc::new(Tasks::new(ready.clone())),
            ready,
            timers: Timers::default(),
            reactor,
            pool: Pool::new(threads),
            door,
            clock: self.clock,
            watcher,
            standstill: Standstill::default(),
            embedding: Embedding::default(),
            process: Process::current(),
            running: Cell::new(false),
            stopping: Cell::new(false),
            closed: Cell::new(false),
            budget: Cell::new(BUDGET),
            next_budget: Cell::new(BUDGET / 4),
            yields: Cell::new(0),
            counters: Counters::default(),
            debug: Debug::new(self.debug),
            watches: Watches::default(),
            signals: Rc::default(),
        };
        let handle = LoopHandle {
            inner: Rc::new(inner),
        };
        Ok(Loop {
            handle,
            descriptor: Some(descriptor),
        })
    }
}
