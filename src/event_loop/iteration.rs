//! One iteration of the loop. Only this module runs the user's callbacks and polls the tasks.
//!
//! Entries run in asyncio's order: first those that were queued earlier, then those of events, then
//! due timers.

use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::{BUDGET, Inner};
use crate::reactor::{EVENTS_AT_ONCE, shorter};
use crate::remote::Message;
use crate::run_queue::{Call, Callback, Entry};
use crate::timers::Due;

/// The delay of a timer that never fires. A paused clock does not jump that far.
pub(super) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The real time that a loop waits for its manual clock before it logs the wait.
const STANDSTILL_LIMIT: Duration = match cfg!(test) {
    false => Duration::from_secs(10),
    true => Duration::from_millis(20),
};

impl Inner {
    /// Waits for work, at most for `limit`, and runs it. Work that is queued meanwhile is for the
    /// next iteration.
    ///
    /// Returns true if it ran any work, or if more events may be pending.
    ///
    /// `root` polls the future of `run_until_complete`. Its panic unwinds to the caller, and the
    /// loop stays usable.
    pub(super) fn run_iteration(
        &self,
        limit: Option<Duration>,
        root: &mut dyn FnMut(&Waker),
    ) -> io::Result<bool> {
        self.stats.borrow_mut().iterations += 1;
        let events = self.reactor.events_seen();
        // If the poller fails, the iteration still runs timers and queued work. The usual reason is
        // a lack of memory, which may pass.
        let polled = self.poll(limit);
        if *polled.as_ref().unwrap_or(&true) || self.inbox.has_failed_to_notify() {
            self.read_messages();
        }
        self.queue_due_timers();
        self.pool.retry_start();
        let queued = self.run_queue.begin_iteration();
        for _ in 0..queued {
            self.budget.set(BUDGET);
            self.yields.set(0);
            match self.run_queue.pop() {
                Some(Entry::Callback(callback)) => {
                    self.debug.time(callback.location(), || self.call(&*callback));
                }
                Some(Entry::Task(task)) => {
                    self.debug.time(task.head().location, || self.run_queue.step(&task, root));
                }
                Some(Entry::TimerWaker(entry)) => self.timers.fire(entry),
                None => break,
            }
            // The entry may have forked. The rest of the queue belongs to the parent.
            self.check_process()?;
        }
        let events = self.reactor.events_seen() - events;
        polled.map(|_| queued > 0 || events >= EVENTS_AT_ONCE as u64)
    }

    /// Waits for events and dispatches them. Returns true if another thread notified the loop.
    fn poll(&self, limit: Option<Duration>) -> io::Result<bool> {
        // Without a registered descriptor, the only possible event is a notification from another
        // thread. If the loop is embedded, each iteration polls: an event that is not taken keeps
        // the loop's descriptor readable.
        let no_event = self.reactor.registered() == 0 && !self.inbox.is_notified();
        let may_skip = no_event && !self.embedding.is_on.get();
        if may_skip && self.real_poll_timeout() == Some(Duration::ZERO) {
            return Ok(false);
        }
        self.stats.borrow_mut().polls += 1;
        if !self.clock.is_real() {
            return self.poll_in_virtual_time(limit).map(|()| false);
        }
        self.reactor.poll(shorter(limit, self.real_poll_timeout()), &self.run_queue)
    }

    /// Polls the reactor, for at most `limit`, and reads the messages of other threads.
    fn poll_in_virtual_time(&self, limit: Option<Duration>) -> io::Result<()> {
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
            // The last job of the executor ended during the poll.
            None if is_idle && self.jump(limit).is_some() => {
                return self.poll_in_virtual_time(limit);
            }
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

    /// Runs a callback, and reports its panic. Returns its name for the log of debug mode.
    fn call(&self, callback: &dyn Callback) -> &'static str {
        let (exceptions, creator) = (&self.run_queue.exceptions, Some(callback.location()));
        exceptions.contain_at("panic in a callback", creator, || callback.run());
        "callback"
    }

    /// Returns zero if work is queued, otherwise the time until the next timer, or `None` if only
    /// an event can cause work.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        if !self.run_queue.is_empty() || self.stopping.get() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next()?;
        Some(next.saturating_duration_since(self.clock.now()))
    }

    /// Returns the real time that a poll may wait.
    ///
    /// A manual clock reaches no deadline in real time. It wakes the loop when it is advanced.
    fn real_poll_timeout(&self) -> Option<Duration> {
        let timeout = self.poll_timeout();
        let real_timeout = timeout.filter(|timeout| timeout.is_zero() || self.clock.is_real());
        shorter(real_timeout, self.pool.retry_timeout())
    }

    fn read_messages(&self) {
        for message in self.inbox.take() {
            match message {
                Message::Call(callback, location) => {
                    self.run_queue.push(Rc::new(Call::with_location(location, callback)));
                }
                Message::WakeTask(number) => self.run_queue.wake(number),
                Message::WakeLoop => {}
                Message::Stop => self.stopping.set(true),
            }
        }
    }

    fn queue_due_timers(&self) {
        if self.timers.next().is_none() {
            return;
        }
        let now = self.clock.now();
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Callback(callback) => self.run_queue.push(callback),
                Due::Waker(entry) => self.run_queue.enqueue(Entry::TimerWaker(entry)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
