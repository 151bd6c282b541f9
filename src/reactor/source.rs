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

use std::cell::{Cell, RefCell, RefMut};
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

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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

/// The state of one direction of a descriptor.
///
/// It is small, because it is rarely in the processor's cache when an event comes.
#[derive(Default)]
pub(crate) struct DirectionState {
    /// True if an event has come since a call last failed with EAGAIN.
    ready: bool,
    /// The tasks that wait.
    queue: WaitQueue,
    /// The task that was woken last, until it has tried, if others still wait.
    ///
    /// The reactor has a [`HolderCheck`] for each holder.
    holder: Option<Ticket>,
    /// The fd callback. Few descriptors have one, so the box saves memory.
    fd_callback: Option<Box<Rc<dyn Callback>>>,
}

impl DirectionState {
    /// Clears the flag after a call failed with EAGAIN, as the next edge is still to come.
    pub(crate) fn clear_ready(&mut self) {
        self.ready = false;
    }

    /// Replaces the fd callback, and returns the former one.
    pub(crate) fn set_callback(
        &mut self,
        fd_callback: Option<Rc<dyn Callback>>,
    ) -> Option<Rc<dyn Callback>> {
        mem::replace(&mut self.fd_callback, fd_callback.map(Box::new)).map(|former| *former)
    }

    /// Ends the hold of `ticket`, and returns the next task to wake if there may be more.
    ///
    /// It does nothing if `ticket` is not the holder.
    fn pass_on(&mut self, ticket: Ticket) -> Option<Waker> {
        self.holder.take_if(|holder| *holder == ticket)?;
        if self.ready { self.wake_next() } else { None }
    }

    /// Removes the task that has waited longest. It becomes the holder if others still wait.
    fn wake_next(&mut self) -> Option<Waker> {
        let (ticket, waker) = self.queue.pop()?;
        self.holder = (!self.queue.is_empty()).then_some(ticket);
        Some(waker)
    }

    /// Handles an event for one task, and returns whether that task is a new holder.
    #[must_use]
    fn wake_one(&mut self, wakeups: &mut Wakeups) -> bool {
        self.ready = true;
        // The holder has not tried yet, so it also finds what this event reports.
        if self.holder.is_some() {
            return false;
        }
        wakeups.wakers.extend(self.wake_next());
        self.holder.is_some()
    }

    /// Handles an event that concerns every task.
    fn wake_all(&mut self, wakeups: &mut Wakeups) {
        self.ready = true;
        wakeups.wakers.extend(iter::from_fn(|| self.queue.pop()).map(|(_, waker)| waker));
        self.holder = None;
    }
}

/// The state of one registered descriptor.
#[derive(Default)]
pub(crate) struct Source {
    directions: [RefCell<DirectionState>; 2],
    /// The number of attachments.
    pub(super) users: Cell<u32>,
    /// True if the descriptor was closed, and its number is another descriptor's.
    pub(super) is_stale: Cell<bool>,
    /// True if an event has reported the end of reading.
    read_ended: Cell<bool>,
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
    ///
    /// The flag is up to date only while a task waits. If no task waits, this returns true.
    pub(crate) fn may_be_ready(&self, direction: Direction) -> bool {
        let state = self.state(direction);
        !self.is_stale.get() && (state.ready || state.queue.is_empty())
    }

    /// Returns whether an event has reported the end of reading and `confirm` confirms it.
    ///
    /// The kernel must confirm it, because an unconnected TCP socket reports a hang-up too.
    pub(crate) fn has_read_ended(&self, confirm: impl FnOnce() -> bool) -> bool {
        self.read_ended.set(self.read_ended.get() && confirm());
        self.read_ended.get()
    }

