//! The tasks that wait for one direction of a descriptor, and its fd callback.
//!
//! An event wakes the task that has waited longest. That task may leave more behind than it takes: another connection, more
//! bytes. So while others still wait, the woken task is the *holder* of the wake-up, and a holder passes the wake-up on to the
//! next task as soon as its operation has succeeded. N tasks that wait for one connection so cost two tries, not N.
//!
//! No wake-up is lost. While tasks wait and the direction is ready, there is a holder. It passes the wake-up on
//!
//! 1. if its operation succeeds;
//! 2. if its operation is dropped before it has tried;
//! 3. if its task leaves the operation alone: [`Handed`] sees that, two iterations later.
//!
//! If its operation finds nothing (EAGAIN), the direction is not ready, and the next event begins anew.
//!
//! An error or a hang-up concerns every task, and wakes all of them.

use std::mem;
use std::rc::Rc;
use std::task::Waker;

use super::source::{Direction, Source};
use crate::run_queue::Callback;
use crate::wait_queue::{Ticket, WaitQueue};

/// What the events of one poll cause. It is collected first, and done when nothing is borrowed any more.
#[derive(Default)]
pub(super) struct Woken {
    pub(super) wakers: Vec<Waker>,
    pub(super) callbacks: Vec<Rc<dyn Callback>>,
    pub(super) handed: Vec<Handed>,
}

/// The tasks that wait. An event of a busy loop finds this in no cache, so it is kept small.
#[derive(Default)]
pub(super) struct Waiters {
    queue: WaitQueue,
    rare: Option<Box<Rare>>,
}

/// What few descriptors have.
#[derive(Default)]
struct Rare {
    fd_callback: Option<Rc<dyn Callback>>,
    /// The task that was woken last, while others wait and until it has tried.
    holder: Option<Ticket>,
    /// Whether the reactor has a [`Handed`] for this direction. It does if there is a holder.
    watched: bool,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, waker: Waker) -> Ticket {
        self.queue.push(waker)
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Waker> {
        self.queue.get_mut(ticket)
    }

    /// Takes the task of `ticket` out, if it still waits.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waker> {
        self.queue.remove(ticket)
    }

    /// Takes the wake-up back from `ticket`, if that holds it, and returns the next task if there `is_more`.
    pub(super) fn pass_on(&mut self, ticket: Ticket, is_more: bool) -> Option<Waker> {
        let rare = self.rare.as_mut()?;
        if rare.holder != Some(ticket) {
            return None;
        }
        rare.holder = None;
        if is_more { self.wake_next() } else { None }
    }

    /// Takes out the task that has waited longest, which becomes the holder if others still wait.
    fn wake_next(&mut self) -> Option<Waker> {
        let (ticket, waker) = self.queue.pop()?;
        if !self.queue.is_empty() {
            self.rare().holder = Some(ticket);
        }
        Some(waker)
    }

    fn holder(&self) -> Option<Ticket> {
        self.rare.as_ref()?.holder
    }

    /// Replaces the fd callback, and returns the former one.
    pub(super) fn watch(
        &mut self,
        fd_callback: Option<Rc<dyn Callback>>,
    ) -> Option<Rc<dyn Callback>> {
        if fd_callback.is_none() && self.rare.is_none() {
            return None;
        }
        mem::replace(&mut self.rare().fd_callback, fd_callback)
    }

    /// An event has come that one task can handle. Returns whether the reactor is to watch the holder from now on.
    #[must_use]
    pub(super) fn wake_one(&mut self, woken: &mut Woken) -> bool {
        // A holder has yet to try, and sees what this event announces.
        if self.holder().is_none() {
            woken.wakers.extend(self.wake_next());
        }
        match &mut self.rare {
            Some(rare) if rare.holder.is_some() => !mem::replace(&mut rare.watched, true),
            _ => false,
        }
    }

    /// An event has come that concerns every task.
    pub(super) fn wake_all(&mut self, woken: &mut Woken) {
        woken
            .wakers
            .extend(std::iter::from_fn(|| self.queue.pop()).map(|(_, waker)| waker));
        if let Some(rare) = &mut self.rare {
            rare.holder = None;
        }
    }

    /// Returns the fd callback, if there is one.
    pub(super) fn callback(&self) -> Option<Rc<dyn Callback>> {
        self.rare.as_ref()?.fd_callback.clone()
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// FdCallbacks the holders of one direction, one after the other, for a task that was woken and leaves its operation alone.
pub(super) struct Handed {
    source: Rc<Source>,
    direction: Direction,
    /// The holder at the last iteration.
    seen: Option<Ticket>,
}

impl Handed {
    pub(super) fn new(source: &Rc<Source>, direction: Direction) -> Handed {
        Handed {
            source: source.clone(),
            direction,
            seen: None,
        }
    }

    /// Whether a task holds a wake-up that may have to be passed on.
    pub(super) fn is_open(&self) -> bool {
        let side = self.source.side(self.direction);
        side.is_ready() && side.waiters().borrow().holder().is_some()
    }

    /// Called once an iteration. A holder had one whole iteration to try if it is still the same. Returns whether there is
    /// anything left to watch.
    pub(super) fn look(&mut self, woken: &mut Woken) -> bool {
        let side = self.source.side(self.direction);
        let mut waiters = side.waiters().borrow_mut();
        let mut holder = waiters.holder();
        if holder.is_some() && holder == self.seen {
            let next = holder.and_then(|ticket| waiters.pass_on(ticket, side.is_ready()));
            woken.wakers.extend(next);
            holder = None;
        }
        self.seen = holder;
        let is_over = waiters.holder().is_none();
        if let (true, Some(rare)) = (is_over, &mut waiters.rare) {
            rare.watched = false;
        }
        !is_over
    }
}

#[cfg(test)]
mod tests;
