//! The model of one transfer: where in the file it must end, whatever happens meanwhile. It knows the promises, and nothing of
//! how they are kept.

use std::ops::RangeInclusive;

use crate::model::case::Transfer;

/// Where a transfer that ends well may end. Usually one offset; two where the file changed so late that both are right.
#[derive(Debug)]
pub(crate) struct Expectation {
    offset: u64,
    count: Option<u64>,
    /// What may have been read and not sent, where the fallback reads.
    block: u64,
    size: u64,
    least: u64,
    most: u64,
    /// Where it may have found the file's end without having said so yet.
    ended: Option<u64>,
}

/// A change of the file's size under a transfer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// Where the transfer was.
    pub(crate) at: u64,
    pub(crate) to: u64,
    /// Whether the fallback may have bytes in memory.
    pub(crate) reads: bool,
}

impl Expectation {
    /// Of a transfer that begins now.
    pub(crate) fn new(transfer: &Transfer, size: u64) -> Expectation {
        let mut expectation = Expectation {
            offset: transfer.offset,
            count: transfer.count,
            // One that is sent, and one that is read ahead.
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

    /// Where it must have ended to say that all went well.
    pub(crate) fn ends(&self) -> RangeInclusive<u64> {
        self.least..=self.most
    }

    /// Whether nothing of the file was ever there to be sent.
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

    /// Where it ends in a file of this size.
    fn end(&self, size: u64) -> u64 {
        let count = self.count.unwrap_or(u64::MAX);
        size.min(self.offset.saturating_add(count)).max(self.offset)
    }
}
