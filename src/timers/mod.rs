//! What is to be called at some time, in the order of deadlines, equal ones in the order in which they were made.
//!
//! A cancelled timer's callback is dropped at once; its place among those that wait, which is a few words, stays until it comes
//! up or until the cancelled ones are more than half, when all of them are swept out together. So setting and cancelling stay
//! cheap and a million cancelled timers hold no memory.

mod alarms;
mod queue;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use crate::error::{drop_bounded, wake};
use crate::exceptions::Exceptions;
use crate::nesting::Kind;
use crate::ready::Callback;
use crate::slots::Key;
use alarms::Alarms;
use queue::{Timer, TimerQueue};

/// Below this number of cancelled timers sweeping is not worth it; asyncio has the same number.
const FEW: usize = 100;

/// What is to be done at some time.
pub(crate) enum Due {
    Callback(Rc<dyn Callback>),
    /// Somebody is to be woken: [`Timers::ring`].
    Alarm(Key),
}

#[derive(Default)]
pub(crate) struct Timers {
    waiting: RefCell<TimerQueue>,
    alarms: RefCell<Alarms>,
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
    pub(crate) fn set_alarm(
        &self,
        when: Instant,
        waker: Waker,
        place: &'static Location<'static>,
    ) -> Key {
        let key = self.alarms.borrow_mut().set(waker, place);
        self.push(when, Due::Alarm(key));
        key
    }

    /// Whether the alarm has rung; where it has not, it is this waker's from here on.
    pub(crate) fn has_rung(&self, alarm: Key, waker: &Waker) -> bool {
        // Cloning and dropping a waker may run foreign code: nothing is borrowed then.
        let waker = waker.clone();
        let before = self.alarms.borrow_mut().renew(alarm, waker);
        match before {
            Some(before) => {
                drop(before);
                false
            }
            None => true,
        }
    }

    /// Wakes who waits for an alarm that was handed back.
    pub(crate) fn ring(&self, alarm: Key) {
        let waker = self.alarms.borrow_mut().ring(alarm);
        waker.into_iter().for_each(wake);
    }

    /// Nobody waits for the alarm any more.
    pub(crate) fn forget(&self, alarm: Key) {
        let waker = self.alarms.borrow_mut().remove(alarm);
        if let Some(waker) = waker {
            self.count_cancelled();
            drop_bounded(Kind::Drop, "while a waker was dropped", waker);
        }
    }

    fn push(&self, when: Instant, due: Due) {
        let number = self.made.get();
        self.made.set(number + 1);
        self.waiting.borrow_mut().push(Timer { when, number, due });
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
            Due::Alarm(key) => !self.alarms.borrow().has(*key),
        }
    }

    fn count_cancelled(&self) {
        let cancelled = self.cancelled.get() + 1;
        self.cancelled.set(cancelled);
        if cancelled < FEW {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if cancelled * 2 < waiting.len() {
            return;
        }
        // Dropping these runs no code of the user's: their callbacks are gone since they were cancelled.
        waiting.retain(|timer| !self.is_cancelled(timer));
        self.cancelled.set(0);
    }

    fn uncount_cancelled(&self) {
        let cancelled = self.cancelled.get();
        self.cancelled.set(cancelled.saturating_sub(1));
    }

    /// The earliest deadline that somebody still waits for.
    pub(crate) fn next(&self) -> Option<Instant> {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.pop_if(|timer| self.is_cancelled(timer)).is_some() {
            self.uncount_cancelled();
        }
        waiting.peek().map(|timer| timer.when)
    }

    /// Returns the place in the program that set the earliest timer.
    pub(crate) fn next_place(&self) -> Option<&'static Location<'static>> {
        self.next()?;
        match &self.waiting.borrow().peek()?.due {
            Due::Callback(callback) => Some(callback.place()),
            Due::Alarm(key) => self.alarms.borrow().place(*key),
        }
    }

    /// Hands back the earliest that was due at `now`; it may have been cancelled.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<Due> {
        let timer = self
            .waiting
            .borrow_mut()
            .pop_if(|timer| timer.when <= now)?;
        if self.cancelled.get() > 0 && self.is_cancelled(&timer) {
            self.uncount_cancelled();
        }
        Some(timer.due)
    }

    /// Cancels all timers, and all that come later at once. Who waits for an alarm is woken, to find the loop closed.
    pub(crate) fn close(&self, exceptions: &Exceptions) {
        self.closed.set(true);
        let waiting = self.waiting.take();
        self.cancelled.set(0);
        // The destructors are the user's code: nothing is borrowed while they run.
        for timer in waiting.iter() {
            if let Due::Callback(callback) = &timer.due {
                let cancel = || callback.cancel();
                exceptions.contain("panic while a callback was dropped", cancel);
            }
        }
        // Also those that were handed back and are still to ring: nobody will ring them any more.
        let wakers = self.alarms.borrow_mut().ring_all();
        wakers.into_iter().for_each(wake);
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
        while let Some(due) = timers.pop_due(now) {
            match due {
                Due::Callback(callback) => callback.run(),
                Due::Alarm(key) => timers.ring(key),
            }
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

    #[test]
    fn an_alarm_rings_once_and_one_that_is_forgotten_never() {
        let (timers, start) = (Timers::default(), Instant::now());
        let waker = Waker::noop();
        let (heard, forgotten) = (
            timers.set_alarm(start, waker.clone(), Location::caller()),
            timers.set_alarm(start, waker.clone(), Location::caller()),
        );
        assert!(!timers.has_rung(heard, waker));
        timers.forget(forgotten);
        run_due(&timers, start);
        assert!(timers.has_rung(heard, waker));
        timers.forget(heard);
        assert_eq!(timers.cancelled.get(), 0);
        assert_eq!(timers.alarms.borrow().len(), 0);
    }

    #[test]
    fn forgotten_alarms_do_not_pile_up() {
        let (timers, start) = (Timers::default(), Instant::now());
        for _ in 0..100_000 {
            let alarm = timers.set_alarm(
                start + Duration::from_secs(60),
                Waker::noop().clone(),
                Location::caller(),
            );
            timers.forget(alarm);
            assert!(timers.waiting.borrow().len() <= 2 * FEW);
        }
        assert_eq!(timers.alarms.borrow().len(), 0);
    }
}
