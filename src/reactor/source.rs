//! The state of one registered descriptor, and the tasks that wait for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

use mio::event::Event;

use super::waiters::{HolderCheck, Waiters, Wakeups};
use crate::error::{drop_bounded, wake};
use crate::nesting::Kind;
use crate::run_queue::Callback;
use crate::sys::interest;
use crate::wait_queue::Ticket;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// The state of one direction of a descriptor.
pub(crate) struct DirectionState {
    /// True if an event has come since a call last failed with EAGAIN.
    ready: Cell<bool>,
    /// True if an event has reported the end of this direction.
    ended: Cell<bool>,
    waiters: RefCell<Waiters>,
}

impl DirectionState {
    fn new() -> DirectionState {
        DirectionState {
            ready: Cell::new(true),
            ended: Cell::new(false),
            waiters: RefCell::default(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.get()
    }

    pub(super) fn waiters(&self) -> &RefCell<Waiters> {
        &self.waiters
    }

    /// Returns whether an operation that waits should try again.
    ///
    /// The flag is up to date only while a task waits. If no task waits, this returns true.
    fn may_be_ready(&self) -> bool {
        self.ready.get() || self.waiters.borrow().is_empty()
    }

    /// Clears the flag after a call failed with EAGAIN, as the next edge is still to come.
    pub(crate) fn clear_ready(&self) {
        self.ready.set(false);
    }

    /// Returns whether an event has reported the end.
    ///
    /// The kernel must confirm it, because an unconnected TCP socket reports a hang-up too.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Clears the report of the end, which the kernel has not confirmed.
    pub(crate) fn clear_ended(&self) {
        self.ended.set(false);
    }

    /// Sets the fd callback of this direction.
    pub(crate) fn set_callback(&self, fd_callback: Option<Rc<dyn Callback>>) {
        let before = self.waiters.borrow_mut().set_callback(fd_callback);
        drop(before);
    }

    /// Adds the fd callback of this direction to `wakeups`.
    fn collect_callback(&self, wakeups: &mut Wakeups) {
        wakeups.callbacks.extend(self.waiters.borrow().callback());
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
pub(crate) struct Source {
    read: DirectionState,
    write: DirectionState,
    /// True if the descriptor was closed, and its number is another descriptor's.
    is_stale: Cell<bool>,
}

impl Source {
    pub(super) fn new() -> Source {
        Source {
            read: DirectionState::new(),
            write: DirectionState::new(),
            is_stale: Cell::new(false),
        }
    }

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

    pub(crate) fn state(&self, direction: Direction) -> &DirectionState {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// Wakes the first task that waits for `event`, or all of them after an error or the end.
    pub(super) fn dispatch(self: &Rc<Source>, event: &Event, wakeups: &mut Wakeups) {
        // A peer's half-close concerns readers alone. It does not end a transfer in the other
        // direction (oven-sh/bun#38107).
        let (read, write) = (event.is_read_closed(), event.is_write_closed());
        let failed = event.is_error();
        self.dispatch_direction(
            Direction::Read,
            event.is_readable(),
            [read, failed],
            wakeups,
        );
        self.dispatch_direction(
            Direction::Write,
            event.is_writable(),
            [write, failed],
            wakeups,
        );
        if interest::calls_reader(event) {
            self.read.collect_callback(wakeups);
        }
        if interest::calls_writer(event) {
            self.write.collect_callback(wakeups);
        }
    }

    fn dispatch_direction(
        self: &Rc<Source>,
        direction: Direction,
        ready: bool,
        [closed, failed]: [bool; 2],
        wakeups: &mut Wakeups,
    ) {
        if !ready && !closed && !failed {
            return;
        }
        let state = self.state(direction);
        if closed || failed {
            state.wake_all(closed, wakeups);
        } else if state.wake_one(wakeups) {
            wakeups
                .holder_checks
                .push(HolderCheck::new(self, direction));
        }
    }

    pub(super) fn wake_all(&self, wakeups: &mut Wakeups) {
        self.read.wake_all(false, wakeups);
        self.write.wake_all(false, wakeups);
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
        let ticket = source.state(direction).waiters.borrow_mut().push(waker);
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
        match waiters.get_mut(*ticket) {
            Some(before) => mem::swap(before, waker),
            None => return false,
        }
        true
    }

    /// Ends the wait. If this task holds a wake-up, it passes to the next task.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.parked.is_some() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        let Some((source, direction, ticket)) = self.parked.take() else {
            return;
        };
        let state = source.state(direction);
        let mut waiters = state.waiters.borrow_mut();
        let removed = waiters.remove(ticket);
        let next = waiters.pass_on(ticket, state.is_ready());
        drop(waiters);
        drop_bounded(Kind::Drop, "while a waker was dropped", removed);
        if let Some(next) = next {
            wake(next);
        }
    }
}

impl Drop for WaitGuard {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for WaitGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = self.parked.as_ref().map(|(_, direction, _)| direction);
        f.debug_tuple("WaitGuard").field(&direction).finish()
    }
}
