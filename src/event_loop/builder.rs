//! The settings of a loop.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::Waker;

use super::debug::Debug;
use super::stats::Counters;
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
#[derive(Debug, Clone, Default)]
#[must_use = "a builder makes a loop by `build`"]
pub struct Builder {
    executor_threads: Option<usize>,
    clock: Clock,
    debug: Option<bool>,
}

impl Builder {
    /// How many threads the executor may have: at least 1; min(32, cores + 4) unless set, as in asyncio.
    #[doc(alias = "max_blocking_threads")]
    pub fn executor_threads(mut self, most: usize) -> Builder {
        self.executor_threads = Some(most);
        self
    }

    /// The clock that the loop goes by.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// Whether the loop is in debug mode, see [`set_debug`](LoopHandle::set_debug); unless set, whether the environment has
    /// `SENDLOOP_DEBUG` with something else than nothing and 0.
    pub fn debug(mut self, debug: bool) -> Builder {
        self.debug = Some(debug);
        self
    }

    /// Makes the loop. See [`Loop::new`] for what it does to SIGPIPE.
    ///
    /// # Errors
    ///
    /// What the system says where it has no descriptor left for a poller.
    pub fn build(self) -> io::Result<Loop> {
        signal::ignore_sigpipe()?;
        let (reactor, poller) = Reactor::new()?;
        let descriptor = reactor.descriptor()?;
        let door = Door::new(poller)?;
        let ready = Ready::new(door.id());
        let watcher = Waker::from(door.clone());
        self.clock.watch(&watcher);
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
