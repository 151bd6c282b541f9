use std::sync::Arc;
use std::task::Wake;

use super::*;

struct NoopWake;

impl Wake for NoopWake {
    fn wake(self: Arc<Self>) {}
}

fn waiters(count: usize) -> (Vec<Waker>, Vec<Ticket>, DirectionState) {
    let wakers: Vec<Waker> = (0..count).map(|_| Arc::new(NoopWake).into()).collect();
    let mut waiters = DirectionState::default();
    let push = |waker: &Waker| waiters.queue.push(waker.clone());
    let tickets = wakers.iter().map(push).collect();
    (wakers, tickets, waiters)
}

#[track_caller]
fn assert_woken(wakeups: &mut Wakeups, expected: &[&Waker]) {
    let wakers = mem::take(&mut wakeups.wakers);
    assert_eq!(wakers.len(), expected.len());
    let same = wakers.iter().zip(expected).all(|(a, b)| a.will_wake(b));
    assert!(same, "another task");
}

#[test]
fn success_of_the_woken_task_wakes_the_next() {
    let (wakers, tickets, mut waiters) = waiters(3);
    let mut wakeups = Wakeups::default();
    assert!(waiters.wake_one(&mut wakeups));
    assert_woken(&mut wakeups, &[&wakers[0]]);
    // The holder has not tried yet, so a second event wakes no other task.
    assert!(!waiters.wake_one(&mut wakeups));
    assert_woken(&mut wakeups, &[]);
    let next = waiters.pass_on(tickets[0]).expect("the next one");
    assert!(next.will_wake(&wakers[1]));
    // No task is left to wake after the last one.
    let next = waiters.pass_on(tickets[1]).expect("the next one");
    assert!(next.will_wake(&wakers[2]));
    assert!(waiters.pass_on(tickets[2]).is_none());
    assert!(waiters.queue.is_empty());
}

#[test]
fn failed_try_of_the_holder_wakes_no_task() {
    let (wakers, tickets, mut waiters) = waiters(2);
    let mut wakeups = Wakeups::default();
    assert!(waiters.wake_one(&mut wakeups));
    assert_woken(&mut wakeups, &[&wakers[0]]);
    waiters.clear_ready();
    assert!(waiters.pass_on(tickets[0]).is_none());
    assert!(!waiters.wake_one(&mut wakeups));
    assert_woken(&mut wakeups, &[&wakers[1]]);
}

#[test]
fn error_wakes_all_tasks() {
    let (wakers, tickets, mut waiters) = waiters(3);
    let mut wakeups = Wakeups::default();
    assert!(waiters.wake_one(&mut wakeups));
    waiters.wake_all(&mut wakeups);
    assert_woken(&mut wakeups, &[&wakers[0], &wakers[1], &wakers[2]]);
    assert!(waiters.pass_on(tickets[0]).is_none());
}

#[test]
fn wake_up_passes_on_if_the_holder_does_not_try() {
    let source = Rc::new(Source::default());
    let (direction, last_holder) = (Direction::Read, None);
    let (wakers, _, waiters) = waiters(3);
    *source.state(direction) = waiters;
    let mut wakeups = Wakeups::default();
    assert!(source.state(direction).wake_one(&mut wakeups));
    let mut holder_check = HolderCheck { source, direction, last_holder };
    assert_woken(&mut wakeups, &[&wakers[0]]);
    for (next, is_last) in [(&wakers[1], false), (&wakers[2], true)] {
        assert!(holder_check.is_pending());
        assert!(holder_check.check(&mut wakeups));
        assert_woken(&mut wakeups, &[]);
        let is_pending = holder_check.check(&mut wakeups);
        assert_woken(&mut wakeups, &[next]);
        assert_eq!(is_pending, !is_last);
    }
    assert!(!holder_check.is_pending());
}
