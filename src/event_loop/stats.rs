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
    pub(crate) sendfile_calls: Counter,
    pub(crate) sendfile_would_block: Counter,
    pub(crate) sendfile_yields: Counter,
    pub(crate) sendfile_fallbacks: Counter,
}

/// What a loop has done since it was made, and what it holds now; from [`LoopHandle::stats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns taken. Each polls once.
    pub turns: u64,
    /// Events that the poller gave.
    pub events: u64,
    /// Tasks that are not done.
    pub tasks: usize,
    /// Steps of tasks.
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
    /// Transfers that went on, or began, by reading and sending.
    pub sendfile_fallbacks: u64,
}

impl LoopHandle {
    /// What the loop has done so far, in numbers.
    pub fn stats(&self) -> Stats {
        let counters = &self.inner.counters;
        let reactor = &self.inner.reactor;
        Stats {
            turns: counters.turns.get(),
            events: reactor.events_seen(),
            tasks: self.inner.tasks.len(),
            task_steps: self.inner.tasks.steps(),
            registered: reactor.registered(),
            registrations: reactor.registrations(),
            sendfile_calls: counters.sendfile_calls.get(),
            sendfile_would_block: counters.sendfile_would_block.get(),
            sendfile_yields: counters.sendfile_yields.get(),
            sendfile_fallbacks: counters.sendfile_fallbacks.get(),
        }
    }
}
