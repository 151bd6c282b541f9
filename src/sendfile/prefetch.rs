//! Looking for a chunk in the page cache, and having it read in by the executor.
//!
//! The work owns what it uses, a duplicate of the file; what it reads it throws away, as the page cache keeps it. So the transfer
//! may be dropped while a thread still reads; what no thread has begun is dropped with it. The send itself stays with the loop's
//! thread: in another it would race with cancellation.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::residency::{Looked, READ_IN};
use crate::error::LoopClosedError;
use crate::event_loop::LoopHandle;
use crate::offload::Errand;
use crate::sys;

/// Pages are at least this large: two bytes in the same one need one look.
const PAGE: u64 = 4096;

/// What is read at a time, and thrown away: it stays in the processor's cache.
const SCRATCH: usize = 64 << 10;

/// Looks for `len` bytes from `offset` on, and says how many of the first ones are there; `on_probe` is told of each system call.
///
/// One byte is asked for at the begin and at each [`READ_IN`]'s end: the whole of a chunk cannot be asked for without copying it.
/// A hole between two bytes that are there is not seen. The kernel reads ahead and evicts in larger pieces than a page, so most
/// holes are made by looks: a byte that is not there is read in by the look for it, alone, and the next look finds it. So
/// [`Residency`](super::residency::Residency) has the piece before it read in first. What is left is the byte that another transfer's
/// look read in, and one that a quick disk has there before the look for it is over. Then the loop's thread waits for the disk.
pub(super) fn look(file: &File, offset: u64, len: usize, mut on_probe: impl FnMut()) -> Looked {
    let end = offset + len as u64;
    let mut known = offset;
    if !same_page(offset, (offset + READ_IN).min(end) - 1) {
        on_probe();
        match sys::file::is_resident(file.as_fd(), offset) {
            Ok(true) => {}
            Ok(false) => return Looked::Missing,
            Err(error) => return without_answer(file, &error, len),
        }
    }
    while known < end {
        let next = (known + READ_IN).min(end);
        on_probe();
        match sys::file::is_resident(file.as_fd(), next - 1) {
            Ok(true) => known = next,
            Ok(false) => break,
            Err(error) => return without_answer(file, &error, len),
        }
    }
    match known - offset {
        0 => Looked::Missing,
        found if known < end => Looked::Partly(found),
        found => Looked::Resident(found),
    }
}

fn same_page(one: u64, other: u64) -> bool {
    one / PAGE == other / PAGE
}

/// No answer is of two kinds: of a file that lives in memory, and of one whose reads may wait for anything (FUSE, NFS). Which one it
/// is can be told here of the most usual in memory, and else by [`Prefetch::poll_kind`]. And what cannot be read at all is
/// sendfile's to report.
fn without_answer(file: &File, error: &io::Error, len: usize) -> Looked {
    if !sys::file::is_no_answer(error) {
        return Looked::Resident(len as u64);
    }
    match sys::file::is_sealable(file.as_fd()) {
        true => Looked::InMemory,
        false => Looked::NoAnswer,
    }
}

/// Reads the range, and says whether it had to: whether not all of it was there.
fn read_in(file: &File, range: Range<u64>) -> bool {
    let mut scratch = vec![0; SCRATCH];
    let mut cold = false;
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(SCRATCH as u64) as usize;
        let room = &mut scratch[..len];
        let read = match sys::file::read_resident(file.as_fd(), room, at) {
            Ok(all) if all == len => Ok(len),
            _ => {
                cold = true;
                sys::uninterrupted(|| file.read_at(room, at))
            }
        };
        match read {
            Ok(0) => break,
            Ok(read) => at += read as u64,
            // It will meet whoever sends.
            Err(_) => break,
        }
    }
    cold
}

/// What came of a reading in.
pub(super) enum Brought {
    /// These offsets are in; `cold` where they were not before.
    In { range: Range<u64>, cold: bool },
    /// The executor takes no work, or there is no descriptor for it.
    Nobody,
}

