//! The fallback: an executor thread reads a block, and the loop sends it.
//!
//! A read owns a duplicate of the file and its block. So the caller can drop the transfer and close
//! the file while a thread still reads. The transfer drops a read that no thread has begun. A read
//! names its offset, so the file's position does not move.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::error::TaskError;
use crate::event_loop::LoopHandle;
use crate::pool::{Blocking, LentFile};
use crate::sys::uninterrupted;

/// A multiple of the usual block sizes, which O_DIRECT requires.
const ALIGNMENT: usize = 4096;

/// Memory for one block, with room to align it.
struct Block {
    memory: Vec<u8>,
    start: usize,
}

impl Block {
    fn new(len: usize) -> Block {
        let memory = vec![0; len + 3 * ALIGNMENT];
        Block { memory, start: 0 }
    }

    /// Returns the bytes of the last read.
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    /// Reads a range of at most the block's length, and returns the number of bytes read.
    fn fill(&mut self, file: &File, range: &Range<u64>) -> io::Result<usize> {
        self.start = 0;
        let len = (range.end - range.start) as usize;
        match read_at(file, &mut self.memory[..len], range.start) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.fill_aligned(file, range)
            }
            result => result,
        }
    }

    /// Reads a range with aligned offset, length and memory, as O_DIRECT requires.
    ///
    /// The read covers more than the range. The block then shows the range alone.
    fn fill_aligned(&mut self, file: &File, range: &Range<u64>) -> io::Result<usize> {
        let (offset, len) = (range.start, (range.end - range.start) as usize);
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

/// A read in progress.
struct PendingRead {
    offset: u64,
    /// The read started before the transfer needed its bytes.
    is_ahead: bool,
    work: Blocking<(Block, io::Result<usize>)>,
}

/// The fallback of one transfer.
pub(super) struct Reader {
    event_loop: LoopHandle,
    file: Arc<LentFile>,
    /// The block that the loop sends now.
    block: Option<Block>,
    /// Memory for a read that runs while the loop sends the block.
    spare: Option<Block>,
    pending: Option<PendingRead>,
}

impl Reader {
    pub(super) fn new(event_loop: &LoopHandle, file: LentFile) -> Reader {
        Reader {
            event_loop: event_loop.clone(),
            file: Arc::new(file),
            block: None,
            spare: None,
            pending: None,
        }
    }

    /// Returns a part of the last block read.
    pub(super) fn bytes(&self, part: Range<usize>) -> &[u8] {
        let block = self.block.as_ref().expect("a block was read");
        &block.bytes()[part]
    }

    /// Reads a range into the block, and returns the number of bytes read.
    ///
    /// 0 is the end of the file. All polls until the outcome belong to one read. No read may be
    /// longer than the first one.
    ///
    /// The inner error is the file's, the outer one the executor's.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        range: Range<u64>,
    ) -> Poll<Result<io::Result<usize>, TaskError>> {
        loop {
            let pending = match &mut self.pending {
                Some(pending) if pending.offset == range.start => pending,
                _ => self.start(range.clone(), false),
            };
            let is_ahead = pending.is_ahead;
            let done = ready!(Pin::new(&mut pending.work).poll(cx));
            self.pending = None;
            let (block, read) = done?;
            self.spare = self.block.replace(block);
            match read {
                // The file may have grown since that read.
                Ok(0) if is_ahead => continue,
                read => {
                    let len = (range.end - range.start) as usize;
                    return Poll::Ready(Ok(read.map(|read| read.min(len))));
                }
            }
        }
    }

    /// Starts to read the next block while the loop sends this one.
    pub(super) fn read_ahead(&mut self, range: Range<u64>) {
        self.start(range, true);
    }

    fn start(&mut self, range: Range<u64>, is_ahead: bool) -> &mut PendingRead {
        let block = if is_ahead { self.spare.take() } else { self.block.take() };
        let (offset, len) = (range.start, (range.end - range.start) as usize);
        let mut block = block.unwrap_or_else(|| Block::new(len));
        let file = self.file.clone();
        let work = self.event_loop.run_cancel_on_drop(move || {
            let read = block.fill(&file, &range);
            (block, read)
        });
        self.pending.insert(PendingRead { offset, is_ahead, work })
    }
}