    /// Borrows the state of a direction. No foreign code may run meanwhile.
    pub(crate) fn state(&self, direction: Direction) -> RefMut<'_, DirectionState> {
        self.directions[direction as usize].borrow_mut()
    }

    /// Removes a task that waited, and passes its wake-up on.
    fn leave(&self, direction: Direction, ticket: Ticket) {
        let mut state = self.state(direction);
        let removed = state.queue.remove(ticket);
        let next = state.pass_on(ticket);
        drop(state);
        drop_bounded(Kind::Drop, "while a waker was dropped", removed);
        next.into_iter().for_each(wake);
    }

    pub(crate) fn has_callback(&self) -> bool {
        self.directions.iter().any(|state| state.borrow().fd_callback.is_some())
    }

    /// Wakes the first task that waits for `event`, or all of them after an error or the end.
    pub(super) fn dispatch(self: &Rc<Source>, event: &Event, wakeups: &mut Wakeups) {
        self.read_ended.set(self.read_ended.get() || event.is_read_closed());
        // A peer's half-close concerns readers alone. It does not end a transfer in the other
        // direction (oven-sh/bun#38107).
        for (direction, is_ready, is_closed) in [
            (Direction::Read, event.is_readable(), event.is_read_closed()),
            (Direction::Write, event.is_writable(), event.is_write_closed()),
        ] {
            let mut state = self.state(direction);
            let concerns_all = is_closed || event.is_error();
            if concerns_all {
                state.wake_all(wakeups);
            } else if is_ready && state.wake_one(wakeups) {
                let source = self.clone();
                wakeups.holder_checks.push(HolderCheck { source, direction, last_holder: None });
            }
            if is_ready || concerns_all && interest::CALLBACKS_SEE_ERRORS {
                wakeups.callbacks.extend(state.fd_callback.as_deref().cloned());
            }
        }
    }

    pub(super) fn wake_all(&self, wakeups: &mut Wakeups) {
        for direction in [Direction::Read, Direction::Write] {
            self.state(direction).wake_all(wakeups);
        }
    }
}

/// A check whether the holders of one direction poll their operations.
///
/// The list of checks has one for each direction that has a holder. Without a holder, the next
/// poll removes the check before it gets events.
pub(super) struct HolderCheck {
    source: Rc<Source>,
    direction: Direction,
    /// The holder of the last iteration.
    last_holder: Option<Ticket>,
}

impl HolderCheck {
    /// Returns whether a task holds a wake-up that may have to pass to the next task.
    pub(super) fn is_pending(&self) -> bool {
        let state = self.source.state(self.direction);
        state.ready && state.holder.is_some()
    }

    /// Passes the wake-up on if the holder has not tried for one whole iteration.
    ///
    /// The reactor calls it once in each iteration. It returns whether there is still a holder.
    pub(super) fn check(&mut self, wakeups: &mut Wakeups) -> bool {
        let mut state = self.source.state(self.direction);
        let last_holder = self.last_holder.take();
        match state.holder {
            Some(holder) if last_holder == Some(holder) => {
                wakeups.wakers.extend(state.pass_on(holder));
            }
            holder => self.last_holder = holder,
        }
        state.holder.is_some()
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

    /// Registers the task of `cx`, so that the next edge wakes it. Call it after an EAGAIN.
    ///
    /// A task that already waits there keeps its place.
    pub(crate) fn park(&mut self, source: Rc<Source>, direction: Direction, cx: &Context<'_>) {
        // The registration may be older than the EAGAIN, and still marked as ready.
        source.state(direction).clear_ready();
        // Cloning and dropping a waker may run foreign code, so nothing is borrowed here.
        let waker = cx.waker().clone();
        let ticket = match &self.parked {
            Some((parked, at, ticket)) if Rc::ptr_eq(parked, &source) && *at == direction => {
                Some(*ticket)
            }
            _ => None,
        };
        let replaced = source.state(direction).queue.replace(ticket, waker);
        if let Err(waker) = replaced {
            self.end();
            let ticket = source.state(direction).queue.push(waker);
            self.parked = Some((source, direction, ticket));
        }
    }

    /// Ends the wait. If this task holds a wake-up, it passes to the next task.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some((source, direction, ticket)) = self.parked.take() {
            source.leave(direction, ticket);
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
