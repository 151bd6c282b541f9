use std::sync::Arc;
use std::task::Wake;

use super::*;

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

fn waiters(count: usize) -> (Vec<Waker>, Vec<Ticket>, Waiters) {
    let wakers: Vec<Waker> = (0..count).map(|_| Arc::new(Nothing).into()).collect();
    let mut waiters = Waiters::default();
    let push = |waker: &Waker| waiters.push(waker.clone());
    let tickets = wakers.iter().map(push).collect();
    (wakers, tickets, waiters)
}

#[track_caller]
fn assert_woken(woken: &mut Woken, expected: &[&Waker]) {
    let wakers = mem::take(&mut woken.wakers);
    assert_eq!(wakers.len(), expected.len());
    let same = wakers.iter().zip(expected).all(|(a, b)| a.will_wake(b));
    assert!(same, "another task");
}

#[test]
fn an_event_wakes_one_task_and_its_success_the_next() {
    let (wakers, tickets, mut waiters) = waiters(3);
    let mut woken = Woken::default();
    assert!(waiters.wake_one(&mut woken));
    assert_woken(&mut woken, &[&wakers[0]]);
    // The holder has not tried yet: a second event has nothing to add.
    assert!(!waiters.wake_one(&mut woken));
    assert_woken(&mut woken, &[]);
    let next = waiters.pass_on(tickets[0], true).expect("the next one");
    assert!(next.will_wake(&wakers[1]));
    // The last one has nobody to pass it on to.
    let next = waiters.pass_on(tickets[1], true).expect("the next one");
    assert!(next.will_wake(&wakers[2]));
    assert!(waiters.pass_on(tickets[2], true).is_none());
    assert!(waiters.is_empty());
}

#[test]
fn a_holder_that_finds_nothing_wakes_nobody() {
    let (wakers, tickets, mut waiters) = waiters(2);
    let mut woken = Woken::default();
    assert!(waiters.wake_one(&mut woken));
    assert_woken(&mut woken, &[&wakers[0]]);
    assert!(waiters.pass_on(tickets[0], false).is_none());
    assert!(!waiters.wake_one(&mut woken));
    assert_woken(&mut woken, &[&wakers[1]]);
}

#[test]
fn an_error_wakes_all() {
    let (wakers, tickets, mut waiters) = waiters(3);
    let mut woken = Woken::default();
    assert!(waiters.wake_one(&mut woken));
    waiters.wake_all(&mut woken);
    assert_woken(&mut woken, &[&wakers[0], &wakers[1], &wakers[2]]);
    assert!(waiters.pass_on(tickets[0], true).is_none());
}

#[test]
fn a_holder_that_does_not_try_loses_the_wake_up_to_the_next() {
    let source = Rc::new(Source::new());
    let side = source.side(Direction::Read);
    let (wakers, _, waiters) = waiters(3);
    side.waiters().replace(waiters);
    let mut woken = Woken::default();
    let mut handed = Handed::new(&source, Direction::Read);
    assert!(side.waiters().borrow_mut().wake_one(&mut woken));
    assert_woken(&mut woken, &[&wakers[0]]);
    for (next, is_last) in [(&wakers[1], false), (&wakers[2], true)] {
        assert!(handed.is_open());
        assert!(handed.look(&mut woken));
        assert_woken(&mut woken, &[]);
        let is_open = handed.look(&mut woken);
        assert_woken(&mut woken, &[next]);
        assert_eq!(is_open, !is_last);
    }
    assert!(!handed.is_open());
}
