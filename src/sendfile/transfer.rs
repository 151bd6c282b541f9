//! The driver of a transfer. It makes the system calls that the machine requests, and reports their
//! outcomes.
//!
//! Most small sends never become a [`Transfer`]: [`send_at_once`] makes their one call first.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Options;
use super::fallback::{ReadOutcome, Reader};
use super::machine::{Action, Machine};
use super::native::{self, SendOutcome};
use super::page_cache::{CacheReadiness, CachedFile, PageCache};
use super::plan::{Next, Plan};
use crate::error::LoopClosedError;
use crate::event_loop::{Fallback, LoopHandle, Sleep};
use crate::reactor::{Direction, WaitGuard};
use crate::ready_io::poll_wait;
use crate::socket::Socket;
use crate::sys::fork::Process;
use crate::sys::{self, file};
use crate::write_lock::Writer;

/// A callback for the total of file bytes sent, after each call that sends some.
pub(super) type Progress<'a> = Box<dyn FnMut(u64) + 'a>;

/// The file of a transfer, with the choice to set its position at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentFile<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) update_position: bool,
}

impl SentFile<'_> {
    /// Sets the file's position, and only logs an error.
    ///
    /// A pipe has no position, so none can be wrong. The result of the transfer stays the same.
    fn set_position(self, position: u64) {
        if !self.update_position {
            return;
        }
        if let Err(error) = file::set_position(self.fd, position) {
            log::debug!("cannot set the position of a sent file to {position}: {error}");
        }
    }
}

/// Makes the single call of a small send, if the page cache has the whole range.
///
/// Nearly all small sends end here, without the state of a [`Transfer`]. If the call does not send
/// everything, the machine continues with its outcome.
pub(super) fn send_at_once(
    event_loop: &LoopHandle,
    socket: BorrowedFd<'_>,
    file: SentFile<'_>,
    plan: &Plan,
    page_cache: &mut PageCache,
) -> AtOnce {
    let Next::Bytes { range, .. } = plan.next() else {
        return AtOnce::NotTried;
    };
    let fd = file.fd;
    if !page_cache.is_ready_now(CachedFile { event_loop, fd }, &range) {
        return AtOnce::NotTried;
    }
    let len = range.end - range.start;
    match native::send(event_loop, socket, fd, range.start, len as usize) {
        SendOutcome::Sent(sent) if sent as u64 == len => {
            file.set_position(range.end);
            AtOnce::Done(len)
        }
        other => AtOnce::Tried(other),
    }
}

/// The outcome of [`send_at_once`].
pub(super) enum AtOnce {
    Done(u64),
    Tried(SendOutcome),
    NotTried,
}

/// The machine of a transfer, with the cleanup that every end of the transfer needs.
///
/// A transfer ends by a result, by a drop, or with its loop.
///
/// While the transfer runs, it neither uses nor changes the position, as each call names its
/// offset. Only the destructor sets the position. It also releases a header that the kernel still
/// holds back for the file. ([`send_at_once`] ends sends that never had a machine.)
#[derive(Debug)]
pub(super) struct Guard<'a> {
    machine: Machine,
    file: SentFile<'a>,
    socket: BorrowedFd<'a>,
    /// The process that began the transfer.
    process: Process,
}

impl<'a> Guard<'a> {
    pub(super) fn new(machine: Machine, file: SentFile<'a>, socket: BorrowedFd<'a>) -> Guard<'a> {
        Guard {
            machine,
            file,
            socket,
            process: Process::current(),
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A forked child shares socket and position with its parent, whose transfer continues.
        if !self.process.is_current() {
            return;
        }
        if self.machine.is_held_back() {
            sys::socket::push(self.socket);
        }
        self.file.set_position(self.machine.position());
    }
}

/// A limit on the time since the last byte moved.
///
/// Each moved byte only sets a new deadline. If the timer fires before the deadline, it restarts.
/// So a moving transfer sets one timer for each `limit`, however many calls it makes.
#[derive(Debug)]
struct StallTimer {
    limit: Duration,
    deadline: Instant,
    sleep: Sleep,
}

impl StallTimer {
    fn new(event_loop: &LoopHandle, limit: Duration) -> StallTimer {
        let deadline = event_loop.deadline(limit);
        StallTimer {
            limit,
            deadline,
            sleep: event_loop.sleep_until(deadline),
        }
    }

    fn on_progress(&mut self, event_loop: &LoopHandle) {
        self.deadline = event_loop.deadline(self.limit);
    }

    /// Is ready with an error if no byte has moved for the whole limit.
    fn poll(&mut self, event_loop: &LoopHandle, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(Pin::new(&mut self.sleep).poll(cx));
            if event_loop.is_closed() {
                return Poll::Ready(LoopClosedError.into());
            }
            if event_loop.time() >= self.deadline {
                let what = format!("the transfer moved no byte for {:?}", self.limit);
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            self.sleep = event_loop.sleep_until(self.deadline);
        }
    }
}

