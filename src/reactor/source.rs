//! What is known of one descriptor, and who waits for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

use mio::Interest;
use mio::event::Event;

use super::waiters::{Waiters, Woken};
use crate::error::drop_bounded;
use crate::nesting::Kind;
use crate::ready::Callback;
use crate::sys::interest;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// One direction of a descriptor.
pub(crate) struct Side {
    ready: Cell<bool>,
    /// The end of this direction was seen: it will stay ready, whatever a short read says.
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

    /// Whether a call is worth trying: an event came, or nothing is known yet.
    pub(crate) fn may_be_ready(&self) -> bool {
        self.ready.get()
    }

    /// A call has just said EAGAIN: the next edge is still to come.
    pub(crate) fn exhausted(&self) {
        self.ready.set(false);
    }

    /// A call has just taken all that was there without saying EAGAIN: the next edge is still to come, unless the end has been
    /// announced, which comes with no further edge.
    pub(crate) fn drained(&self) {
        if !self.ended.get() {
            self.ready.set(false);
        }
    }

    /// Has `watcher` called for each event of this direction, instead of the one that was.
    pub(crate) fn watch(&self, watcher: Option<Rc<dyn Callback>>) {
        let before = self.waiters.borrow_mut().watch(watcher);
        drop(before);
    }

    /// Queues the fd callback of this direction.
    fn call(&self, woken: &mut Woken) {
        woken.callbacks.extend(self.waiters.borrow().callback());
    }

    fn became_ready(&self, ended: bool, woken: &mut Woken) {
        self.ready.set(true);
        self.ended.set(self.ended.get() || ended);
        self.waiters.borrow_mut().move_to(woken);
    }
}

/// What is known of one registered descriptor.
pub(crate) struct Source {
    read: Side,
    write: Side,
    /// Whether the poller reports urgent data: until a callback is added.
    urgent: Cell<bool>,
}

impl Source {
    pub(super) fn new() -> Source {
        Source {
            read: Side::new(),
            write: Side::new(),
            urgent: Cell::new(true),
        }
    }

    /// What the poller reports of this descriptor.
    pub(super) fn interest(&self) -> Interest {
        match self.urgent.get() {
            true => interest::ALL,
            false => interest::WITHOUT_URGENT,
        }
    }

    /// Asks for no urgent data from the next registration on, for good: it must not call a callback.
    pub(super) fn ignore_urgent(&self) {
        self.urgent.set(false);
    }

    /// A TCP read came back short. It took everything, unless it stopped at urgent data, which only
    /// the poller tells.
    pub(crate) fn read_short(&self) {
        if self.urgent.get() {
            self.read.drained();
        }
    }

    pub(crate) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    pub(super) fn dispatch(&self, event: &Event, woken: &mut Woken) {
        // A peer's half-close is for readers alone: it does not end a transfer the other way (oven-sh/bun#38107).
        // Urgent data too: reads stop there, also in front of what is there already.
        let read_ended = event.is_read_closed() || event.is_error() || event.is_priority();
        if event.is_readable() || read_ended {
            self.read.became_ready(read_ended, woken);
        }
        let write_ended = event.is_write_closed() || event.is_error();
        if event.is_writable() || write_ended {
            self.write.became_ready(write_ended, woken);
        }
        if interest::calls_reader(event) {
            self.read.call(woken);
        }
        if interest::calls_writer(event) {
            self.write.call(woken);
        }
    }

    pub(super) fn wake_all(&self, woken: &mut Woken) {
        self.read.became_ready(true, woken);
        self.write.became_ready(true, woken);
    }
}

/// One task's waiting for one direction; its end undoes it.
#[derive(Default)]
pub(crate) struct Waiting {
    place: Option<(Rc<Source>, Direction, u64)>,
}

impl Waiting {
    /// Has the task of `cx` woken at the next edge.
    pub(crate) fn park(&mut self, source: Rc<Source>, direction: Direction, cx: &Context<'_>) {
        // Cloning and dropping a waker may run foreign code: nothing is borrowed then.
        let mut waker = cx.waker().clone();
        if self.renew(&source, direction, &mut waker) {
            return;
        }
        self.end();
        let number = source.side(direction).waiters.borrow_mut().insert(waker);
        self.place = Some((source, direction, number));
    }

    /// Whether the task waits there already: then only its waker is brought up to date, and the old one is left in `waker`.
    fn renew(&self, source: &Rc<Source>, direction: Direction, waker: &mut Waker) -> bool {
        let Some((parked, side, number)) = &self.place else {
            return false;
        };
        if !Rc::ptr_eq(parked, source) || *side != direction {
            return false;
        }
        let mut waiters = parked.side(direction).waiters.borrow_mut();
        match waiters.find(*number) {
            Some(before) => mem::swap(before, waker),
            None => return false,
        }
        true
    }

    #[inline]
    pub(crate) fn end(&mut self) {
        if self.place.is_some() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if let Some((source, direction, number)) = self.place.take() {
            let waker = source.side(direction).waiters.borrow_mut().remove(number);
            drop_bounded(Kind::Drop, "while a waker was dropped", waker);
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
