//! The write lock of a socket.
//!
//! Writers hold it one after the other, in the order in which they began. So the bytes of each
//! writer stay together. Each writer has a [`Writer`]. Its drop releases the lock or leaves the
//! queue, in O(1).

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::error::wake;
use crate::wait_queue::{Ticket, WaitQueue};

/// The write lock of one socket, with its queue.
#[derive(Default)]
pub(crate) struct WriteLock {
    /// The ticket of the writer that holds the lock. If there is none, the queue is empty.
    holder: Cell<Option<Ticket>>,
    queue: RefCell<WaitQueue>,
    /// The waker of a [`poll_send`](crate::LoopHandle::poll_send) that waits outside the queue.
    poll_waker: Cell<Option<Waker>>,
}

impl WriteLock {
    /// Returns whether a writer holds the lock.
    pub(crate) fn is_taken(&self) -> bool {
        self.holder.get().is_some()
    }

    /// Is ready if the lock is free. Otherwise it wakes the task when the lock may be free.
    pub(crate) fn poll_free(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_taken() {
            return Poll::Ready(());
        }
        drop(self.poll_waker.replace(Some(cx.waker().clone())));
        Poll::Pending
    }

    /// Removes all writers in a forked child, as they belong to the parent.
    ///
    /// It keeps the queue, as a new one would issue the tickets of the parent's writers again.
    pub(crate) fn reset(&self) {
        self.holder.set(None);
        let next = || self.queue.borrow_mut().pop();
        while next().is_some() {}
        drop(self.poll_waker.take());
    }

    /// Releases the lock of `ticket` to the next writer, or removes it from the queue.
    fn leave(&self, ticket: Ticket) {
        if self.holder.get() != Some(ticket) {
            let waker = self.queue.borrow_mut().remove(ticket);
            return drop(waker);
        }
        let (holder, waker) = self.queue.borrow_mut().pop().unzip();
        self.holder.set(holder);
        if let Some(waker) = waker.or_else(|| self.poll_waker.take()) {
            wake(waker);
        }
    }
}

/// One writer's place in the queue, from its first poll on.
pub(crate) struct Writer<'a> {
    lock: &'a WriteLock,
    /// `None` until the first poll.
    ticket: Option<Ticket>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(lock: &'a WriteLock) -> Writer<'a> {
        Writer { lock, ticket: None }
    }

    /// Is ready if this writer holds the lock, which it keeps until it ends.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.try_hold() {
            return Poll::Ready(());
        }
        // Cloning and dropping a waker may run foreign code, which may end other writers. So
        // nothing is borrowed here.
        let waker = cx.waker().clone();
        if self.try_hold() {
            return Poll::Ready(());
        }
        let replaced = self.lock.queue.borrow_mut().replace(self.ticket, waker);
        if let Err(waker) = replaced {
            self.ticket = Some(self.lock.queue.borrow_mut().push(waker));
        }
        Poll::Pending
    }

    fn try_hold(&mut self) -> bool {
        let holder = self.lock.holder.get();
        if holder.is_some() {
            return self.ticket == holder;
        }
        self.ticket = Some(self.lock.queue.borrow_mut().issue());
        self.lock.holder.set(self.ticket);
        true
    }

    /// Releases the lock or leaves the queue before the writer is dropped.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.lock.leave(ticket);
        }
    }
}

impl Drop for Writer<'_> {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
