//! What a loop has done so far, in numbers.

use std::cell::Cell;

use super::LoopHandle;

#[derive(Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get() + n);
    }

    fn get(&self) -> u64 {
        self.0.get()
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) turns: Counter,
    pub(crate) polls: Counter,
    pub(crate) sendfile_calls: Counter,
    pub(crate) sendfile_would_block: Counter,
    pub(crate) sendfile_yields: Counter,
    pub(crate) sendfile_probes: Counter,
    pub(crate) sendfile_misses: Counter,
    pub(crate) sendfile_read_ins: Counter,
    refused: Counter,
    refused_as_missing: Counter,
    refused_by_socket: Counter,
    refused_by_policy: Counter,
    uncached: Counter,
    nothing_sent: Counter,
    no_answer: Counter,
}

/// Why a transfer reads and sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fallback {
    /// sendfile said so, with this error.
    Refused(i32),
    /// What the file is.
    Uncached,
    /// sendfile sent nothing of what was owed.
    Nothing,
    /// The file's system does not tell what is in memory.
    NoAnswer,
}

impl Counters {
    pub(crate) fn fell_back(&self, why: Fallback) {
        let counter = match why {
            Fallback::Refused(libc::ENOSYS) => &self.refused_as_missing,
            Fallback::Refused(libc::EPERM) => &self.refused_by_policy,
            Fallback::Refused(libc::EOPNOTSUPP) => &self.refused_by_socket,
            Fallback::Refused(_) => &self.refused,
            Fallback::Uncached => &self.uncached,
            Fallback::Nothing => &self.nothing_sent,
            Fallback::NoAnswer => &self.no_answer,
        };
        counter.add(1);
    }

    fn fallbacks(&self) -> Fallbacks {
        Fallbacks {
            refused: self.refused.get(),
            no_such_call: self.refused_as_missing.get(),
            socket: self.refused_by_socket.get(),
            forbidden: self.refused_by_policy.get(),
            uncached: self.uncached.get(),
            nothing_sent: self.nothing_sent.get(),
            no_answer: self.no_answer.get(),
        }
    }
}

/// Transfers that went on, or began, by reading and sending, by what made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Fallbacks {
    /// The file system, or the kind of file: EINVAL, ESPIPE.
    pub refused: u64,
    /// The kernel has no such call, or this platform's is not used: ENOSYS.
    pub no_such_call: u64,
    /// The socket's protocol: EOPNOTSUPP.
    pub socket: u64,
    /// A filter on system calls: EPERM.
    pub forbidden: u64,
    /// The call was not made: the file is none that it serves (`O_DIRECT`, a device, a pipe).
    pub uncached: u64,
    /// The call sent nothing of what was owed: the file's end, where it is truncated, or a file that sendfile cannot see into.
    pub nothing_sent: u64,
    /// The file system does not tell what is in memory, and may take as long as it likes (FUSE, NFS, overlayfs): see
    /// [`prefetch`](crate::SendFile::prefetch).
    pub no_answer: u64,
}

impl Fallbacks {
    /// All of them.
    pub fn total(&self) -> u64 {
        let refused = self.refused + self.no_such_call + self.socket + self.forbidden;
        refused + self.uncached + self.nothing_sent + self.no_answer
    }
}

/// What a loop has done since it was made, and what it holds now; from [`LoopHandle::stats`].
#[doc(alias = "RuntimeMetrics")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns taken.
    pub turns: u64,
    /// Times that the kernel was asked for events: once in a turn, but not where there is something to do and no descriptor in
    /// the poller.
    pub polls: u64,
    /// Events that the poller gave.
    pub events: u64,
    /// Tasks that are not done.
    pub tasks: usize,
    /// Steps of tasks: polls of their futures.
    pub task_steps: u64,
    /// Descriptors in the poller now.
    pub registered: usize,
    /// Changes made to the poller: calls of epoll_ctl(2) or its like.
    pub registrations: u64,
    /// Calls of sendfile(2).
    pub sendfile_calls: u64,
    /// Those that found the socket full.
    pub sendfile_would_block: u64,
    /// Times that a transfer let others run although it could have gone on.
    pub sendfile_yields: u64,
    /// System calls that asked the page cache for a byte of what was to be sent.
    pub sendfile_probes: u64,
    /// Chunks that were not there, and had to be read in before they were sent.
    pub sendfile_misses: u64,
    /// Pieces of files that the executor was given to read in, those ahead of need included.
    pub sendfile_read_ins: u64,
    /// Transfers that went on, or began, by reading and sending: all of [`fallbacks`](Stats::fallbacks).
    pub sendfile_fallbacks: u64,
    /// The same by reason.
    pub fallbacks: Fallbacks,
}

impl LoopHandle {
    /// What the loop has done so far, in numbers.
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Stats {
        let counters = &self.inner.counters;
        let reactor = &self.inner.reactor;
        Stats {
            turns: counters.turns.get(),
            polls: counters.polls.get(),
            events: reactor.events_seen(),
            tasks: self.inner.tasks.len(),
            task_steps: self.inner.tasks.steps(),
            registered: reactor.registered(),
            registrations: reactor.registrations(),
            sendfile_calls: counters.sendfile_calls.get(),
            sendfile_would_block: counters.sendfile_would_block.get(),
            sendfile_yields: counters.sendfile_yields.get(),
            sendfile_probes: counters.sendfile_probes.get(),
            sendfile_misses: counters.sendfile_misses.get(),
            sendfile_read_ins: counters.sendfile_read_ins.get(),
            sendfile_fallbacks: counters.fallbacks().total(),
            fallbacks: counters.fallbacks(),
        }
    }
}
