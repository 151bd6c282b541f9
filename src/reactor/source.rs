//! The state of one registered descriptor, the tasks that wait for it, and its fd callbacks.
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

use std::cell::{Cell, RefCell};
use std::io;
use std::iter;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

use mio::event::Event;

use crate::error::{drop_bounded, wake};
use crate::nesting::Kind;
use crate::run_queue::Callback;
use crate::sys::interest;
use crate::wait_queue::{Ticket, WaitQueue};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

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
struct Waiters {
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
    /// Ends the hold of `ticket`, and returns the next task to wake if there `is_more`.
    ///
    /// It does nothing if `ticket` is not the holder.
    fn pass_on(&mut self, ticket: Ticket, is_more: bool) -> Option<Waker> {
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
    fn set_callback(&mut self, fd_callback: Option<Rc<dyn Callback>>) -> Option<Rc<dyn Callback>> {
        if fd_callback.is_none() && self.extras.is_none() {
            return None;
        }
        mem::replace(&mut self.extras().fd_callback, fd_callback)
    }

    /// Handles an event for one task, and returns whether the holder needs a [`HolderCheck`].
    #[must_use]
    fn wake_one(&mut self, wakeups: &mut Wakeups) -> bool {
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
    fn wake_all(&mut self, wakeups: &mut Wakeups) {
        wakeups.wakers.extend(iter::from_fn(|| self.queue.pop()).map(|(_, waker)| waker));
        if let Some(extras) = &mut self.extras {
            extras.holder = None;
        }
    }

    /// Returns the fd callback, if there is one.
    fn callback(&self) -> Option<Rc<dyn Callback>> {
        self.extras.as_ref()?.fd_callback.clone()
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

/// The state of one direction of a descriptor.
#[derive(Default)]
pub(crate) struct DirectionState {
    /// True if an event has come since a call last failed with EAGAIN.
    ready: Cell<bool>,
    /// True if an event has reported the end of this direction.
    ended: Cell<bool>,
    waiters: RefCell<Waiters>,
}

impl DirectionState {
    /// Returns whether an operation that waits should try again.
    ///
    /// The flag is up to date only while a task waits. If no task waits, this returns true.
    fn may_be_ready(&self) -> bool {
        self.ready.get() || self.waiters.borrow().queue.is_empty()
    }

    /// Clears the flag after a call failed with EAGAIN, as the next edge is still to come.
    pub(crate) fn clear_ready(&self) {
        self.ready.set(false);
    }

    /// Returns whether an event has reported the end and `confirm` confirms it.
    ///
    /// The kernel must confirm it, because an unconnected TCP socket reports a hang-up too.
    pub(crate) fn has_ended(&self, confirm: impl FnOnce() -> bool) -> bool {
        self.ended.set(self.ended.get() && confirm());
        self.ended.get()
    }

    /// Replaces the fd callback of this direction, and returns the former one.
    pub(crate) fn set_callback(
        &self,
        fd_callback: Option<Rc<dyn Callback>>,
    ) -> Option<Rc<dyn Callback>> {
        self.waiters.borrow_mut().set_callback(fd_callback)
    }

    /// Removes a task that waited, and passes its wake-up on.
    fn leave(&self, ticket: Ticket) {
        let mut waiters = self.waiters.borrow_mut();
        let removed = waiters.queue.remove(ticket);
        let next = waiters.pass_on(ticket, self.ready.get());
        drop(waiters);
        drop_bounded(Kind::Drop, "while a waker was dropped", removed);
        next.into_iter().for_each(wake);
    }

    #[must_use]
    fn wake_one(&self, wakeups: &mut Wakeups) -> bool {
        self.ready.set(true);
        self.waiters.borrow_mut().wake_one(wakeups)
    }

    fn wake_all(&self, ended: bool, wakeups: &mut Wakeups) {
        self.ready.set(true);
        self.ended.set(self.ended.get() || ended);
        self.waiters.borrow_mut().wake_all(wakeups);
    }
}

/// The state of one registered descriptor.
#[derive(Default)]
pub(crate) struct Source {
    directions: [DirectionState; 2],
    /// The number of attachments.
    pub(super) users: Cell<usize>,
    /// True if the descriptor was closed, and its number is another descriptor's.
    is_stale: Cell<bool>,
}

impl Source {
    /// Fails with EBADF if the descriptor was closed, and its number is another descriptor's.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.is_stale.get() {
            true => Err(io::Error::from_raw_os_error(libc::EBADF)),
            false => Ok(()),
        }
    }

    /// Returns whether an operation that waits should try again.
    pub(crate) fn may_be_ready(&self, direction: Direction) -> bool {
        !self.is_stale.get() && self.state(direction).may_be_ready()
    }

    /// Marks the source as stale and wakes every task that waits, which then fails.
    pub(super) fn abandon(&self, wakeups: &mut Wakeups) {
        self.is_stale.set(true);
        self.wake_all(wakeups);
    }

    pub(crate) fn has_callback(&self) -> bool {
        self.directions.iter().any(|state| state.waiters.borrow().callback().is_some())
    }

    pub(crate) fn state(&self, direction: Direction) -> &DirectionState {
        &self.directions[direction as usize]
    }

    /// Wakes the first task that waits for `event`, or all of them after an error or the end.
    pub(super) fn dispatch(self: &Rc<Source>, event: &Event, wakeups: &mut Wakeups) {
        for direction in [Direction::Read, Direction::Write] {
            // A peer's half-close concerns readers alone. It does not end a transfer in the other
            // direction (oven-sh/bun#38107).
            let (is_ready, is_closed, calls_back) = match direction {
                Direction::Read => {
                    (event.is_readable(), event.is_read_closed(), interest::calls_reader(event))
                }
                Direction::Write => {
                    (event.is_writable(), event.is_write_closed(), interest::calls_writer(event))
                }
            };
            let state = self.state(direction);
            if is_closed || event.is_error() {
                state.wake_all(is_closed, wakeups);
            } else if is_ready && state.wake_one(wakeups) {
                let check = HolderCheck::new(self, direction);
                wakeups.holder_checks.push(check);
            }
            if calls_back {
                wakeups.callbacks.extend(state.waiters.borrow().callback());
            }
        }
    }

    pub(super) fn wake_all(&self, wakeups: &mut Wakeups) {
        for state in &self.directions {
            state.wake_all(false, wakeups);
        }
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
        HolderCheck { source: source.clone(), direction, last_holder: None }
    }

    /// Returns whether a task holds a wake-up that may have to pass to the next task.
    pub(super) fn is_pending(&self) -> bool {
        let state = self.source.state(self.direction);
        state.ready.get() && state.waiters.borrow().holder().is_some()
    }

    /// Passes the wake-up on if the holder has not tried for one whole iteration.
    ///
    /// The reactor calls it once in each iteration. It returns whether there is still a holder.
    pub(super) fn check(&mut self, wakeups: &mut Wakeups) -> bool {
        let state = self.source.state(self.direction);
        let mut waiters = state.waiters.borrow_mut();
        let mut holder = waiters.holder();
        if holder.is_some() && holder == self.last_holder {
            let next = holder.and_then(|ticket| waiters.pass_on(ticket, state.ready.get()));
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

/// One task's wait for one direction. The drop ends the wait.
#[derive(Default)]
pub(crate) struct WaitGuard {
    parked: Option<(Rc<Source>, Direction, Ticket)>,
}

impl WaitGuard {
    /// Returns whether the task has parked. An event may have woken it since.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Registers the task of `cx`, so that the next edge wakes it.
    pub(crate) fn park(&mut self, source: Rc<Source>, direction: Direction, cx: &Context<'_>) {
        // Cloning and dropping a waker may run foreign code, so nothing is borrowed here.
        let mut waker = cx.waker().clone();
        if self.swap_waker(&source, direction, &mut waker) {
            return;
        }
        self.end();
        let ticket = source.state(direction).waiters.borrow_mut().queue.push(waker);
        self.parked = Some((source, direction, ticket));
    }

    /// Swaps `waker` with the waker of a task that already waits there.
    ///
    /// It returns false if the task does not wait there.
    fn swap_waker(&self, source: &Rc<Source>, direction: Direction, waker: &mut Waker) -> bool {
        let Some((parked, parked_direction, ticket)) = &self.parked else {
            return false;
        };
        if !Rc::ptr_eq(parked, source) || *parked_direction != direction {
            return false;
        }
        let mut waiters = parked.state(direction).waiters.borrow_mut();
        match waiters.queue.get_mut(*ticket) {
            Some(before) => mem::swap(before, waker),
            None => return false,
        }
        true
    }

    /// Ends the wait. If this task holds a wake-up, it passes to the next task.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some((source, direction, ticket)) = self.parked.take() {
            source.state(direction).leave(ticket);
        }
    }
}

impl Drop for WaitGuard {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
