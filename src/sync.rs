//! Locks, atomics, thread starts and the poller's wait: those of `std` and mio, or those of a
//! model.
//!
//! In unit tests with `--cfg sendloop_loom`, `loom` provides them. It runs a test once for every
//! interleaving of its threads (`tests/long/interleavings.sh`). The modules that several threads
//! use, as `pool` and `remote`, import them from here.

#[cfg(not(all(test, sendloop_loom)))]
pub(crate) use real::*;

#[cfg(all(test, sendloop_loom))]
#[path = "../tests/util/loom.rs"]
pub(crate) mod model;
#[cfg(all(test, sendloop_loom))]
pub(crate) use model::*;

#[cfg(not(all(test, sendloop_loom)))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock};
    pub(crate) use std::thread_local;

    /// Wakes a loop that waits in its poller.
    pub(crate) use mio::Waker as PollWaker;

    use std::io;
    use std::time::Duration;

    use mio::{Events, Poll};

    /// Starts a detached thread.
    pub(crate) use crate::sys::thread::start as start_thread;

    /// Waits in the poller for events.
    pub(crate) fn poll(
        poll: &mut Poll,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        poll.poll(events, timeout)
    }

    /// Declares a static that threads share. A model makes a new one for each run.
    macro_rules! shared_static {
        ($(#[$doc:meta])* static $name:ident: $of:ty = $value:expr;) => {
            $(#[$doc])*
            static $name: $of = $value;
        };
    }
    pub(crate) use shared_static;
}
