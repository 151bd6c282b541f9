//! One iteration of the loop. Only this module runs the user's callbacks and polls the tasks.
//!
//! Entries run in asyncio's order: first those that were queued earlier, then those of events, then
//! due timers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::Inner;
use crate::exceptions::ExceptionContext;
use crate::reactor::{EVENTS_AT_ONCE, shorter};
use crate::remote::Message;
use crate::run_queue::{Call, Callback, Entry};
use crate::timers::Due;

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
            self.start_budget();
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
        if self.can_skip_poll() {
            return Ok(false);
        }
        self.stats.borrow_mut().polls += 1;
        if !self.clock.is_real() {
            return self.poll_in_virtual_time(limit).map(|()| false);
        }
        self.reactor.poll(shorter(limit, self.real_poll_timeout()), &self.run_queue)
    }

    /// Returns whether the loop has work and a poll could find no event.
    ///
    /// Without a registered descriptor the only possible event is a notification from another
    /// thread. If the loop is embedded, each iteration polls: an event that is not taken keeps the
    /// loop's descriptor readable.
    fn can_skip_poll(&self) -> bool {
        let is_empty = self.reactor.registered() == 0 && !self.inbox.is_notified();
        is_empty && !self.embedding.is_on.get() && self.real_poll_timeout() == Some(Duration::ZERO)
    }

    /// Runs a callback, and reports its panic.
    fn call(&self, callback: &dyn Callback) -> &'static str {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback.run())) {
            let context = ExceptionContext::new("panic in a callback").with_panic(panic);
            let context = context.with_location(callback.location());
            self.run_queue.exceptions.report(&context);
        }
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
    pub(super) fn real_poll_timeout(&self) -> Option<Duration> {
        let timeout = self.poll_timeout();
        let real_timeout = timeout.filter(|timeout| timeout.is_zero() || self.clock.is_real());
        shorter(real_timeout, self.pool.retry_timeout())
    }

    pub(super) fn read_messages(&self) {
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
