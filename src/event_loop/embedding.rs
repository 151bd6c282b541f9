//! The loop's descriptor, for another loop that runs this one.
//!
//! # Rules
//!
//! 1. The descriptor is the poller's, so it is readable while an event is pending.
//! 2. From its first use on, the descriptor is also readable while an iteration is due for another
//!    reason. Code that changes the due work outside a run calls
//!    [`update_descriptor`](Inner::update_descriptor), or queues an entry in the run queue.
//! 3. For work that is due now, the loop notifies itself as another thread would. For a timer, it
//!    sets a timerfd that is registered with the poller.
//! 4. Both are edge-triggered, so the next poll takes the event. Each run ends with an update,
//!    because a descriptor that stayed readable without work would make the other loop spin.
//!
//! A loop whose descriptor is not used pays one branch for each piece of work.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::Inner;
use crate::reactor::shorter;
use crate::sys::{timerfd, uninterrupted};

#[derive(Default)]
pub(super) struct Embedding {
    /// Set at the first use of the descriptor.
    pub(super) is_on: Cell<bool>,
    pub(super) timer: RefCell<Option<OwnedFd>>,
    /// The time to which the timer is set.
    deadline: Cell<Option<Instant>>,
}

impl Inner {
    /// Keeps the descriptor readable, from now on, while an iteration is due.
    pub(super) fn embed(&self) {
        if self.closed.get() || !self.process.is_current() || self.embedding.is_on.replace(true) {
            return;
        }
        if let Err(error) = self.create_timer() {
            log::warn!(
                "cannot create a timer for a loop's descriptor: {error}; until a retry \
                 succeeds, the descriptor is readable while the loop has timers"
            );
        }
        self.update_descriptor();
    }

    /// Updates the descriptor after a change of the due work, the timers or the executor.
    #[inline]
    pub(crate) fn update_descriptor(&self) {
        if self.embedding.is_on.get() && !self.running.get() {
            self.update_used_descriptor();
        }
    }

    fn update_used_descriptor(&self) {
        if self.closed.get() || !self.process.is_current() {
            return;
        }
        let other = shorter(self.reactor.poll_timeout(), self.pool.retry_timeout());
        let is_due = shorter(self.poll_timeout(), other) == Some(Duration::ZERO);
        if is_due || self.jump(None).is_some() {
            return self.notify_embedder();
        }
        self.run_queue.notifies_embedder.set(true);
        let timer = self.timers.next().filter(|_| self.clock.is_real());
        let other = other.map(|wait| Instant::now() + wait);
        let deadline = timer.into_iter().chain(other).min();
        if self.embedding.deadline.get() != deadline && self.set_timer(deadline).is_err() {
            // The next iteration retries. That costs CPU time, but without the timer the program
            // would hang.
            self.notify_embedder();
        }
    }

    fn notify_embedder(&self) {
        self.run_queue.notifies_embedder.set(false);
        if !self.inbox.is_notified() {
            self.clock_waker.wake_by_ref();
        }
    }

    fn set_timer(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.create_timer()?;
        if let Some(timer) = &*self.embedding.timer.borrow() {
            let after = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            uninterrupted(|| timerfd::set(timer.as_fd(), after))?;
        }
        self.embedding.deadline.set(deadline);
        Ok(())
    }

    /// Creates the timer, unless there is one or the system has no such timers.
    fn create_timer(&self) -> io::Result<()> {
        if self.embedding.timer.borrow().is_some() {
            return Ok(());
        }
        if let Some(timer) = uninterrupted(timerfd::create)? {
            self.reactor.add_timer(timer.as_fd())?;
            self.embedding.timer.replace(Some(timer));
        }
        Ok(())
    }
}
