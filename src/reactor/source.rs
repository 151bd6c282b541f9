//! What is known of one descriptor, and who waits for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

use mio::event::Event;

use super::waiters::{Handed, Waiters, Woken};
use crate::error::{drop_bounded, wake};
use crate::nesting::Kind;
use crate::ready::Callback;
use crate::sys::interest;
use crate::wait_queue::Ticket;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// One direction of a descriptor.
pub(crate) struct Side {
    /// Whether an event has come since a call last failed with EAGAIN.
    ready: Cell<bool>,
    /// Whether an event has announced the end of this direction.
    ended: Cell<bool>,
    waiters: RefCell<Waiters>,
}

impl Side {
    fn new() -> Side {
        Side {
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

    /// Returns whether an operation that waits should try again. One that does not wait yet always tries.
    ///
    /// What a call has found is known only while a task waits: without one, this is true.
    fn may_be_ready(&self) -> bool {
        self.ready.get() || self.waiters.borrow().is_empty()
    }

    /// A call has just failed with EAGAIN: the next edge is still to come.
    pub(crate) fn exhausted(&self) {
        self.ready.set(false);
    }

    /// Returns whether an event has announced the end. The kernel must confirm it: an unconnected TCP socket hangs up too.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// The kernel has not confirmed the end.
    pub(crate) fn goes_on(&self) {
        self.ended.set(false);
    }

    /// Sets the callback that is called for each event of this direction.
    pub(crate) fn watch(&self, fd_callback: Option<Rc<dyn Callback>>) {
        let before = self.waiters.borrow_mut().watch(fd_callback);
        drop(before);
    }

    /// Queues the fd callback of this direction.
    fn call(&self, woken: &mut Woken) {
        woken.callbacks.extend(self.waiters.borrow().callback());
    }

    #[must_use]
    fn wake_one(&self, woken: &mut Woken) -> bool {
        self.ready.set(true);
        self.waiters.borrow_mut().wake_one(woken)
    }

    fn wake_all(&self, ended: bool, woken: &mut Woken) {
        self.ready.set(true);
        self.ended.set(self.ended.get() || ended);
        self.waiters.borrow_mut().wake_all(woken);
    }
}

/// What is known of one registered descriptor.
pub(crate) struct Source {
    read: Side,
    write: Side,
    /// Whether the descriptor was closed and its number is another's by now.
    gone: Cell<bool>,
}

impl Source {
    pub(super) fn new() -> Source {
        Source {
            read: Side::new(),
            write: Side::new(),
            gone: Cell::new(false),
        }
    }

    /// Fails if the descriptor was closed and its number is another's by now.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.gone.get() {
            true => Err(io::Error::from_raw_os_error(libc::EBADF)),
            false => Ok(()),
        }
    }

    /// Returns whether an operation that waits should try again.
    pub(crate) fn may_be_ready(&self, direction: Direction) -> bool {
        !self.gone.get() && self.side(direction).may_be_ready()
    }

    /// The number is another descriptor's: every task that waits is woken, and fails.
    pub(super) fn abandon(&self, woken: &mut Woken) {
        self.gone.set(true);
        self.wake_all(woken);
    }

    pub(crate) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// Wakes the tasks that can go on after `event`: the first, or all of them after an error or the end.
    pub(super) fn dispatch(self: &Rc<Source>, event: &Event, woken: &mut Woken) {
        // A peer's half-close is for readers alone: it does not end a transfer the other way (oven-sh/bun#38107).
        let (read, write) = (event.is_read_closed(), event.is_write_closed());
        let failed = event.is_error();
        self.became(Direction::Read, event.is_readable(), [read, failed], woken);
        self.became(
            Direction::Write,
            event.is_writable(),
            [write, failed],
            woken,
        );
        if interest::calls_reader(event) {
            self.read.call(woken);
        }
        if interest::calls_writer(event) {
            self.write.call(woken);
        }
    }

    fn became(
        self: &Rc<Source>,
        direction: Direction,
        ready: bool,
        [closed, failed]: [bool; 2],
        woken: &mut Woken,
    ) {
        if !ready && !closed && !failed {
            return;
        }
        let side = self.side(direction);
        if closed || failed {
            side.wake_all(closed, woken);
        } else if side.wake_one(woken) {
            woken.handed.push(Handed::new(self, direction));
        }
    }

    pub(super) fn wake_all(&self, woken: &mut Woken) {
        self.read.wake_all(false, woken);
        self.write.wake_all(false, woken);
    }
}

/// One task's wait for one direction. Dropping it undoes the wait.
#[derive(Default)]
pub(crate) struct Waiting {
    place: Option<(Rc<Source>, Direction, Ticket)>,
}

impl Waiting {
    /// Returns whether the task has begun to wait. It may have been woken since.
    pub(crate) fn is_begun(&self) -> bool {
        self.place.is_some()
    }

    /// Wakes the task of `cx` at an edge that is still to come.
    pub(crate) fn park(&mut self, source: Rc<Source>, direction: Direction, cx: &Context<'_>) {
        // Cloning and dropping a waker may run foreign code: nothing is borrowed then.
        let mut waker = cx.waker().clone();
        if self.renew(&source, direction, &mut waker) {
            return;
        }
        self.end();
        let ticket = source.side(direction).waiters.borrow_mut().push(waker);
        self.place = Some((source, direction, ticket));
    }

    /// Replaces the waker if the task waits there already; the old waker is left in `waker`. Returns whether it does.
    fn renew(&self, source: &Rc<Source>, direction: Direction, waker: &mut Waker) -> bool {
        let Some((parked, side, ticket)) = &self.place else {
            return false;
        };
        if !Rc::ptr_eq(parked, source) || *side != direction {
            return false;
        }
        let mut waiters = parked.side(direction).waiters.borrow_mut();
        match waiters.get_mut(*ticket) {
            Some(before) => mem::swap(before, waker),
            None => return false,
        }
        true
    }

    /// Stops waiting. A wake-up that this task has not used up goes to the next one.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.place.is_some() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        let Some((source, direction, ticket)) = self.place.take() else {
            return;
        };
        let side = source.side(direction);
        let mut waiters = side.waiters.borrow_mut();
        let gone = waiters.remove(ticket);
        let next = waiters.pass_on(ticket, side.is_ready());
        drop(waiters);
        drop_bounded(Kind::Drop, "while a waker was dropped", gone);
        if let Some(next) = next {
            wake(next);
        }
    }
}

impl Drop for Waiting {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = self.place.as_ref().map(|(_, direction, _)| direction);
        f.debug_tuple("Waiting").field(&direction).finish()
    }
}
