use std::sync::Arc;
use std::task::Wake;

use super::*;

struct DistinctWake;

impl Wake for DistinctWake {
    fn wake(self: Arc<Self>) {}
}

fn waker() -> Waker {
    Arc::new(DistinctWake).into()
}

/// Creates distinct wakers, their tickets, and a queue of them.
fn queue(len: usize) -> (Vec<Waker>, Vec<Ticket>, WaitQueue) {
    let wakers: Vec<Waker> = (0..len).map(|_| waker()).collect();
    let mut queue = WaitQueue::default();
    let tickets = wakers.iter().map(|waker| queue.push(waker.clone()));
    let tickets = tickets.collect();
    (wakers, tickets, queue)
}

#[track_caller]
fn assert_left(mut queue: WaitQueue, expected: &[&Waker]) {
    for waker in expected {
        let (ticket, popped) = queue.pop().expect("a waker");
        assert!(popped.will_wake(waker), "another order");
        assert!(queue.get_mut(ticket).is_none());
    }
    assert!(queue.is_empty() && queue.pop().is_none());
}

#[test]
fn wakers_leave_in_arrival_order() {
    let (wakers, _, queue) = queue(3);
    assert_left(queue, &[&wakers[0], &wakers[1], &wakers[2]]);
}

#[test]
fn removal_keeps_the_order_of_the_others() {
    for gone in 0..4 {
        let (wakers, tickets, mut queue) = queue(4);
        let removed = queue.remove(tickets[gone]);
        assert!(removed.is_some_and(|removed| removed.will_wake(&wakers[gone])));
        assert!(queue.remove(tickets[gone]).is_none());
        let mut left: Vec<&Waker> = wakers.iter().collect();
        left.remove(gone);
        assert_left(queue, &left);
    }
}

#[test]
fn later_waker_is_last_after_the_first_was_removed() {
    let (wakers, tickets, mut queue) = queue(2);
    let late = waker();
    queue.remove(tickets[0]);
    queue.push(late.clone());
    assert_left(queue, &[&wakers[1], &late]);
}

#[test]
fn ticket_of_a_removed_waker_finds_nothing() {
    let (wakers, tickets, mut queue) = queue(3);
    for (ticket, waker) in tickets.iter().zip(&wakers) {
        let found = queue.get_mut(*ticket);
        assert!(found.is_some_and(|found| found.will_wake(waker)));
    }
    while queue.pop().is_some() {}
    for _ in 0..3 {
        queue.push(waker());
    }
    for ticket in tickets {
        assert!(queue.get_mut(ticket).is_none() && queue.remove(ticket).is_none());
    }
}

#[test]
fn issued_ticket_has_no_waker() {
    let (_, _, mut queue) = queue(0);
    let ticket = queue.issue();
    assert!(queue.get_mut(ticket).is_none());
    assert_ne!(queue.push(waker()), ticket);
}
