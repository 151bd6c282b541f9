//! What is to be called at some time, in the order of deadlines, equal ones in the order in which they were made.
//!
//! A cancelled timer's callback is dropped at once; its location among those that wait, which is a few words, stays until it comes
//! up or until the cancelled ones are more than half, when all of them are swept out together. So setting and cancelling stay
//! cheap and a million cancelled timers hold no memory.

mod queue;
mod wakers;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use crate::error::{drop_bounded, wake};
use crate::exceptions::Exceptions;
use crate::nesting::Kind;
use crate::run_queue::Callback;
use crate::slots::Key;
use queue::{Timer, TimerQueue};
use wakers::TimerWakers;

/// Below this number of cancelled timers sweeping is not worth it; asyncio has the same number.
const MIN_SWEEP: usize = 100;

/// What is to be done at some time.
pub(crate) enum Due {
    Callback(Rc<dyn Callback>),
    /// Somebody is to be woken: [`Timers::fire`].
    Waker(Key),
}

#[derive(Default)]
pub(crate) struct Timers {
    queue: RefCell<TimerQueue>,
    wakers: RefCell<TimerWakers>,
    made: Cell<u64>,
    /// How many of those that wait are cancelled.
    cancelled: Cell<usize>,
    closed: Cell<bool>,
}

impl Timers {
    /// Has `callback` handed back by [`pop_due`](Timers::pop_due) at `when`; after [`close`](Timers::close) it is cancelled.
    pub(crate) fn add(&self, when: Instant, callback: Rc<dyn Callback>) {
        if self.closed.get() {
            return callback.cancel();
        }
        self.push(when, Due::Callback(callback));
    }

    /// Has `waker` woken at `when`, until [`forget`](Timers::forget). It needs no memory of its own, as a callback does.
    pub(crate) fn add_waker(
        &self,
        when: Instant,
        waker: Waker,
        location: &'static Location<'static>,
    ) -> Key {
        let key = self.wakers.borrow_mut().add(waker, location);
        self.push(when, Due::Waker(key));
        key
    }

    /// Whether the entry has rung; where it has not, it is this waker's from here on.
    pub(crate) fn has_fired(&self, entry: Key, waker: &Waker) -> bool {
        // Cloning and dropping a waker may run foreign code: nothing is borrowed then.
        let waker = waker.clone();
        let before = self.wakers.borrow_mut().renew(entry, waker);
        match before {
            Some(before) => {
                drop(before);
                false
            }
            None => true,
        }
    }

    /// Wakes who waits for an entry that was handed back.
    pub(crate) fn fire(&self, entry: Key) {
        let waker = self.wakers.borrow_mut().fire(entry);
        waker.into_iter().for_each(wake);
    }

    /// Nobody waits for the entry any more.
    pub(crate) fn forget(&self, entry: Key) {
        let waker = self.wakers.borrow_mut().remove(entry);
        if let Some(waker) = waker {
            self.count_cancelled();
            drop_bounded(Kind::Drop, "while a waker was dropped", waker);
        }
    }

    fn push(&self, when: Instant, due: Due) {
        let number = self.made.get();
        self.made.set(number + 1);
        self.queue.borrow_mut().push(Timer { when, number, due });
    }

    /// Cancels a callback that [`add`](Timers::add) was given. Where it has been handed back already, the count of the cancelled
    /// is one too high until the next sweep, which then comes earlier and does no harm.
    pub(crate) fn cancel(&self, callback: &dyn Callback) {
        if !callback.is_cancelled() {
            callback.cancel();
            self.count_cancelled();
        }
    }

    fn is_cancelled(&self, timer: &Timer) -> bool {
        match &timer.due {
            Due::Callback(callback) => callback.is_cancelled(),
            Due::Waker(key) => !self.wakers.borrow().has(*key),
        }
    }

    fn count_cancelled(&self) {
        let cancelled = self.cancelled.get() + 1;
        self.cancelled.set(cancelled);
        if cancelled < MIN_SWEEP {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        if cancelled * 2 < queue.len() {
            return;
        }
        // Dropping these runs no code of the user's: their callbacks are gone since they were cancelled.
        queue.retain(|timer| !self.is_cancelled(timer));
        self.cancelled.set(0);
    }

    fn uncount_cancelled(&self) {
        let cancelled = self.cancelled.get();
        self.cancelled.set(cancelled.saturating_sub(1));
    }

    /// The earliest deadline that somebody still waits for.
    pub(crate) fn next(&self) -> Option<Instant> {
        let mut queue = self.queue.borrow_mut();
        while queue.pop_if(|timer| self.is_cancelled(timer)).is_some() {
            self.uncount_cancelled();
        }
        queue.peek().map(|timer| timer.when)
    }

    /// Returns the location in the program that set the earliest timer.
    pub(crate) fn next_location(&self) -> Option<&'static Location<'static>> {
        self.next()?;
        match &self.queue.borrow().peek()?.due {
            Due::Callback(callback) => Some(callback.location()),
            Due::Waker(key) => self.wakers.borrow().location(*key),
        }
    }

    /// Hands back the earliest that was due at `now`; it may have been cancelled.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<Due> {
        let timer = self.queue.borrow_mut().pop_if(|timer| timer.when <= now)?;
        if self.cancelled.get() > 0 && self.is_cancelled(&timer) {
            self.uncount_cancelled();
        }
        Some(timer.due)
    }

    /// Cancels all timers, and all that come later at once. Who waits for an entry is woken, to find the loop closed.
    pub(crate) fn close(&self, exceptions: &Exceptions) {
        self.closed.set(true);
        let queue = self.queue.take();
        self.cancelled.set(0);
        // The destructors are the user's code: nothing is borrowed while they run.
        for timer in queue.iter() {
            if let Due::Callback(callback) = &timer.due {
                let cancel = || callback.cancel();
                exceptions.contain("panic while a callback was dropped", cancel);
            }
        }
        // Also those that were handed back and are still to fire: nobody will fire them any more.
        let wakers = self.wakers.borrow_mut().fire_all();
        wakers.into_iter().for_each(wake);
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("queue", &self.queue.borrow().len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
