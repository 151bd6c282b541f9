//! One turn of the loop, and the only place that runs the user's callbacks and polls the user's futures.
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
use crate::ready::{Call, Callback, Entry, Runnable};
use crate::remote::Message;
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
    pub(super) fn turn(&self, driver: Driver, root: &mut dyn FnMut(&Waker)) -> io::Result<bool> {
        self.counters.turns.add(1);
        let events = self.reactor.events_seen();
        // Without the poller what is known is still to be done: it fails for want of memory, and that may pass.
        let polled = self.poll(driver);
        if *polled.as_ref().unwrap_or(&true) || self.door.is_unheard() {
            self.read_messages();
        }
        self.queue_due_timers();
        self.pool.start_missing_threads();
        let queued = self.ready.begin_turn();
        for _ in 0..queued {
            self.renew_budget();
            match self.ready.pop() {
                Some(Entry::Callback(callback)) => self.call(&*callback),
                Some(Entry::Task(task)) => self.step(&task, root),
                Some(Entry::Alarm(alarm)) => self.timers.ring(alarm),
                None => break,
            }
            // It may have forked. What is queued is the parent's, not the child's.
            self.check_process()?;
        }
        let events = self.reactor.events_seen() - events;
        polled.map(|_| queued > 0 || events >= EVENTS_AT_ONCE as u64)
    }

    /// Takes what the poller has, after waiting for it. True where the door was knocked at.
    fn poll(&self, driver: Driver) -> io::Result<bool> {
        let limit = match driver {
            Driver::Loop if self.has_nothing_to_ask() => return Ok(false),
            Driver::Loop => None,
            Driver::Embedder(limit) => limit,
        };
        self.counters.polls.add(1);
        if !self.clock.is_real() {
            return self.poll_in_virtual_time(limit).map(|()| false);
        }
        self.reactor.poll(shorter(limit, self.wait()), &self.ready)
    }

    /// Whether there is something to do, and nothing that the poller could add: where no descriptor is in it, nothing comes but
    /// through the door. An embedder's poller is asked all the same: a knock that was heard already would keep its descriptor
    /// readable.
    fn has_nothing_to_ask(&self) -> bool {
        let is_empty = self.reactor.registered() == 0 && !self.door.is_knocked_at();
        is_empty && self.wait() == Some(Duration::ZERO)
    }

    /// A callback's panic ends the callback and nothing else.
    fn call(&self, callback: &dyn Callback) {
        let watch = self.debug.start();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback.run())) {
            let context = ExceptionContext::new("panic in a callback").with_panic(panic);
            let context = context.with_place(callback.place());
            self.ready.exceptions().report(&context);
        }
        self.debug.end(watch, "callback", callback.place());
    }

    fn step(&self, task: &Runnable, root: &mut dyn FnMut(&Waker)) {
        let watch = self.debug.start();
        let what = self.tasks.step(task, root);
        self.debug.end(watch, what, task.head().place);
    }

    /// How long there is nothing to do but for what comes from outside; `None` is for ever.
    pub(super) fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.stopping.get() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next()?;
        Some(next.saturating_duration_since(self.clock.now()))
    }

    /// What of that is to be waited in real time. A manual clock reaches no deadline by itself; it
    /// wakes the loop when it is advanced.
    pub(super) fn wait(&self) -> Option<Duration> {
        let patience = self.patience();
        let patience = patience.filter(|patience| patience.is_zero() || self.clock.is_real());
        shorter(patience, self.pool.retry_timeout())
    }

    pub(super) fn read_messages(&self) {
        for message in self.door.take(Vec::new()) {
            match message {
                Message::Call(callback, place) => {
                    self.ready.push(Rc::new(Call::made_at(place, callback)));
                }
                Message::Wake(number) => self.ready.wake(number),
                Message::Look => {}
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
                Due::Callback(callback) => self.ready.push(callback),
                Due::Alarm(alarm) => self.ready.push_alarm(alarm),
            }
        }
    }
}
