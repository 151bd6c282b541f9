//! Reading a block, on the executor, for what sendfile cannot serve.
//!
//! The work owns what it uses: a duplicate of the file and the block. So the transfer may be dropped, and the user's file
//! closed, while a thread still reads. It reads at an offset, which leaves the position alone.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::error::{LoopClosed, TaskError};
use crate::event_loop::LoopHandle;
use crate::pool::Blocking;

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
    loop {
        match file.read_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The fallback of one transfer.
pub(super) struct Reader {
    file: Arc<File>,
    /// `None` while a thread has it.
    block: Option<Block>,
    reading: Option<Blocking<(Block, io::Result<usize>)>>,
}

impl Reader {
    pub(super) fn new(file: &File) -> io::Result<Reader> {
        Ok(Reader {
            file: Arc::new(file.try_clone()?),
            block: None,
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
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        let reading = self.reading.get_or_insert_with(|| {
            let mut block = self.block.take().unwrap_or_else(|| Block::new(len));
            let file = self.file.clone();
            event_loop.run_in_executor(move || {
                let read = block.fill(&file, offset, len);
                (block, read)
            })
        });
        let done = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(match done {
            Ok((block, read)) => {
                self.block = Some(block);
                read
            }
            Err(TaskError::Cancelled) if event_loop.is_closed() => Err(LoopClosed.into()),
            Err(error) => Err(error.into()),
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
