//! The driver of a transfer. It makes the system calls that the machine requests, and reports their
//! outcomes.
//!
//! Most small sends never become a [`Transfer`]: their future makes the one call first.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::Options;
use super::fallback::Reader;
use super::machine::{Action, Machine};
use super::native::{self, SendOutcome};
use super::page_cache::{CacheReadiness, PageCache, first};
use crate::error::LoopClosedError;
use crate::event_loop::{Fallback, Sleep};
use crate::reactor::Direction;
use crate::ready_io::Operation;
use crate::sys;
use crate::sys::fork::Process;
use crate::write_lock::Writer;

/// Sets the position of a sent file, and only logs an error.
///
/// A pipe has no position, so none can be wrong. The result of the transfer stays the same.
pub(super) fn set_position(file: BorrowedFd<'_>, position: u64) {
    if let Err(error) = sys::file::set_position(file, position) {
        log::debug!("cannot set the position of a sent file to {position}: {error}");
    }
}

/// The machine of a transfer, with the cleanup that every end of the transfer needs.
///
/// A transfer ends by a result, by a drop, or with its loop.
///
/// While the transfer runs, it neither uses nor changes the position, as each call names its
/// offset. Only the destructor sets the position. It also releases a header that the kernel still
/// holds back for the file. (A send that ends with its first call never has a machine.)
pub(super) struct Guard<'a> {
    pub(super) machine: Machine,
    pub(super) file: BorrowedFd<'a>,
    pub(super) update_position: bool,
    pub(super) socket: BorrowedFd<'a>,
    /// The process that began the transfer.
    pub(super) process: Process,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A forked child shares socket and position with its parent, whose transfer continues.
        if !self.process.is_current() {
            return;
        }
        if self.machine.is_held_back {
            sys::socket::push(self.socket);
        }
        if self.update_position {
            set_position(self.file, self.machine.plan.position);
        }
    }
}

/// A transfer that has begun.
///
/// Rust drops the fields in this order, so the position is set before the next writer wakes.
pub(super) struct Transfer<'a, T: AsFd> {
    pub(super) guard: Guard<'a>,
    operation: Operation<'a, T>,
    writer: Writer<'a>,
    page_cache: PageCache<'a>,
    options: Options<'a>,
    /// The time at which the transfer fails if no byte moves, from when it gets the write lock.
    deadline: Option<Instant>,
    /// The timer for the deadline, or for an earlier one.
    stall: Option<Sleep>,
    /// The time at which the transfer began to wait for the socket.
    parked: Option<Instant>,
    reader: Option<Reader>,
}

