//! Reading a block, on the executor, for what sendfile cannot serve.
//!
//! The work owns what it uses: a duplicate of the file and the block. So the transfer may be dropped, and the user's file
//! closed, while a thread still reads; what no thread has begun is dropped with the transfer. It reads at an offset, which leaves the position alone.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::event_loop::LoopHandle;
use crate::offload::Errand;
use crate::pool::Lent;
use crate::sys::uninterrupted;

/// A multiple of every block size that O_DIRECT asks for.
const ALIGNMENT: usize = 4096;

/// Memory for one block, with room to align it.
pub(super) struct Block {
    memory: Vec<u8>,
    start: usize,
}

impl Block {
    fn new(len: usize) -> Block {
        let memory = vec![0; len + 3 * ALIGNMENT];
        Block { memory, start: 0 }
    }

    /// What was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    /// Reads at most `len` bytes from `offset` on, and says how many there were.
    fn fill(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        self.start = 0;
        match read_at(file, &mut self.memory[..len], offset) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.fill_aligned(file, offset, len)
            }
            result => result,
        }
    }

    /// With O_DIRECT, offset, length and memory must be aligned: reads what lies around, and keeps what was asked for.
    fn fill_aligned(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        let skip = (offset % ALIGNMENT as u64) as usize;
        let around = (skip + len).next_multiple_of(ALIGNMENT);
        let start = self.memory.as_ptr().align_offset(ALIGNMENT);
        let room = &mut self.memory[start..start + around];
        let read = read_at(file, room, offset - skip as u64)?;
        self.start = start + skip;
        Ok(read.saturating_sub(skip).min(len))
    }
}

fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    uninterrupted(|| file.read_at(into, offset))
}

/// A read under way: from where on, and whether it was begun before its bytes were needed.
struct Reading {
    offset: u64,
    ahead: bool,
    work: Errand<(Block, io::Result<usize>)>,
}

/// What came of a read.
pub(super) enum Filled {
    /// So many bytes, or the file's error.
    Read(io::Result<usize>),
    /// The executor takes no work, or there is no descriptor for it.
    Nobody(io::Error),
    /// No work is waited for any more.
    Closed,
}

/// The fallback of one transfer.
pub(super) struct Reader {
    file: Arc<Lent>,
    /// What is being sent.
    block: Option<Block>,
    /// For the next read, where that is made while the other is being sent.
    spare: Option<Block>,
    reading: Option<Reading>,
}

impl Reader {
    /// `slow`: the file's system may wait for a server.
    pub(super) fn new(event_loop: &LoopHandle, file: &File, slow: bool) -> io::Result<Reader> {
        Ok(Reader {
            file: Arc::new(event_loop.lend(file, slow)?),
            block: None,
            spare: None,
            reading: None,
        })
    }

    /// What was read last.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        let block = self
            .block
            .as_ref()
            .expect("a block is sent after it was read");
        &block.bytes()[range]
    }

    /// Reads into the block, and says how many bytes there were: 0 is the file's end. Polled again until it is ready, it is
    /// one read. No read is longer than the first.
    pub(super) fn poll_read(
        &mut self,
        event_loop: &LoopHandle,
        cx: &mut Context<'_>,
        (offset, len): (u64, usize),
    ) -> Poll<Filled> {
        loop {
            let reading = match &mut self.reading {
                Some(reading) if reading.offset == offset => reading,
                _ => self.start(event_loop, (offset, len)),
            };
            let ahead = reading.ahead;
            let done = ready!(Pin::new(&mut reading.work).poll(cx));
            self.reading = None;
            let (block, read) = match done {
                Ok(done) => done,
                Err(error) if error.is_cancelled() && event_loop.is_closed() => {
                    return Poll::Ready(Filled::Closed);
                }
                Err(error) => return Poll::Ready(Filled::Nobody(error.into())),
            };
            self.spare = self.block.replace(block);
            match read {
                // The file may have grown since.
                Ok(0) if ahead => continue,
                read => return Poll::Ready(Filled::Read(read.map(|read| read.min(len)))),
            }
        }
    }

    fn start(&mut self, event_loop: &LoopHandle, at: (u64, usize)) -> &mut Reading {
        let block = self.block.take();
        let work = self.read(event_loop, block, at);
        self.reading.insert(Reading {
            offset: at.0,
            ahead: false,
            work,
        })
    }

    /// Has the next block read while this one is sent, in memory of its own.
    pub(super) fn read_ahead(&mut self, event_loop: &LoopHandle, at: (u64, usize)) {
        let block = self.spare.take();
        let work = self.read(event_loop, block, at);
        self.reading = Some(Reading {
            offset: at.0,
            ahead: true,
            work,
        });
    }

    fn read(
        &self,
        event_loop: &LoopHandle,
        block: Option<Block>,
        (offset, len): (u64, usize),
    ) -> Errand<(Block, io::Result<usize>)> {
        let mut block = block.unwrap_or_else(|| Block::new(len));
        let file = self.file.clone();
        event_loop.errand(move || {
            let read = block.fill(&file, offset, len);
            (block, read)
        })
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("file", &self.file)
            .field("reading", &self.reading.is_some())
            .finish()
    }
}
