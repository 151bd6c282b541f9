use std::time::Duration;

use super::*;
use crate::run_queue::Call;

fn add(timers: &Timers, when: Instant, log: &Rc<RefCell<Vec<u32>>>, name: u32) -> Rc<dyn Callback> {
    let log = log.clone();
    let call: Rc<dyn Callback> = Rc::new(Call::new(move || log.borrow_mut().push(name)));
    timers.add(when, call.clone());
    call
}

fn run_due(timers: &Timers, now: Instant) {
    while let Some(due) = timers.pop_due(now) {
        match due {
            Due::Callback(callback) => callback.run(),
            Due::Waker(key) => timers.fire(key),
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
        assert!(timers.queue.borrow().len() <= 2 * MIN_SWEEP);
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
        timers.add_waker(start, waker.clone(), Location::caller()),
        timers.add_waker(start, waker.clone(), Location::caller()),
    );
    assert!(!timers.has_fired(heard, waker));
    timers.forget(forgotten);
    run_due(&timers, start);
    assert!(timers.has_fired(heard, waker));
    timers.forget(heard);
    assert_eq!(timers.cancelled.get(), 0);
    assert_eq!(timers.wakers.borrow().len(), 0);
}

#[test]
fn forgotten_alarms_do_not_pile_up() {
    let (timers, start) = (Timers::default(), Instant::now());
    for _ in 0..100_000 {
        let entry = timers.add_waker(
            start + Duration::from_secs(60),
            Waker::noop().clone(),
            Location::caller(),
        );
        timers.forget(entry);
        assert!(timers.queue.borrow().len() <= 2 * MIN_SWEEP);
    }
    assert_eq!(timers.wakers.borrow().len(), 0);
}