impl<'a, T: AsFd> Transfer<'a, T> {
    /// Creates a transfer that has or awaits the write lock.
    pub(super) fn new(
        guard: Guard<'a>,
        operation: Operation<'a, T>,
        page_cache: PageCache<'a>,
        options: Options<'a>,
        cx: &Context<'_>,
    ) -> Transfer<'a, T> {
        let mut writer = Writer::new(operation.socket.write_lock());
        // The guard exists already, as the clone of a waker may panic. If the transfer holds the
        // lock, its first poll reports that too.
        let _ = writer.poll(cx);
        let (deadline, stall, parked, reader) = (None, None, None, None);
        Transfer { guard, operation, writer, page_cache, options, deadline, stall, parked, reader }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        if !self.guard.machine.is_done() {
            ready!(self.writer.poll(cx));
        }
        self.deadline = self.deadline.or_else(|| self.stall_deadline());
        self.begin_step();
        let polled = self.drive(cx);
        // A transfer that yields has just moved bytes. It continues in the next iteration, even on
        // a closed loop.
        let waits = polled.is_pending() && self.guard.machine.action() != Action::Yield;
        match self.deadline {
            Some(deadline) if waits => self.poll_stall(deadline, cx).map(Err),
            _ => polled,
        }
    }

    /// Returns the deadline of a transfer whose last byte moves now.
    fn stall_deadline(&self) -> Option<Instant> {
        self.options.stall_timeout.map(|limit| self.operation.event_loop.deadline(limit))
    }

    /// Is ready with an error if no byte has moved for the whole limit.
    ///
    /// Each moved byte only sets a new deadline. If the timer fires before the deadline, it
    /// restarts. So a moving transfer sets one timer for each limit, however many calls it makes.
    fn poll_stall(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<io::Error> {
        let event_loop = &self.operation.event_loop;
        loop {
            let start = || event_loop.sleep_until(deadline);
            ready!(Pin::new(self.stall.get_or_insert_with(start)).poll(cx));
            if event_loop.is_closed() {
                return Poll::Ready(LoopClosedError.into());
            }
            if event_loop.time() >= deadline {
                let limit = self.options.stall_timeout.unwrap_or_default();
                let what = format!("the transfer moved no byte for {limit:?}");
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            self.stall = None;
        }
    }

    fn begin_step(&mut self) {
        let Operation { event_loop, socket, .. } = &self.operation;
        let is_writable = socket.may_be_ready(event_loop, Direction::Write);
        if let Some(since) = self.parked.take_if(|_| is_writable) {
            self.page_cache.after_wait(event_loop.time().saturating_duration_since(since));
        }
        self.guard.machine.begin_step(is_writable);
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        loop {
            match self.guard.machine.action() {
                Action::SendHeader { part, more } => {
                    let header = &self.options.header[part];
                    let outcome = native::send_bytes(self.guard.socket, header, more);
                    self.on_outcome(outcome);
                }
                Action::Stat { sync } => self.stat(sync),
                Action::Send { range, owed_until } => {
                    ready!(self.poll_send(range, owed_until, cx))?;
                }
                Action::Read(range) => ready!(self.poll_read(range, cx))?,
                Action::SendBlock(part) => {
                    let reader = self.reader.as_ref().expect("a block was read");
                    let outcome = native::send_bytes(self.guard.socket, reader.bytes(part), false);
                    self.on_outcome(outcome);
                }
                Action::Wait => {
                    let event_loop = &self.operation.event_loop;
                    self.parked.get_or_insert_with(|| event_loop.time());
                    return self.operation.poll_wait(Direction::Write, cx).map(Err);
                }
                Action::Yield => {
                    self.operation.event_loop.counters().sendfile_yields += 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Action::Finish => return Poll::Ready(self.guard.machine.result()),
            }
        }
    }

    fn stat(&mut self, sync: bool) {
        native::keep_nonblocking(self.guard.socket);
        let machine = &mut self.guard.machine;
        match native::stat(self.guard.file, sync) {
            Ok((metadata, is_cached)) => {
                self.page_cache.metadata = Some(metadata);
                machine.on_stat(metadata.size, is_cached);
            }
            Err(error) => machine.fail(error),
        }
    }

    fn poll_send(
        &mut self,
        range: Range<u64>,
        owed_until: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.page_cache.poll_ready(range.start..owed_until, cx))? {
            CacheReadiness::UseFallback(reason) => self.guard.machine.use_fallback(reason),
            CacheReadiness::Ready(ready) => {
                let (event_loop, range) = (&self.operation.event_loop, first(&range, ready));
                let outcome = native::send(event_loop, self.guard.socket, self.guard.file, &range);
                self.on_outcome(outcome);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn on_outcome(&mut self, outcome: SendOutcome) {
        if let SendOutcome::Sent(_) = outcome {
            self.deadline = self.stall_deadline();
        }
        let machine = &mut self.guard.machine;
        let before = machine.plan.sent();
        machine.on_outcome(outcome);
        let sent = machine.plan.sent();
        match &mut self.options.progress {
            Some(progress) if sent > before => progress(sent),
            _ => {}
        }
    }

    fn poll_read(&mut self, range: Range<u64>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let read = match self.reader() {
            Ok(reader) => {
                let read = ready!(reader.poll_read(cx, range));
                self.operation.event_loop.check_open(read)?.map_err(io::Error::from)
            }
            Err(error) => Err(error),
        };
        let machine = &mut self.guard.machine;
        match read {
            Ok(read) => machine.on_block(read),
            Err(error) => {
                self.page_cache.turn_off();
                machine.on_no_reader(error);
            }
        }
        if let (Some(next), Some(reader)) = (machine.next_block(), &mut self.reader) {
            reader.read_ahead(next);
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the fallback's reader, and creates it for the first read.
    fn reader(&mut self) -> io::Result<&mut Reader> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let event_loop = &self.operation.event_loop;
                let reason = self.guard.machine.fallback_reason;
                // Closing a file of such a file system may wait for a server.
                let is_slow = reason == Some(Fallback::NoAnswer);
                let lent = event_loop.lend(self.guard.file, is_slow)?;
                if let Some(reason) = reason {
                    event_loop.counters().fell_back(reason);
                }
                Reader::new(event_loop, lent)
            }
        };
        Ok(self.reader.insert(reader))
    }
}
