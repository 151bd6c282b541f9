use std::sync::Arc;
use std::task::Wake;

use super::*;

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

fn waker() -> Waker {
    Arc::new(Nothing).into()
}

/// Distinguishable wakers, their tickets, and a queue of them.
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
fn wakers_leave_in_the_order_in_which_they_came() {
    let (wakers, _, queue) = queue(3);
    assert_left(queue, &[&wakers[0], &wakers[1], &wakers[2]]);
}

#[test]
fn removing_any_waker_keeps_the_order_of_the_others() {
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
fn a_waker_that_comes_after_the_first_left_is_the_last() {
    let (wakers, tickets, mut queue) = queue(2);
    let late = waker();
    queue.remove(tickets[0]);
    queue.push(late.clone());
    assert_left(queue, &[&wakers[1], &late]);
}

#[test]
fn an_old_ticket_finds_no_later_waker() {
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
fn an_issued_ticket_is_of_no_waker() {
    let (_, _, mut queue) = queue(0);
    let ticket = queue.issue();
    assert!(queue.get_mut(ticket).is_none());
    assert_ne!(queue.push(waker()), ticket);
}
