//! Writers of one socket take turns, in the order in which they began, so that what each sends goes out whole.
//!
//! A writer holds a [`Turn`]. Its end, whether it is through or dropped while it waited or wrote, hands the turn on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::task::{Context, Poll, Waker};

use crate::error::wake;

/// The line of one socket's writers. Empty, it holds no memory.
#[derive(Default)]
pub(crate) struct Turns {
    /// The number of the one who writes; 0 is nobody.
    holder: Cell<u64>,
    last: Cell<u64>,
    line: RefCell<VecDeque<(u64, Waker)>>,
    /// One who does not stand in line, but looks again when nobody writes any more.
    bystander: Cell<Option<Waker>>,
}

impl Turns {
    /// Whether somebody writes.
    pub(crate) fn is_taken(&self) -> bool {
        self.holder.get() != 0
    }

    /// Ready where nobody writes; else the task is woken when that may be so.
    pub(crate) fn poll_free(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_taken() {
            return Poll::Ready(());
        }
        drop(self.bystander.replace(Some(cx.waker().clone())));
        Poll::Pending
    }

    /// Forgets the writers, in a forked child: they are those of the parent.
    pub(crate) fn reset(&self) {
        self.holder.set(0);
        let line = self.line.take();
        let bystander = self.bystander.take();
        drop((line, bystander));
    }

    fn hand_on(&self) {
        let next = self.line.borrow_mut().pop_front();
        self.holder
            .set(next.as_ref().map_or(0, |(number, _)| *number));
        let woken = match next {
            Some((_, waker)) => Some(waker),
            None => self.bystander.take(),
        };
        if let Some(waker) = woken {
            wake(waker);
        }
    }
}

/// One writer's place in the line, from its first poll on.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    /// 0 until it stands in line.
    number: u64,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(turns: &'a Turns) -> Turn<'a> {
        Turn { turns, number: 0 }
    }

    /// In line at once, though it may be polled later.
    pub(crate) fn begin(turns: &'a Turns, cx: &Context<'_>) -> Turn<'a> {
        let mut turn = Turn::new(turns);
        // Where it is this writer's turn already, the first poll will say so too.
        let _ = turn.poll(cx);
        turn
    }

    /// Ready when it is this writer's turn, which then is its until it is dropped.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let turns = self.turns;
        if self.number == 0 {
            self.number = turns.last.get() + 1;
            turns.last.set(self.number);
            if !turns.is_taken() {
                turns.holder.set(self.number);
            }
        }
        if turns.holder.get() == self.number {
            return Poll::Ready(());
        }
        self.stand_in_line(cx);
        Poll::Pending
    }

    /// Takes a place at the end of the line, or brings the waker at its place up to date.
    fn stand_in_line(&self, cx: &Context<'_>) {
        // Cloning and dropping a waker may run foreign code: nothing is borrowed then.
        let mut waker = cx.waker().clone();
        let mut line = self.turns.line.borrow_mut();
        match line.iter_mut().find(|(number, _)| *number == self.number) {
            Some((_, before)) => mem::swap(before, &mut waker),
            None => return line.push_back((self.number, waker)),
        }
        drop(line);
        drop(waker);
    }

    /// Ends it early, where its owner lives on.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.number != 0 {
            self.leave();
        }
    }

    fn leave(&mut self) {
        let number = mem::take(&mut self.number);
        if self.turns.holder.get() == number {
            self.turns.hand_on();
        } else {
            let mut line = self.turns.line.borrow_mut();
            let place = line.iter().position(|(other, _)| *other == number);
            let gone = place.and_then(|place| line.remove(place));
            drop(line);
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
        f.debug_tuple("Turn").field(&self.number).finish()
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
        assert_eq!(turns.holder.get(), 0);
        assert!(turns.line.borrow().is_empty());
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
    fn one_that_was_never_polled_is_not_in_line() {
        let turns = Turns::default();
        let never = Turn::new(&turns);
        let mut a = Turn::new(&turns);
        assert!(is_ready(&mut a));
        drop(never);
        assert!(is_ready(&mut a));
    }
}