/// The reading in of one transfer, one piece at a time. A descriptor is held for as long as a thread reads, not longer.
#[derive(Debug, Default)]
pub(super) struct Prefetch {
    work: Option<(Range<u64>, Errand<bool>)>,
    /// Whether the file lives in memory.
    kind: Option<Errand<bool>>,
    /// How far reading in was asked for.
    asked: u64,
}

impl Prefetch {
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// What a thread has begun to read in, until that was seen to be done.
    pub(super) fn begun(&self) -> Option<Range<u64>> {
        let (range, work) = self.work.as_ref()?;
        work.has_begun().then(|| range.clone())
    }

    /// Whether [`poll_kind`](Prefetch::poll_kind) is not through yet.
    pub(super) fn is_asking(&self) -> bool {
        self.kind.is_some()
    }

    /// Has a thread ask the system of a file without an answer whether it lives in memory: to tell that, a system that does not may
    /// have to ask its server.
    pub(super) fn poll_kind(
        &mut self,
        event_loop: &LoopHandle,
        file: &File,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Looked>> {
        let kind = match &mut self.kind {
            Some(kind) => kind,
            None => {
                let Ok(file) = event_loop.lend(file, true) else {
                    return Poll::Ready(Ok(Looked::NoAnswer));
                };
                let ask = move || sys::file::is_in_memory(file.as_fd());
                self.kind.insert(event_loop.errand(ask))
            }
        };
        let done = ready!(Pin::new(kind).poll(cx));
        self.kind = None;
        Poll::Ready(match done {
            Ok(true) => Ok(Looked::InMemory),
            Err(error) if error.is_cancelled() && event_loop.is_closed() => {
                Err(LoopClosedError.into())
            }
            _ => Ok(Looked::NoAnswer),
        })
    }

    /// Has a thread read the range in, where there is one.
    pub(super) fn start(&mut self, event_loop: &LoopHandle, file: &File, range: Range<u64>) {
        let Ok(file) = event_loop.lend(file, false) else {
            return;
        };
        event_loop.counters().sendfile_read_ins.add(1);
        let piece = range.clone();
        let work = event_loop.errand(move || read_in(&file, piece));
        self.asked = range.end;
        self.work = Some((range, work));
    }

    /// Ready when the bytes at the range's start are in: by the work that is under way, where it is for them, else by that range
    /// read in.
    pub(super) fn poll_in(
        &mut self,
        event_loop: &LoopHandle,
        file: &File,
        range: Range<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Brought>> {
        let under_way = self.work.as_ref().map(|(range, _)| range);
        if !under_way.is_some_and(|under_way| under_way.contains(&range.start)) {
            self.work = None;
            self.start(event_loop, file, range);
        }
        let Some((range, work)) = &mut self.work else {
            return Poll::Ready(Ok(Brought::Nobody));
        };
        let done = ready!(Pin::new(work).poll(cx));
        let range = range.clone();
        self.work = None;
        Poll::Ready(match done {
            Ok(cold) => Ok(Brought::In { range, cold }),
            Err(error) if error.is_cancelled() && event_loop.is_closed() => {
                Err(LoopClosedError.into())
            }
            Err(_) => Ok(Brought::Nobody),
        })
    }

    /// What was read ahead, where that is done; `None` where nothing is under way.
    pub(super) fn take_ahead(&mut self) -> Option<Poll<Brought>> {
        let (range, work) = self.work.as_mut()?;
        let Poll::Ready(done) = Pin::new(work).poll(&mut Context::from_waker(Waker::noop())) else {
            return Some(Poll::Pending);
        };
        let range = range.clone();
        self.work = None;
        Some(Poll::Ready(match done {
            Ok(cold) => Brought::In { range, cold },
            Err(_) => Brought::Nobody,
        }))
    }
}
