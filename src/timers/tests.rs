use std::time::Duration;

use super::*;
use crate::run_queue::Call;

fn add(timers: &Timers, when: Instant, log: &Rc<RefCell<Vec<u32>>>, name: u32) -> Rc<dyn Callback> {
    let log = log.clone();
    let call: Rc<dyn Callback> = Rc::new(Call::new(move || log.borrow_mut().push(name)));
    timers.add(when, Due::Callback(call.clone()));
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
fn timers_fire_by_deadline_and_then_by_creation() {
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
fn cancelled_timer_drops_its_callback_at_once() {
    let timers = Timers::default();
    let held = Rc::new(());
    let inside = held.clone();
    let call: Rc<dyn Callback> = Rc::new(Call::new(move || drop(inside)));
    timers.add(Instant::now() + Duration::from_secs(60), Due::Callback(call.clone()));
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
fn close_cancels_timers() {
    let (timers, log, start) = (Timers::default(), Rc::default(), Instant::now());
    let timer = add(&timers, start, &log, 1);
    timers.close(&Exceptions::default());
    assert!(timer.is_cancelled());
    run_due(&timers, start);
    assert!(log.borrow().is_empty());
}

#[test]
fn timer_waker_fires_once_and_never_after_its_removal() {
    let (timers, start) = (Timers::default(), Instant::now());
    let waker = Waker::noop();
    let (kept, removed) = (
        timers.add_waker(start, waker.clone(), Location::caller()),
        timers.add_waker(start, waker.clone(), Location::caller()),
    );
    assert!(timers.poll_fired(kept, waker).is_pending());
    timers.remove_waker(removed);
    run_due(&timers, start);
    assert!(timers.poll_fired(kept, waker).is_ready());
    timers.remove_waker(kept);
    assert_eq!(timers.cancelled.get(), 0);
    assert_eq!(timers.wakers.borrow().len(), 0);
}

#[test]
fn removed_timer_wakers_do_not_pile_up() {
    let (timers, start) = (Timers::default(), Instant::now());
    for _ in 0..100_000 {
        let entry = timers.add_waker(
            start + Duration::from_secs(60),
            Waker::noop().clone(),
            Location::caller(),
        );
        timers.remove_waker(entry);
        assert!(timers.queue.borrow().len() <= 2 * MIN_SWEEP);
    }
    assert_eq!(timers.wakers.borrow().len(), 0);
}
