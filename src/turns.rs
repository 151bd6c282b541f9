//! The write lock of a socket: writers hold it one after the other, in the order in which they began, so that the bytes of
//! each writer stay together.
//!
//! A writer has a [`Turn`]. Dropping it, while it waits or holds the lock, costs O(1) and hands the lock on.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::task::{Context, Poll, Waker};

use crate::error::wake;
use crate::wait_queue::{Ticket, WaitQueue};

/// The write lock of one socket, with its queue.
#[derive(Default)]
pub(crate) struct Turns {
    /// The ticket of the writer that holds the lock. Without a holder the queue is empty.
    holder: Cell<Option<Ticket>>,
    queue: RefCell<WaitQueue>,
    /// A task outside the queue that tries again when the lock is free.
    bystander: Cell<Option<Waker>>,
}

impl Turns {
    /// Returns whether a writer holds the lock.
    pub(crate) fn is_taken(&self) -> bool {
        self.holder.get().is_some()
    }

    /// Ready if the lock is free; otherwise wakes the task when it may be.
    pub(crate) fn poll_free(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_taken() {
            return Poll::Ready(());
        }
        drop(self.bystander.replace(Some(cx.waker().clone())));
        Poll::Pending
    }

    /// Forgets the writers, in a forked child: they are those of the parent.
    ///
    /// The queue is emptied, not replaced: a new one would issue the tickets of the parent's
    /// writers again.
    pub(crate) fn reset(&self) {
        self.holder.set(None);
        let next = || self.queue.borrow_mut().pop();
        while let Some(gone) = next() {
            drop(gone);
        }
        drop(self.bystander.take());
    }

    fn hand_on(&self) {
        let next = self.queue.borrow_mut().pop();
        let (holder, waker) = next.unzip();
        self.holder.set(holder);
        if let Some(waker) = waker.or_else(|| self.bystander.take()) {
            wake(waker);
        }
    }
}

/// One writer's place in the queue, from its first poll on.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    /// `None` until the first poll.
    ticket: Option<Ticket>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(turns: &'a Turns) -> Turn<'a> {
        Turn {
            turns,
            ticket: None,
        }
    }

    /// Enters the queue at once, though the writer may be polled later.
    pub(crate) fn begin(turns: &'a Turns, cx: &Context<'_>) -> Turn<'a> {
        let mut turn = Turn::new(turns);
        // If this writer holds the lock already, its first poll reports that too.
        let _ = turn.poll(cx);
        turn
    }

    /// Ready if this writer holds the lock, which it then keeps until it is dropped.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.try_hold() {
            true => Poll::Ready(()),
            false => self.wait(cx),
        }
    }

    fn try_hold(&mut self) -> bool {
        let holder = self.turns.holder.get();
        if holder.is_some() {
            return self.ticket == holder;
        }
        self.ticket = Some(self.turns.queue.borrow_mut().issue());
        self.turns.holder.set(self.ticket);
        true
    }

    /// Enters the queue, or updates the waker there.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        // Cloning and dropping a waker may run foreign code, which may end other writers: nothing is borrowed then.
        let mut waker = cx.waker().clone();
        if self.try_hold() {
            return Poll::Ready(());
        }
        let mut queue = self.turns.queue.borrow_mut();
        match self.ticket.and_then(|ticket| queue.get_mut(ticket)) {
            Some(before) => mem::swap(before, &mut waker),
            None => {
                self.ticket = Some(queue.push(waker));
                return Poll::Pending;
            }
        }
        drop(queue);
        drop(waker);
        Poll::Pending
    }

    /// Leaves early, if its owner lives on.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.ticket.is_some() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        if self.turns.holder.get() == Some(ticket) {
            self.turns.hand_on();
        } else {
            let gone = self.turns.queue.borrow_mut().remove(ticket);
            drop(gone);
        }
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.ticket).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready(turn: &mut Turn<'_>) -> bool {
        turn.poll(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn turns_go_in_the_order_of_the_first_poll() {
        let turns = Turns::default();
        let (mut a, mut b, mut c) = (Turn::new(&turns), Turn::new(&turns), Turn::new(&turns));
        assert!(is_ready(&mut b));
        assert!(!is_ready(&mut c));
        assert!(!is_ready(&mut a));
        drop(b);
        assert!(!is_ready(&mut a) && is_ready(&mut c));
        drop(c);
        assert!(is_ready(&mut a));
    }

    #[test]
    fn one_that_gives_up_its_place_is_passed_over() {
        let turns = Turns::default();
        let (mut a, mut b, mut c) = (Turn::new(&turns), Turn::new(&turns), Turn::new(&turns));
        assert!(is_ready(&mut a));
        assert!(!is_ready(&mut b) && !is_ready(&mut c));
        drop(b);
        drop(a);
        assert!(is_ready(&mut c));
        drop(c);
        assert!(!turns.is_taken());
        assert!(turns.queue.borrow().is_empty());
    }

    #[test]
    fn one_that_was_handed_the_turn_and_never_polled_again_hands_it_on() {
        let turns = Turns::default();
        let (mut a, mut b, mut c) = (Turn::new(&turns), Turn::new(&turns), Turn::new(&turns));
        assert!(is_ready(&mut a));
        assert!(!is_ready(&mut b) && !is_ready(&mut c));
        drop(a);
        drop(b);
        assert!(is_ready(&mut c));
    }

    #[test]
    fn a_writer_from_before_a_reset_does_not_release_the_lock() {
        let turns = Turns::default();
        let (mut a, mut b) = (Turn::new(&turns), Turn::new(&turns));
        assert!(is_ready(&mut a) && !is_ready(&mut b));
        turns.reset();
        let (mut c, mut d) = (Turn::new(&turns), Turn::new(&turns));
        assert!(is_ready(&mut c) && !is_ready(&mut d));
        drop((a, b));
        assert!(!is_ready(&mut d));
        drop(c);
        assert!(is_ready(&mut d));
    }

    #[test]
    fn one_that_was_never_polled_is_not_in_line() {
        let turns = Turns::default();
        let never = Turn::new(&turns);
        let mut a = Turn::new(&turns);
        assert!(is_ready(&mut a));
        drop(never);
        assert!(is_ready(&mut a));
    }
}
