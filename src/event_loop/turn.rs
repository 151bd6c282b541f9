//! One turn of the loop, and the only place that runs the user's callbacks and polls the user's futures.
//!
//! The order is asyncio's, which its users know: events before timers, both behind what was queued earlier.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::{BUDGET, Inner};
use crate::exceptions::ExceptionContext;
use crate::reactor::shorter;
use crate::ready::{Call, Callback, Entry};
use crate::remote::Message;
use crate::slots::Key;
use crate::task::Stepped;

impl Inner {
    /// Waits until something is to be done, `limit` at most, and runs what is to be done then, but not what that asks for.
    ///
    /// `root` polls the future that is run until it is complete. Its panic comes out of here, and leaves the loop as it was.
    pub(super) fn turn(
        &self,
        limit: Option<Duration>,
        root: &mut dyn FnMut(&Waker),
    ) -> io::Result<()> {
        self.counters.turns.add(1);
        // Without the poller what is known is still to be done: it fails for want of memory, and that may pass.
        let polled = self.reactor.poll(shorter(limit, self.wait()), &self.ready);
        if *polled.as_ref().unwrap_or(&true) {
            self.read_messages();
        }
        self.queue_due_timers();
        for _ in 0..self.ready.len() {
            self.budget.set(BUDGET);
            match self.ready.pop() {
                Some(Entry::Callback(callback)) => self.call(&*callback),
                Some(Entry::Task(key)) => self.step(key, root),
                None => break,
            }
        }
        polled.map(drop)
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

    fn step(&self, key: Key, root: &mut dyn FnMut(&Waker)) {
        let watch = self.debug.start();
        match self.tasks.step(key) {
            Stepped::Gone => {}
            Stepped::Task(place) => self.debug.end(watch, "task", place),
            Stepped::Root(waker, place) => {
                root(&waker);
                self.debug.end(watch, "run_until_complete", place);
            }
        }
    }

    /// How long there is nothing to do but for what comes from outside; `None` is for ever.
    pub(super) fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.stopping.get() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next()?;
        Some(next.saturating_duration_since(self.clock.now()))
    }

    /// What of that is to be waited: a clock that is moved by hand reaches no deadline by itself, and says when it is moved.
    fn wait(&self) -> Option<Duration> {
        let patience = self.patience();
        patience.filter(|patience| patience.is_zero() || !self.clock.is_manual())
    }

    fn read_messages(&self) {
        for message in self.door.take(Vec::new()) {
            match message {
                Message::Call(callback, place) => {
                    self.ready.push(Rc::new(Call::made_at(place, callback)));
                }
                Message::Wake(waker) => waker.wake(),
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
        while let Some(callback) = self.timers.pop_due(now) {
            self.ready.push(callback);
        }
    }
}
