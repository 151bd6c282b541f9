//! The model of one transfer: the offset in the file at which it must end.
//!
//! It knows the promises, and nothing of the implementation.

use std::ops::RangeInclusive;

use crate::model::case::Transfer;

/// The offsets at which a successful transfer may end.
///
/// There are two if the file changed so late that both are correct.
#[derive(Debug)]
pub(crate) struct Expectation {
    offset: u64,
    count: Option<u64>,
    /// The bytes that the fallback may have read without sending them.
    block: u64,
    size: u64,
    least: u64,
    most: u64,
    /// The offset at which the transfer may have found the file's end before it reported so.
    ended: Option<u64>,
}

/// A change of the file's size under a transfer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// The offset that the transfer had reached.
    pub(crate) at: u64,
    pub(crate) to: u64,
    /// True if the fallback may hold bytes in memory.
    pub(crate) reads: bool,
}

impl Expectation {
    /// Creates the expectation of a transfer that begins now.
    pub(crate) fn new(transfer: &Transfer, size: u64) -> Expectation {
        let mut expectation = Expectation {
            offset: transfer.offset,
            count: transfer.count,
            // The block that is sent and the one that is read ahead.
            block: 2 * transfer.chunk.unwrap_or(256 << 10).min(1 << 20),
            size,
            least: 0,
            most: 0,
            ended: None,
        };
        expectation.least = expectation.end(size);
        expectation.most = expectation.least;
        expectation
    }

    /// Returns the offsets at which a successful transfer must end.
    pub(crate) fn ends(&self) -> RangeInclusive<u64> {
        self.least..=self.most
    }

    /// Returns whether the transfer never had a byte of the file to send.
    pub(crate) fn is_nothing(&self) -> bool {
        self.most == self.offset
    }

    pub(crate) fn changed(&mut self, change: Change) {
        let Change { at, to, reads } = change;
        let end = self.end(to).max(at);
        if to < self.size {
            let in_memory = if reads { self.block } else { 0 };
            let read = self.most.min(at + in_memory);
            (self.least, self.most) = (end, end.max(read));
        } else if at >= self.size || self.ended == Some(at) {
            self.ended = Some(at);
            (self.least, self.most) = (at, self.most.max(end));
        } else {
            (self.least, self.most) = (end, self.most.max(end));
        }
        self.size = to;
    }

    /// Returns the end of the transfer in a file of this size.
    fn end(&self, size: u64) -> u64 {
        let count = self.count.unwrap_or(u64::MAX);
        size.min(self.offset.saturating_add(count)).max(self.offset)
    }
}
