//! One random case: a file, a connection, some writers, and the changes during the transfer.

/// The length of the longest file.
pub(crate) const LONGEST: u64 = 8 << 20;

/// The most bytes of a header, or of another writer.
pub(crate) const MAX_BYTES: usize = 300_000;

pub(crate) const MAX_WRITERS: usize = 3;

/// The most bytes that the peer reads at once.
pub(crate) const MAX_PIECE: usize = 1 << 20;

/// The length of a cold file: longer than a prefetch and the kernel's readahead.
pub(crate) const COLD: u64 = (3 << 19) + 1;

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) medium: Medium,
    pub(crate) size: u64,
    /// The file's position before the transfer.
    pub(crate) position: u64,
    pub(crate) wire: Wire,
    pub(crate) reader: Reader,
    /// The writers in the order in which they begin, at most one in a round.
    pub(crate) writers: Vec<Writer>,
    pub(crate) disturbances: Vec<Disturbance>,
}

/// The file system of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A file system in memory, which needs one probe.
    Memory,
    /// A file on a disk, in the page cache.
    Disk,
    /// A file on a disk, not in the page cache. It always has [`COLD`] bytes and never changes.
    Cold,
    /// A file on an overlay, in the page cache. Without root it is a file on a disk.
    Overlay,
    /// A file in a squashfs image, of the size of a cold one. Without root it is a cold one.
    Squashfs,
    /// The same file, not in the page cache.
    ColdSquashfs,
}

impl Medium {
    /// Returns whether the file always has [`COLD`] bytes and never changes.
    pub(crate) fn is_fixed(self) -> bool {
        !matches!(self, Medium::Memory | Medium::Disk | Medium::Overlay)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP with TCP_NODELAY. Without it an unlucky case takes 40 ms for each step.
    Tcp,
    /// TCP with its default options.
    Nagle,
    Unix,
}

/// The connection. A buffer has the kernel's size unless the case names one.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) kind: Kind,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
}

/// The peer reads at most `piece` bytes in a round, and then pauses for some rounds.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) piece: usize,
    pub(crate) rest: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Writer {
    /// The first round in which the writer may begin.
    pub(crate) begins: u32,
    /// The time at which the writer is dropped, unless it has ended.
    pub(crate) cancelled: Option<When>,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Bytes(usize),
    File(Transfer),
}

#[derive(Debug, Clone)]
pub(crate) struct Transfer {
    pub(crate) offset: u64,
    pub(crate) count: Option<u64>,
    pub(crate) chunk: Option<u64>,
    pub(crate) header: usize,
    pub(crate) fallback: bool,
    pub(crate) prefetch: bool,
    pub(crate) stall_timeout: bool,
    pub(crate) update_position: bool,
}

/// The number of polls or received bytes after which something happens.
///
/// For a cancelled writer it counts the writer's own, otherwise those of all writers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Polls(u32),
    /// The file's bytes that the socket took.
    Sent(u64),
    /// The number of bytes that the peer has read.
    Received(u64),
}

/// A change in the middle of the case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disturbance {
    pub(crate) when: When,
    pub(crate) what: Act,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// The file is truncated or grows to this size.
    Resize(u64),
    /// The peer closes its sending side.
    HalfClose,
    /// The peer closes with unread bytes.
    Reset,
}

impl Case {
    /// Returns about the most bytes that may arrive.
    pub(crate) fn volume(&self) -> u64 {
        let of_file = |transfer: &Transfer| {
            let rest = LONGEST.saturating_sub(transfer.offset);
            transfer.header as u64 + transfer.count.unwrap_or(rest).min(rest).min(self.longest())
        };
        let volume = |writer: &Writer| match &writer.what {
            What::Bytes(len) => *len as u64,
            What::File(transfer) => of_file(transfer),
        };
        self.writers.iter().map(volume).sum()
    }

    /// Returns the greatest length of the file during the case.
    pub(crate) fn longest(&self) -> u64 {
        let sizes = self.disturbances.iter().map(|disturbance| match disturbance.what {
            Act::Resize(size) => size,
            Act::HalfClose | Act::Reset => 0,
        });
        sizes.fold(self.size, u64::max)
    }
}
