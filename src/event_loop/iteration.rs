//! One turn of the loop, and the only location that runs the user's callbacks and polls the user's futures.
//!
//! The order is asyncio's, which its users know: events before timers, both behind what was queued earlier.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::Inner;
use crate::exceptions::ExceptionContext;
use crate::reactor::{EVENTS_AT_ONCE, shorter};
use crate::remote::Message;
use crate::run_queue::{Call, Callback, Entry, Runnable};
use crate::timers::Due;

/// Who has the loop take a turn.
pub(super) enum Driver {
    /// The loop itself, one turn after the other.
    Loop,
    /// Somebody who waits for the loop's descriptor between turns, and in one for this time at most.
    Embedder(Option<Duration>),
}

impl Inner {
    /// Waits until something is to be done, and runs what is to be done then, but not what that asks for.
    ///
    /// Returns whether it ran anything, or more events may wait.
    ///
    /// `root` polls the future that is run until it is complete. Its panic comes out of here, and leaves the loop as it was.
    pub(super) fn run_iteration(
        &self,
        driver: Driver,
        root: &mut dyn FnMut(&Waker),
    ) -> io::Result<bool> {
        self.counters.iterations.add(1);
        let events = self.reactor.events_seen();
        // Without the poller what is known is still to be done: it fails for want of memory, and that may pass.
        let polled = self.poll(driver);
        if *polled.as_ref().unwrap_or(&true) || self.inbox.has_failed_to_notify() {
            self.read_messages();
        }
        self.queue_due_timers();
        self.pool.start_missing_threads();
        let queued = self.run_queue.begin_iteration();
        for _ in 0..queued {
            self.renew_budget();
            match self.run_queue.pop() {
                Some(Entry::Callback(callback)) => self.call(&*callback),
                Some(Entry::Task(task)) => self.step(&task, root),
                Some(Entry::TimerWaker(entry)) => self.timers.fire(entry),
                None => break,
            }
            // It may have forked. What is queued is the parent's, not the child's.
            self.check_process()?;
        }
        let events = self.reactor.events_seen() - events;
        polled.map(|_| queued > 0 || events >= EVENTS_AT_ONCE as u64)
    }

    /// Takes what the poller has, after waiting for it. True where the inbox was knocked at.
    fn poll(&self, driver: Driver) -> io::Result<bool> {
        let limit = match driver {
            Driver::Loop if self.can_skip_poll() => return Ok(false),
            Driver::Loop => None,
            Driver::Embedder(limit) => limit,
        };
        self.counters.polls.add(1);
        if !self.clock.is_real() {
            return self.poll_in_virtual_time(limit).map(|()| false);
        }
        self.reactor
            .poll(shorter(limit, self.real_poll_timeout()), &self.run_queue)
    }

    /// Whether there is something to do, and nothing that the poller could add: where no descriptor is in it, nothing comes but
    /// through the inbox. An embedder's poller is asked all the same: a knock that was heard already would keep its descriptor
    /// readable.
    fn can_skip_poll(&self) -> bool {
        let is_empty = self.reactor.registered() == 0 && !self.inbox.is_notified();
        is_empty && self.real_poll_timeout() == Some(Duration::ZERO)
    }

    /// A callback's panic ends the callback and nothing else.
    fn call(&self, callback: &dyn Callback) {
        let watch = self.debug.start();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback.run())) {
            let context = ExceptionContext::new("panic in a callback").with_panic(panic);
            let context = context.with_location(callback.location());
            self.run_queue.exceptions().report(&context);
        }
        self.debug.end(watch, "callback", callback.location());
    }

    fn step(&self, task: &Runnable, root: &mut dyn FnMut(&Waker)) {
        let watch = self.debug.start();
        let what = self.tasks.step(task, root);
        self.debug.end(watch, what, task.head().location);
    }

    /// How long there is nothing to do but for what comes from outside; `None` is for ever.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        if !self.run_queue.is_empty() || self.stopping.get() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next()?;
        Some(next.saturating_duration_since(self.clock.now()))
    }

    /// What of that is to be waited in real time. A manual clock reaches no deadline by itself; it
    /// wakes the loop when it is advanced.
    pub(super) fn real_poll_timeout(&self) -> Option<Duration> {
        let poll_timeout = self.poll_timeout();
        let poll_timeout =
            poll_timeout.filter(|poll_timeout| poll_timeout.is_zero() || self.clock.is_real());
        shorter(poll_timeout, self.pool.retry_timeout())
    }

    pub(super) fn read_messages(&self) {
        for message in self.inbox.take(Vec::new()) {
            match message {
                Message::Call(callback, location) => {
                    self.run_queue
                        .push(Rc::new(Call::with_location(location, callback)));
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
                Due::Waker(entry) => self.run_queue.push_timer_waker(entry),
            }
        }
    }
}
