//! Polling with a manual or a paused clock.
//!
//! A paused clock jumps to the next timer. A manual one waits for an advance.

use std::io;
use std::time::{Duration, Instant};

use super::Inner;
use crate::reactor::shorter;

/// The delay of a timer that never fires. A paused clock does not jump that far.
pub(super) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The real time that a loop waits for its manual clock before it logs the wait.
const STANDSTILL_LIMIT: Duration = match cfg!(test) {
    false => Duration::from_secs(10),
    true => Duration::from_millis(20),
};

impl Inner {
    /// Polls the reactor, for at most `limit`, and reads the messages of other threads.
    pub(super) fn poll_in_virtual_time(&self, limit: Option<Duration>) -> io::Result<()> {
        // A job wakes its task before it counts as done. So if `jump` finds the executor idle, the
        // poll below finds the wake-ups of all jobs.
        let jump = self.jump(limit);
        let time_until_log = self.time_until_log();
        let timeout = match jump {
            Some(_) => Some(Duration::ZERO),
            None => shorter(shorter(limit, self.real_poll_timeout()), time_until_log),
        };
        let start = Instant::now();
        let events = self.reactor.events_seen();
        let is_notified = self.reactor.poll(timeout, &self.run_queue)?;
        if is_notified || self.inbox.has_failed_to_notify() {
            self.read_messages();
        }
        // A notification does not count as an event, as an embedded loop notifies itself.
        let events = self.reactor.events_seen() - events - u64::from(is_notified);
        let is_idle = events == 0
            && self.poll_timeout() != Some(Duration::ZERO)
            && !self.inbox.is_notified()
            && !self.inbox.has_failed_to_notify();
        match jump {
            Some(when) if is_idle => self.clock.jump_to(when),
            // An advance of the clock notifies the loop.
            None if is_idle && !is_notified && time_until_log.is_some() => {
                self.count_wait(start.elapsed());
            }
            _ => self.standstill.set(self.standstill.get().and(Some(Duration::ZERO))),
        }
        Ok(())
    }

    /// Returns the time to which a paused clock jumps if a poll finds no event.
    ///
    /// That is the deadline of the next timer, but at most `limit` from now.
    pub(super) fn jump(&self, limit: Option<Duration>) -> Option<Instant> {
        if !self.clock.jumps() || self.reactor.poll_timeout() == Some(Duration::ZERO) {
            return None;
        }
        let now = self.clock.now();
        let wait = self.poll_timeout().filter(|wait| *wait < NEVER)?;
        let by = limit.map_or(wait, |limit| limit.min(wait));
        let may_jump = !by.is_zero() && !self.pool.is_busy(&self.clock_waker);
        may_jump.then(|| now + by)
    }

    /// Returns the time until the loop logs that its manual clock stands still.
    ///
    /// It is `None` if something else than a timer may wake the loop, and after the log.
    fn time_until_log(&self) -> Option<Duration> {
        let waited = self.standstill.get().filter(|_| !self.clock.jumps())?;
        let for_interrupt = usize::from(self.signals.has_only_interrupt());
        let waits_only_for_timers = self.poll_timeout().is_some_and(|wait| !wait.is_zero())
            && self.reactor.registered() == for_interrupt
            && !self.pool.is_busy(&self.clock_waker);
        waits_only_for_timers.then(|| STANDSTILL_LIMIT.saturating_sub(waited))
    }

    fn count_wait(&self, wait: Duration) {
        let waited = self.standstill.take().unwrap_or_default() + wait;
        if waited < STANDSTILL_LIMIT {
            return self.standstill.set(Some(waited));
        }
        if let Some(location) = self.timers.next_location() {
            log::warn!(
                "the loop has waited {waited:.0?} for its manual clock; advance the \
                 clock to fire its next timer, which was set at {location}"
            );
        }
    }
}

#[cfg(test)]
mod tests;
