//! A loop's counters.

use std::cell::RefMut;

use super::LoopHandle;

/// The reason why a transfer falls back to reading and sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fallback {
    /// sendfile(2) failed with this errno.
    Refused(i32),
    /// sendfile does not support this kind of file.
    Uncached,
    /// sendfile(2) returned 0 although the transfer owed bytes.
    Nothing,
    /// The file system cannot be probed for pages in memory.
    NoAnswer,
}

/// The number of transfers that fell back to reading and sending, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Fallbacks {
    /// sendfile(2) refused the file system or the kind of file: EINVAL, ESPIPE.
    pub refused: u64,
    /// The kernel has no sendfile(2), or the library does not use the platform's: ENOSYS.
    pub no_such_call: u64,
    /// sendfile(2) refused the socket's protocol: EOPNOTSUPP.
    pub socket: u64,
    /// A filter on system calls refused sendfile(2): EPERM.
    pub forbidden: u64,
    /// sendfile does not support this kind of file (`O_DIRECT`, a device, a pipe), so the transfer
    /// made no call.
    pub uncached: u64,
    /// sendfile(2) returned 0 although the transfer owed bytes. The file was truncated, or sendfile
    /// cannot read it.
    pub nothing_sent: u64,
    /// The library cannot probe the page cache of the file system, so a call might block the loop
    /// for any time, as with FUSE and NFS. See [`prefetch`](crate::SendFile::prefetch).
    pub no_answer: u64,
}

impl Fallbacks {
    /// Returns the sum of all reasons.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let stats = event_loop.stats();
    /// assert_eq!(stats.fallbacks.total(), stats.sendfile_fallbacks);
    /// # Ok(())
    /// # }
    /// ```
    pub fn total(&self) -> u64 {
        let refused = self.refused + self.no_such_call + self.socket + self.forbidden;
        refused + self.uncached + self.nothing_sent + self.no_answer
    }
}

/// The counters of a loop since its creation, from [`LoopHandle::stats`].
#[doc(alias = "RuntimeMetrics")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Iterations of the loop.
    pub iterations: u64,
    /// Polls for events. An iteration polls once, or not at all if work is queued and no descriptor
    /// is registered.
    pub polls: u64,
    /// Events that the poller reported.
    pub events: u64,
    /// Tasks that have not ended yet.
    pub tasks: usize,
    /// Steps of tasks: polls of their futures.
    pub task_steps: u64,
    /// Descriptors that are now registered with the poller.
    pub registered: usize,
    /// Changes to the registrations: calls of epoll_ctl(2) or the platform's equivalent.
    pub registrations: u64,
    /// Calls of sendfile(2).
    pub sendfile_calls: u64,
    /// Calls of sendfile(2) that failed with EAGAIN because the socket was full.
    pub sendfile_would_block: u64,
    /// Times that a transfer consumed its budget and let other tasks run.
    pub sendfile_yields: u64,
    /// System calls that probed the page cache for bytes to send.
    pub sendfile_probes: u64,
    /// Probed ranges that were not in the page cache and had to be prefetched.
    pub sendfile_misses: u64,
    /// Ranges that the executor prefetched, readahead included.
    pub sendfile_prefetches: u64,
    /// Transfers that fell back to reading and sending: the sum of [`fallbacks`](Stats::fallbacks).
    pub sendfile_fallbacks: u64,
    /// The fallbacks by reason.
    pub fallbacks: Fallbacks,
}

impl Stats {
    /// Counts a transfer that falls back.
    pub(crate) fn fell_back(&mut self, why: Fallback) {
        let fallbacks = &mut self.fallbacks;
        let counter = match why {
            Fallback::Refused(libc::ENOSYS) => &mut fallbacks.no_such_call,
            Fallback::Refused(libc::EPERM) => &mut fallbacks.forbidden,
            Fallback::Refused(libc::EOPNOTSUPP) => &mut fallbacks.socket,
            Fallback::Refused(_) => &mut fallbacks.refused,
            Fallback::Uncached => &mut fallbacks.uncached,
            Fallback::Nothing => &mut fallbacks.nothing_sent,
            Fallback::NoAnswer => &mut fallbacks.no_answer,
        };
        *counter += 1;
        self.sendfile_fallbacks += 1;
    }
}

impl LoopHandle {
    /// Returns the loop's counters.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::fs::File;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, _far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    /// event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file))?;
    /// assert!(event_loop.stats().sendfile_calls > 0);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Stats {
        let reactor = &self.inner.reactor;
        Stats {
            events: reactor.events_seen(),
            tasks: self.inner.run_queue.task_count(),
            task_steps: self.inner.run_queue.steps.get(),
            registered: reactor.registered(),
            registrations: reactor.registrations(),
            ..*self.inner.stats.borrow()
        }
    }

    /// Returns the counters of what the loop and its transfers do, to add to them.
    ///
    /// The other fields are zero.
    pub(crate) fn counters(&self) -> RefMut<'_, Stats> {
        self.inner.stats.borrow_mut()
    }
}
