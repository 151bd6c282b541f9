//! What threads share, and how a thread begins: the standard library's, or a model's.
//!
//! In unit tests with `--cfg sendloop_loom` these names are those of `loom`, which runs a test once for every order in
//! which its threads can take their steps: `tests/long/interleavings.sh`. What crosses threads (`pool`, `ready`, `remote`) takes them from here.

#[cfg(not(all(test, sendloop_loom)))]
pub(crate) use real::*;

#[cfg(all(test, sendloop_loom))]
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
    use std::thread;
    use std::time::Duration;

    use mio::{Events, Poll};

    /// Starts a thread that ends by itself.
    pub(crate) fn start_thread(name: &str, life: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(life).map(drop)
    }

    /// Waits in the poller for events.
    pub(crate) fn poll(
        poll: &mut Poll,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        poll.poll(events, timeout)
    }

    /// A static that threads share. A model makes a new one for each run.
    macro_rules! shared_static {
        ($(#[$doc:meta])* static $name:ident: $of:ty = $value:expr;) => {
            $(#[$doc])*
            static $name: $of = $value;
        };
    }
    pub(crate) use shared_static;
}
