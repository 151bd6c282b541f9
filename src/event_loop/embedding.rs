//! The loop's descriptor, for another loop that runs this one.
//!
//! # Rules
//!
//! 1. The descriptor is the poller's, so it is readable while an event waits.
//! 2. From its first use on, it is also readable while an iteration is due for another reason. While
//!    the loop does not run, every change of what is due comes through
//!    [`update_descriptor`](Inner::update_descriptor) or the run queue.
//! 3. For work that is due now, the loop notifies itself as another thread would. For a timer, it
//!    sets a timerfd that is registered with the poller.
//! 4. Both are edge-triggered, so the next poll takes the event. When the iteration ends, the loop
//!    looks again: a descriptor that stayed readable would make the other loop spin.
//!
//! A loop whose descriptor nobody uses pays one branch for each work that is queued.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::{Inner, LoopHandle};
use crate::reactor::shorter;
use crate::sys::timerfd::TimerFd;
use crate::sys::uninterrupted;

#[derive(Default)]
pub(super) struct Embedding {
    /// Whether the descriptor was used.
    is_on: Cell<bool>,
    /// Whether a failure was logged since the timer last worked.
    is_logged: Cell<bool>,
    timer: RefCell<Option<TimerFd>>,
    /// The time to which the timer is set.
    deadline: Cell<Option<Instant>>,
}

impl Embedding {
    pub(super) fn close(&self) {
        self.timer.take();
    }
}

impl Inner {
    /// Keeps the descriptor readable, from now on, while an iteration is due.
    pub(super) fn embed(&self) {
        if self.closed.get() || !self.process.is_current() || self.embedding.is_on.replace(true) {
            return;
        }
        if let Err(error) = self.create_timer() {
            self.log_timer_error(&error);
        }
        self.update_descriptor();
    }

    /// Looks again at when an iteration is due. Called when that may have changed.
    #[inline]
    pub(super) fn update_descriptor(&self) {
        if self.embedding.is_on.get() && !self.running.get() {
            self.look_at_what_is_due();
        }
    }

    fn look_at_what_is_due(&self) {
        if self.closed.get() || !self.process.is_current() {
            return;
        }
        let other = shorter(self.reactor.patience(), self.pool.retry_timeout());
        let is_due = shorter(self.patience(), other) == Some(Duration::ZERO);
        if is_due || self.jump(None).is_some() {
            return self.notify_embedder();
        }
        self.ready.notify_next(true);
        let timer = self.timers.next().filter(|_| self.clock.is_real());
        let other = other.map(|wait| Instant::now() + wait);
        self.set_timer(timer.into_iter().chain(other).min());
    }

    fn notify_embedder(&self) {
        self.ready.notify_next(false);
        if !self.door.is_knocked_at() {
            self.watcher.wake_by_ref();
        }
    }

    fn set_timer(&self, deadline: Option<Instant>) {
        if self.embedding.deadline.get() == deadline {
            return;
        }
        match self.try_set_timer(deadline) {
            Ok(()) => {
                self.embedding.deadline.set(deadline);
                self.embedding.is_logged.set(false);
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            // The next iteration retries. That costs CPU time, but a lost timer would hang the program.
            Err(error) => {
                self.log_timer_error(&error);
                self.notify_embedder();
            }
        }
    }

    fn try_set_timer(&self, deadline: Option<Instant>) -> io::Result<()> {
        if self.embedding.timer.borrow().is_none() {
            self.create_timer()?;
        }
        let after = deadline.map(|it| it.saturating_duration_since(Instant::now()));
        match &*self.embedding.timer.borrow() {
            Some(timer) => timer.set(after),
            None => Ok(()),
        }
    }

    fn create_timer(&self) -> io::Result<()> {
        let timer = uninterrupted(TimerFd::new)?;
        self.reactor.add_timer(timer.as_fd())?;
        self.embedding.timer.replace(Some(timer));
        Ok(())
    }

    fn log_timer_error(&self, error: &io::Error) {
        let is_expected = error.kind() == io::ErrorKind::Unsupported;
        if !is_expected && !self.embedding.is_logged.replace(true) {
            log::warn!(
                "cannot set the timer of a loop's descriptor: {error}; until the loop can, the \
                 descriptor is readable while the loop has a timer"
            );
        }
    }
}

impl LoopHandle {
    /// Tells an embedder that a timer, or the executor, has changed when an iteration is due.
    #[inline]
    pub(crate) fn update_descriptor(&self) {
        self.inner.update_descriptor();
    }
}
