//! What is to be called at some time, in the order of deadlines, equal ones in the order in which they were made.
//!
//! A cancelled timer's callback is dropped at once; its place among those that wait, which is a few words, stays until it comes
//! up or until the cancelled ones are more than half, when all of them are swept out together. So setting and cancelling stay
//! cheap and a million cancelled timers hold no memory.

mod waiting;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use crate::exceptions::Exceptions;
use crate::ready::Callback;
use waiting::{Timer, Waiting};

/// Below this number of cancelled timers sweeping is not worth it; asyncio has the same number.
const FEW: usize = 100;

#[derive(Default)]
pub(crate) struct Timers {
    waiting: RefCell<Waiting>,
    made: Cell<u64>,
    /// How many of those are cancelled.
    cancelled: Cell<usize>,
    closed: Cell<bool>,
}

impl Timers {
    /// Has `callback` handed back by [`pop_due`](Timers::pop_due) at `when`; after [`close`](Timers::close) it is cancelled.
    pub(crate) fn add(&self, when: Instant, callback: Rc<dyn Callback>) {
        if self.closed.get() {
            return callback.cancel();
        }
        let number = self.made.get();
        self.made.set(number + 1);
        self.waiting.borrow_mut().push(Timer {
            when,
            number,
            callback,
        });
    }

    /// Cancels a callback that [`add`](Timers::add) was given. Where it has been handed back already, the count of the cancelled
    /// is one too high until the next sweep, which then comes earlier and does no harm.
    pub(crate) fn cancel(&self, callback: &dyn Callback) {
        if callback.is_cancelled() {
            return;
        }
        callback.cancel();
        self.cancelled.set(self.cancelled.get() + 1);
        self.sweep();
    }

    fn sweep(&self) {
        let cancelled = self.cancelled.get();
        if cancelled < FEW {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if cancelled * 2 < waiting.len() {
            return;
        }
        // Dropping these runs no code of the user's: their callbacks are gone since they were cancelled.
        waiting.retain(|timer| !timer.callback.is_cancelled(), FEW);
        self.cancelled.set(0);
    }

    /// The earliest deadline that somebody still waits for.
    pub(crate) fn next(&self) -> Option<Instant> {
        let mut waiting = self.waiting.borrow_mut();
        while waiting
            .pop_if(|timer| timer.callback.is_cancelled())
            .is_some()
        {
            self.cancelled.set(self.cancelled.get().saturating_sub(1));
        }
        waiting.peek().map(|timer| timer.when)
    }

    /// Hands back the earliest callback that was due at `now`; it may have been cancelled.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<Rc<dyn Callback>> {
        let due = self.waiting.borrow_mut().pop_if(|timer| timer.when <= now);
        let callback = due?.callback;
        if callback.is_cancelled() {
            self.cancelled.set(self.cancelled.get().saturating_sub(1));
        }
        Some(callback)
    }

    /// Cancels all timers, and all that come later at once.
    pub(crate) fn close(&self, exceptions: &Exceptions) {
        self.closed.set(true);
        let waiting = self.waiting.take();
        self.cancelled.set(0);
        // The destructors are the user's code: nothing is borrowed while they run.
        for timer in waiting.iter() {
            let cancel = || timer.callback.cancel();
            exceptions.contain("panic while a callback was dropped", cancel);
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("waiting", &self.waiting.borrow().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ready::Call;

    fn add(
        timers: &Timers,
        when: Instant,
        log: &Rc<RefCell<Vec<u32>>>,
        name: u32,
    ) -> Rc<dyn Callback> {
        let log = log.clone();
        let call: Rc<dyn Callback> = Rc::new(Call::new(move || log.borrow_mut().push(name)));
        timers.add(when, call.clone());
        call
    }

    fn run_due(timers: &Timers, now: Instant) {
        while let Some(callback) = timers.pop_due(now) {
            callback.run();
        }
    }

    #[test]
    fn timers_come_in_order_of_deadline_and_equal_ones_as_they_were_made() {
        let (timers, log, start) = (Timers::default(), Rc::default(), Instant::now());
        for (after, name) in [(3, 30), (1, 10), (3, 31), (2, 20), (1, 11), (3, 32)] {
            add(&timers, start + Duration::from_secs(after), &log, name);
        }
        assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
        run_due(&timers, start + Duration::from_secs(2));
        assert_eq!(*log.borrow(), [10, 11, 20]);
        run_due(&timers, start + Duration::from_secs(3));
        assert_eq!(*log.borrow(), [10, 11, 20, 30, 31, 32]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cancelled_timer_frees_what_it_held_at_once() {
        let timers = Timers::default();
        let held = Rc::new(());
        let inside = held.clone();
        let call: Rc<dyn Callback> = Rc::new(Call::new(move || drop(inside)));
        timers.add(Instant::now() + Duration::from_secs(60), call.clone());
        timers.cancel(&*call);
        assert_eq!(Rc::strong_count(&held), 1);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let (timers, log, start) = (Timers::default(), Rc::default(), Instant::now());
        let kept = add(&timers, start, &log, 0);
        for n in 1..100_000 {
            let call = add(&timers, start + Duration::from_secs(60), &log, n);
            timers.cancel(&*call);
            assert!(timers.waiting.borrow().len() <= 2 * FEW);
        }
        run_due(&timers, start);
        assert_eq!(*log.borrow(), [0]);
        drop(kept);
    }

    #[test]
    fn timers_that_are_closed_cancel_what_they_have_and_what_they_get() {
        let (timers, log, start) = (Timers::default(), Rc::default(), Instant::now());
        let before = add(&timers, start, &log, 1);
        timers.close(&Exceptions::default());
        let after = add(&timers, start, &log, 2);
        assert!(before.is_cancelled() && after.is_cancelled());
        run_due(&timers, start);
        assert!(log.borrow().is_empty());
    }
}
