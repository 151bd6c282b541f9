//! Timer entries: callbacks and wakers with a deadline.
//!
//! Entries fire by deadline, and by creation if deadlines are equal.
//!
//! Cancelling an entry drops its callback at once. The entry itself, which is small, stays in the
//! queue until its deadline, or until half of the queue is cancelled. Then one sweep removes all
//! cancelled entries. So setting and cancelling are cheap, and cancelled entries do not accumulate.

mod queue;

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::error::{drop_bounded, wake};
use crate::exceptions::Exceptions;
use crate::nesting::Kind;
use crate::run_queue::Callback;
use crate::slots::{Key, Slots};
use queue::{Timer, TimerQueue};

/// The number of cancelled entries from which a sweep is worth it, as in asyncio.
const MIN_SWEEP: usize = 100;

/// The action of a timer entry.
pub(crate) enum Due {
    Callback(Rc<dyn Callback>),
    /// A waker, which [`Timers::fire`] wakes.
    Waker(Key),
}

#[derive(Default)]
pub(crate) struct Timers {
    queue: RefCell<TimerQueue>,
    /// The wakers of sleeps, with the location that set each one. `None` has fired.
    ///
    /// They are in an arena, so that a sleep does not allocate.
    wakers: RefCell<Slots<Option<(Waker, &'static Location<'static>)>>>,
    /// The number of entries in the queue that are cancelled.
    cancelled: Cell<usize>,
}

impl Timers {
    /// Adds an entry, which [`pop_due`](Timers::pop_due) returns from `when` on.
    pub(crate) fn add(&self, when: Instant, due: Due) {
        self.queue.borrow_mut().push(when, due);
    }

    /// Adds a waker, which [`pop_due`](Timers::pop_due) returns from `when` on.
    ///
    /// Unlike a callback, it needs no allocation.
    pub(crate) fn add_waker(
        &self,
        when: Instant,
        waker: Waker,
        location: &'static Location<'static>,
    ) -> Key {
        let key = self.wakers.borrow_mut().insert(Some((waker, location)));
        self.add(when, Due::Waker(key));
        key
    }

    /// Is ready if the entry has fired. If not, it keeps `waker` instead of its present one.
    pub(crate) fn poll_fired(&self, entry: Key, waker: &Waker) -> Poll<()> {
        // Cloning and dropping a waker may run foreign code, so nothing is borrowed then.
        let mut waker = waker.clone();
        match self.wakers.borrow_mut().get_mut(entry) {
            Some(Some((present, _))) => mem::swap(present, &mut waker),
            _ => return Poll::Ready(()),
        }
        Poll::Pending
    }

    /// Wakes the waker of an entry that [`pop_due`](Timers::pop_due) returned.
    pub(crate) fn fire(&self, entry: Key) {
        let fired = self.wakers.borrow_mut().get_mut(entry).and_then(Option::take);
        if let Some((waker, _)) = fired {
            wake(waker);
        }
    }

    /// Removes the waker of an entry, whether it has fired or not.
    pub(crate) fn remove_waker(&self, entry: Key) {
        let removed = self.wakers.borrow_mut().remove(entry).flatten();
        if let Some((waker, _)) = removed {
            self.count_cancelled();
            drop_bounded(Kind::Drop, "while a waker was dropped", waker);
        }
    }

    /// Cancels a callback that [`add`](Timers::add) added.
    ///
    /// If its entry has left the queue, the count is one too high until the next sweep. That sweep
    /// then comes earlier, which is harmless.
    pub(crate) fn cancel(&self, callback: &dyn Callback) {
        if !callback.is_cancelled() {
            callback.cancel();
            self.count_cancelled();
        }
    }

    fn is_cancelled(&self, timer: &Timer) -> bool {
        match &timer.due {
            Due::Callback(callback) => callback.is_cancelled(),
            Due::Waker(key) => self.wakers.borrow().get(*key).is_none(),
        }
    }

    fn count_cancelled(&self) {
        let cancelled = self.cancelled.get() + 1;
        self.cancelled.set(cancelled);
        let mut queue = self.queue.borrow_mut();
        if cancelled >= MIN_SWEEP && cancelled * 2 >= queue.len() {
            // Dropping these entries runs no user code, as cancelling dropped their callbacks.
            queue.retain(|timer| !self.is_cancelled(timer));
            self.cancelled.set(0);
        }
    }

    /// Returns the earliest deadline of the entries that are not cancelled.
    pub(crate) fn next(&self) -> Option<Instant> {
        let mut queue = self.queue.borrow_mut();
        while queue.pop_if(|timer| self.is_cancelled(timer)).is_some() {
            self.cancelled.set(self.cancelled.get().saturating_sub(1));
        }
        queue.peek().map(|timer| timer.when)
    }

    /// Returns the location in the program that set the next timer.
    pub(crate) fn next_location(&self) -> Option<&'static Location<'static>> {
        self.next()?;
        match &self.queue.borrow().peek()?.due {
            Due::Callback(callback) => Some(callback.location()),
            Due::Waker(key) => Some(self.wakers.borrow().get(*key)?.as_ref()?.1),
        }
    }

    /// Removes the earliest entry if it is due at `now`. It may be cancelled.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<Due> {
        let timer = self.queue.borrow_mut().pop_if(|timer| timer.when <= now)?;
        if self.cancelled.get() > 0 && self.is_cancelled(&timer) {
            self.cancelled.set(self.cancelled.get() - 1);
        }
        Some(timer.due)
    }

    /// Cancels all callbacks, and wakes all wakers. A closed loop adds no more.
    ///
    /// The woken tasks find the loop closed.
    pub(crate) fn close(&self, exceptions: &Exceptions) {
        let mut queue = self.queue.take();
        self.cancelled.set(0);
        // The destructors are user code, so nothing is borrowed while they run.
        while let Some(timer) = queue.pop_if(|_| true) {
            if let Due::Callback(callback) = timer.due {
                exceptions.contain("panic while a callback was dropped", || callback.cancel());
            }
        }
        // This includes the wakers that `pop_due` returned and that have not fired.
        let unfired: Vec<_> =
            self.wakers.borrow_mut().values_mut().filter_map(Option::take).collect();
        unfired.into_iter().for_each(|(waker, _)| wake(waker));
    }
}

#[cfg(test)]
mod tests;
