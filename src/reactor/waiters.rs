//! The tasks that wait for one direction of a descriptor, and its fd callback.
//!
//! An event wakes the task that has waited longest. That task may not use up the event: there may
//! be another connection, or more bytes. So while others still wait, the woken task is the *holder*
//! of the wake-up. When its operation succeeds, it passes the wake-up on to the next task. If N
//! tasks wait for one connection, two of them try, not N.
//!
//! No wake-up is lost. While tasks wait and the direction is ready, there is a holder. The wake-up
//! passes to the next task in three situations:
//!
//! 1. The holder's operation succeeds.
//! 2. The holder's operation is dropped before it has tried.
//! 3. The holder does not poll its operation. [`HolderCheck`] finds that two iterations later.
//!
//! If the operation fails with EAGAIN, the direction is not ready. The next event then wakes the
//! next task.
//!
//! An error or a hang-up concerns every task, and wakes all of them.

use std::mem;
use std::rc::Rc;
use std::task::Waker;

use super::source::{Direction, Source};
use crate::run_queue::Callback;
use crate::wait_queue::{Ticket, WaitQueue};

/// The wakers and callbacks that the events of one poll concern.
///
/// The reactor collects them first, and runs them after it has released its borrows.
#[derive(Default)]
pub(super) struct Wakeups {
    pub(super) wakers: Vec<Waker>,
    pub(super) callbacks: Vec<Rc<dyn Callback>>,
    pub(super) holder_checks: Vec<HolderCheck>,
}

/// The tasks that wait.
///
/// It is small, because it is rarely in the processor's cache when an event comes.
#[derive(Default)]
pub(super) struct Waiters {
    queue: WaitQueue,
    extras: Option<Box<Extras>>,
}

/// State that few descriptors need, allocated on first use.
#[derive(Default)]
struct Extras {
    fd_callback: Option<Rc<dyn Callback>>,
    /// The task that was woken last, until it has tried, if others still wait.
    holder: Option<Ticket>,
    /// True if the reactor has a [`HolderCheck`] for this direction, as it has for each holder.
    is_checked: bool,
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

    /// Removes the task of `ticket` if it still waits.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waker> {
        self.queue.remove(ticket)
    }

    /// Ends the hold of `ticket`, and returns the next task to wake if there `is_more`.
    ///
    /// It does nothing if `ticket` is not the holder.
    pub(super) fn pass_on(&mut self, ticket: Ticket, is_more: bool) -> Option<Waker> {
        let extras = self.extras.as_mut()?;
        if extras.holder != Some(ticket) {
            return None;
        }
        extras.holder = None;
        if is_more { self.wake_next() } else { None }
    }

    /// Removes the task that has waited longest. It becomes the holder if others still wait.
    fn wake_next(&mut self) -> Option<Waker> {
        let (ticket, waker) = self.queue.pop()?;
        if !self.queue.is_empty() {
            self.extras().holder = Some(ticket);
        }
        Some(waker)
    }

    fn holder(&self) -> Option<Ticket> {
        self.extras.as_ref()?.holder
    }

    /// Replaces the fd callback, and returns the former one.
    pub(super) fn set_callback(
        &mut self,
        fd_callback: Option<Rc<dyn Callback>>,
    ) -> Option<Rc<dyn Callback>> {
        if fd_callback.is_none() && self.extras.is_none() {
            return None;
        }
        mem::replace(&mut self.extras().fd_callback, fd_callback)
    }

    /// Handles an event for one task, and returns whether the holder needs a [`HolderCheck`].
    #[must_use]
    pub(super) fn wake_one(&mut self, wakeups: &mut Wakeups) -> bool {
        // The holder has not tried yet, so it also finds what this event reports.
        if self.holder().is_none() {
            wakeups.wakers.extend(self.wake_next());
        }
        match &mut self.extras {
            Some(extras) if extras.holder.is_some() => !mem::replace(&mut extras.is_checked, true),
            _ => false,
        }
    }

    /// Handles an event that concerns every task.
    pub(super) fn wake_all(&mut self, wakeups: &mut Wakeups) {
        wakeups
            .wakers
            .extend(std::iter::from_fn(|| self.queue.pop()).map(|(_, waker)| waker));
        if let Some(extras) = &mut self.extras {
            extras.holder = None;
        }
    }

    /// Returns the fd callback, if there is one.
    pub(super) fn callback(&self) -> Option<Rc<dyn Callback>> {
        self.extras.as_ref()?.fd_callback.clone()
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

/// A check whether the holders of one direction poll their operations.
pub(super) struct HolderCheck {
    source: Rc<Source>,
    direction: Direction,
    /// The holder of the last iteration.
    last_holder: Option<Ticket>,
}

impl HolderCheck {
    pub(super) fn new(source: &Rc<Source>, direction: Direction) -> HolderCheck {
        HolderCheck {
            source: source.clone(),
            direction,
            last_holder: None,
        }
    }

    /// Returns whether a task holds a wake-up that may have to pass to the next task.
    pub(super) fn is_pending(&self) -> bool {
        let state = self.source.state(self.direction);
        state.is_ready() && state.waiters().borrow().holder().is_some()
    }

    /// Passes the wake-up on if the holder has not tried for one whole iteration.
    ///
    /// The reactor calls it once in each iteration. It returns whether there is still a holder.
    pub(super) fn check(&mut self, wakeups: &mut Wakeups) -> bool {
        let state = self.source.state(self.direction);
        let mut waiters = state.waiters().borrow_mut();
        let mut holder = waiters.holder();
        if holder.is_some() && holder == self.last_holder {
            let next = holder.and_then(|ticket| waiters.pass_on(ticket, state.is_ready()));
            wakeups.wakers.extend(next);
            holder = None;
        }
        self.last_holder = holder;
        let is_over = waiters.holder().is_none();
        if let (true, Some(extras)) = (is_over, &mut waiters.extras) {
            extras.is_checked = false;
        }
        !is_over
    }
}

#[cfg(test)]
mod tests;