/// A transfer that has begun.
///
/// Rust drops the fields in this order, so the position is set before the next writer wakes.
pub(super) struct Transfer<'a> {
    guard: Guard<'a>,
    wait: WaitGuard,
    writer: Writer<'a>,
    page_cache: PageCache,
    header: &'a [u8],
    progress: Option<Progress<'a>>,
    stall_timeout: Option<Duration>,
    /// The stall timer, from the moment when the transfer gets the write lock.
    stall: Option<Box<StallTimer>>,
    /// The time at which the transfer began to wait for the socket.
    parked: Option<Instant>,
    reader: Option<Box<Reader>>,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        guard: Guard<'a>,
        writer: Writer<'a>,
        page_cache: PageCache,
        options: Options<'a>,
    ) -> Transfer<'a> {
        Transfer {
            guard,
            wait: WaitGuard::default(),
            writer,
            page_cache,
            header: options.header,
            progress: options.progress,
            stall_timeout: options.stall_timeout,
            stall: None,
            parked: None,
            reader: None,
        }
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.guard.machine
    }

    pub(super) fn poll<T: AsFd>(
        &mut self,
        event_loop: &LoopHandle,
        socket: &Socket<T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>> {
        if !self.machine().is_done() {
            ready!(self.writer.poll(cx));
        }
        if let (None, Some(limit)) = (&self.stall, self.stall_timeout) {
            self.stall = Some(Box::new(StallTimer::new(event_loop, limit)));
        }
        self.begin_step(
            event_loop,
            socket.may_be_ready(event_loop, Direction::Write),
        );
        let polled = self.drive(event_loop, socket, cx);
        // A transfer that yields has just moved bytes. It continues in the next iteration, even on
        // a closed loop.
        let waits = polled.is_pending() && !self.machine().is_yielding();
        match &mut self.stall {
            Some(stall) if waits => stall.poll(event_loop, cx).map(Err),
            _ => polled,
        }
    }

    fn begin_step(&mut self, event_loop: &LoopHandle, is_writable: bool) {
        if is_writable {
            if let Some(since) = self.parked.take() {
                let waited = event_loop.time().saturating_duration_since(since);
                self.page_cache.after_wait(waited);
            }
        }
        self.guard.machine.begin_step(is_writable);
    }

    fn drive<T: AsFd>(
        &mut self,
        event_loop: &LoopHandle,
        socket: &Socket<T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>> {
        loop {
            match self.machine().action() {
                Action::SendHeader { part, more } => {
                    let outcome = native::send_bytes(socket.as_fd(), &self.header[part], more);
                    self.on_outcome(event_loop, outcome);
                }
                Action::Stat { sync } => self.stat(socket.as_fd(), sync),
                Action::Send { range, owed_until } => {
                    ready!(self.poll_send(event_loop, socket, (range, owed_until), cx))?;
                }
                Action::Read(range) => ready!(self.poll_read(event_loop, range, cx))?,
                Action::SendBlock(part) => {
                    let reader = self.reader.as_ref().expect("a block was read");
                    let outcome = native::send_bytes(socket.as_fd(), reader.bytes(part), false);
                    self.on_outcome(event_loop, outcome);
                }
                Action::Wait => {
                    self.parked.get_or_insert_with(|| event_loop.time());
                    let wait = &mut self.wait;
                    return poll_wait(event_loop, socket, Direction::Write, wait, cx).map(Err);
                }
                Action::Yield => {
                    event_loop.counters().sendfile_yields += 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Action::Finish => return Poll::Ready(self.guard.machine.result()),
            }
        }
    }

    fn stat(&mut self, socket: BorrowedFd<'_>, sync: bool) {
        native::keep_nonblocking(socket);
        let stat = native::stat(self.guard.file.fd, sync).map(|(stat, metadata)| {
            self.page_cache.set_metadata(metadata);
            stat
        });
        self.guard.machine.on_stat(stat);
    }

    fn poll_send<T: AsFd>(
        &mut self,
        event_loop: &LoopHandle,
        socket: &Socket<T>,
        (range, owed_until): (Range<u64>, u64),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let fd = self.guard.file.fd;
        let owed = range.start..owed_until;
        let file = CachedFile { event_loop, fd };
        match ready!(self.page_cache.poll_ready(file, owed, cx))? {
            CacheReadiness::UseFallback(reason) => self.guard.machine.use_fallback(reason),
            CacheReadiness::Ready(ready) => {
                let len = ready.min(range.end - range.start) as usize;
                let outcome = native::send(event_loop, socket.as_fd(), fd, range.start, len);
                self.on_outcome(event_loop, outcome);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn on_outcome(&mut self, event_loop: &LoopHandle, outcome: SendOutcome) {
        if let (SendOutcome::Sent(_), Some(stall)) = (&outcome, &mut self.stall) {
            stall.on_progress(event_loop);
        }
        let machine = &mut self.guard.machine;
        let Some(progress) = &mut self.progress else {
            return machine.on_outcome(outcome);
        };
        let before = machine.sent();
        machine.on_outcome(outcome);
        if machine.sent() > before {
            progress(machine.sent());
        }
    }

    fn poll_read(
        &mut self,
        event_loop: &LoopHandle,
        range: Range<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = match self.reader(event_loop) {
            Ok(reader) => ready!(reader.poll_read(event_loop, cx, range)),
            Err(error) => ReadOutcome::NoReader(error),
        };
        let machine = &mut self.guard.machine;
        match filled {
            ReadOutcome::Read(read) => machine.on_block(read),
            ReadOutcome::NoReader(error) => {
                self.page_cache.turn_off();
                machine.on_no_reader(error);
            }
            ReadOutcome::LoopClosed => return Poll::Ready(Err(LoopClosedError.into())),
        }
        if let (Some(next), Some(reader)) = (machine.next_block(), &mut self.reader) {
            reader.read_ahead(event_loop, next);
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the fallback's reader, and creates it for the first read.
    fn reader(&mut self, event_loop: &LoopHandle) -> io::Result<&mut Reader> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let reason = self.machine().fallback_reason();
                let is_slow = reason == Some(Fallback::NoAnswer);
                let reader = Reader::new(event_loop, self.guard.file.fd, is_slow)?;
                if let Some(reason) = reason {
                    event_loop.counters().fell_back(reason);
                }
                Box::new(reader)
            }
        };
        Ok(self.reader.insert(reader))
    }
}
