//! What the transfer's machine and its driver say to each other.

use std::io;
use std::ops::Range;

/// What the driver is to do.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Send this part of the header, then [`Machine::answered`](super::machine::Machine::answered); and say to the kernel whether the file's bytes will follow.
    Header { part: Range<usize>, more: bool },
    /// Ask for the size and the kind of the file, then [`Machine::learned`](super::machine::Machine::learned); where they need not
    /// be certain, nobody far away is asked.
    Learn { certain: bool },
    /// Look for these bytes in the page cache, then [`Machine::looked`](super::machine::Machine::looked).
    Look { offset: u64, len: usize },
    /// Have these offsets read in, then [`Machine::read_in`](super::machine::Machine::read_in).
    ReadIn(Range<u64>),
    /// Call sendfile, then [`Machine::answered`](super::machine::Machine::answered).
    Send { offset: u64, len: usize },
    /// Wait until the socket is writable, then [`Machine::begin_turn`](super::machine::Machine::begin_turn).
    Wait,
    /// Let others run, then [`Machine::begin_turn`](super::machine::Machine::begin_turn).
    Yield,
    /// Read into the block, then [`Machine::filled`](super::machine::Machine::filled).
    Read { offset: u64, len: usize },
    /// Send this part of the block, then [`Machine::answered`](super::machine::Machine::answered).
    Drain(Range<usize>),
    /// It has ended; [`Machine::result`](super::machine::Machine::result) says how.
    End,
}

/// What a system call said.
#[derive(Debug)]
pub(super) enum Answer {
    Sent(usize),
    /// Nothing, without an error.
    Nothing,
    WouldBlock,
    Interrupted,
    /// Not with this file and this socket.
    NotAvailable(i32),
    /// The offset is beyond what the file's system can hold.
    BeyondAllFiles,
    Failed(io::Error),
}

/// What the file says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) size: u64,
    /// Whether its bytes are in the page cache, so that sendfile can be asked.
    pub(super) cached: bool,
}

/// What the caller wants beside the file's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    pub(super) fallback: bool,
    pub(super) prefetch: bool,
    /// The length of the header.
    pub(super) header: usize,
}
