//! A first-in, first-out queue of wakers in which every operation is O(1), cancellation included.
//!
//! Nearly always at most one task waits, so the queue stores the first waker inline. Later wakers
//! are linked in an arena. The queue allocates it only if several tasks wait at once.

use std::mem;
use std::task::Waker;

use crate::slots::{Key, Slots};

/// An identifier of one waker in one [`WaitQueue`]. After that waker has left, it finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ticket {
    Inline(u32),
    Linked(Key),
}

/// A queue of wakers.
#[derive(Default)]
pub(crate) struct WaitQueue {
    /// The head of the queue. A waker is stored here only if the queue was empty before.
    inline: Option<Waker>,
    /// The number of tickets issued for `inline`, which may wrap.
    ///
    /// No user keeps a ticket while the queue issues the other 2^32 - 1.
    issued: u32,
    linked: Option<Box<Linked>>,
}

/// The wakers after the inline one, as a doubly linked list in an arena.
#[derive(Default)]
struct Linked {
    nodes: Slots<Node>,
    head: Option<Key>,
    tail: Option<Key>,
}

struct Node {
    before: Option<Key>,
    after: Option<Key>,
    waker: Waker,
}

impl WaitQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.inline.is_none() && self.linked.as_ref().is_none_or(|linked| linked.head.is_none())
    }

    /// Appends a waker.
    pub(crate) fn push(&mut self, waker: Waker) -> Ticket {
        if !self.is_empty() {
            return Ticket::Linked(self.linked.get_or_insert_default().push(waker));
        }
        let ticket = self.issue();
        self.inline = Some(waker);
        ticket
    }

    /// Issues a ticket without a waker, for a task that finds the queue empty and does not wait.
    pub(crate) fn issue(&mut self) -> Ticket {
        debug_assert!(self.inline.is_none(), "the inline waker's ticket is the last issued");
        self.issued = self.issued.wrapping_add(1);
        Ticket::Inline(self.issued)
    }

    /// Replaces the waker of `ticket` if it is still queued, and returns the former one.
    ///
    /// Otherwise it returns `waker`. The caller drops what it gets without a borrow of the queue,
    /// as the drop may run foreign code.
    pub(crate) fn replace(&mut self, ticket: Option<Ticket>, waker: Waker) -> Result<Waker, Waker> {
        match ticket.and_then(|ticket| self.get_mut(ticket)) {
            Some(queued) => Ok(mem::replace(queued, waker)),
            None => Err(waker),
        }
    }

    fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Waker> {
        match ticket {
            Ticket::Inline(id) => self.inline.as_mut().filter(|_| id == self.issued),
            Ticket::Linked(key) => Some(&mut self.linked.as_mut()?.nodes.get_mut(key)?.waker),
        }
    }

    /// Removes the waker of `ticket` from wherever it is in the queue.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Waker> {
        match ticket {
            Ticket::Inline(id) => self.inline.take_if(|_| id == self.issued),
            Ticket::Linked(key) => self.linked.as_mut()?.remove(key),
        }
    }

    /// Removes the waker that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<(Ticket, Waker)> {
        let ticket = match self.inline {
            Some(_) => Ticket::Inline(self.issued),
            None => Ticket::Linked(self.linked.as_ref()?.head?),
        };
        Some((ticket, self.remove(ticket)?))
    }
}

impl Linked {
    fn push(&mut self, waker: Waker) -> Key {
        let before = self.tail;
        let key = self.nodes.insert(Node { before, after: None, waker });
        self.join(before, Some(key));
        self.join(Some(key), None);
        key
    }

    fn remove(&mut self, key: Key) -> Option<Waker> {
        let node = self.nodes.remove(key)?;
        self.join(node.before, node.after);
        Some(node.waker)
    }

    /// Links two nodes. `None` is the end of the list.
    fn join(&mut self, before: Option<Key>, after: Option<Key>) {
        match before.and_then(|key| self.nodes.get_mut(key)) {
            Some(node) => node.after = after,
            None => self.head = after,
        }
        match after.and_then(|key| self.nodes.get_mut(key)) {
            Some(node) => node.before = before,
            None => self.tail = before,
        }
    }
}

#[cfg(test)]
mod tests;
