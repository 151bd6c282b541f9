//! The driver of one transfer: does what the machine says, and tells it what came of it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::fallback::{Filled, Reader};
use super::machine::Machine;
use super::native;
use super::position::Positioned;
use super::prefetch::{self, Brought, Prefetch};
use super::residency::Looked;
use super::stall::Stall;
use super::steps::{Answer, Step};
use crate::error::LoopClosedError;
use crate::event_loop::{Fallback, LoopHandle};
use crate::reactor::{Direction, Waiting};
use crate::ready_io::poll_wait;
use crate::socket::Socket;
use crate::turns::Turn;

/// What is told after each step: the file's bytes sent.
pub(super) type Progress<'a> = Box<dyn FnMut(u64) + 'a>;

/// A transfer that has begun. Its fields end in this order: the position is right before the next writer is woken.
pub(super) struct Transfer<'a> {
    positioned: Positioned<'a>,
    waiting: Waiting,
    turn: Turn<'a>,
    header: &'a [u8],
    progress: Option<Progress<'a>>,
    stall_timeout: Option<Duration>,
    /// From its turn on.
    stall: Option<Box<Stall>>,
    /// Since when the socket is waited for.
    parked: Option<Instant>,
    reader: Option<Box<Reader>>,
    prefetch: Prefetch,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(positioned: Positioned<'a>, turn: Turn<'a>, header: &'a [u8]) -> Self {
        Transfer {
            positioned,
            waiting: Waiting::default(),
            turn,
            header,
            progress: None,
            stall_timeout: None,
            stall: None,
            parked: None,
            reader: None,
            prefetch: Prefetch::default(),
        }
    }

    pub(super) fn reporting(
        mut self,
        progress: Option<Progress<'a>>,
        stall_timeout: Option<Duration>,
    ) -> Self {
        self.progress = progress;
        self.stall_timeout = stall_timeout;
        self
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.positioned.machine
    }

    pub(super) fn poll<T: AsFd>(
        &mut self,
        event_loop: &LoopHandle,
        socket: &Socket<T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>> {
        if !self.machine().is_done() {
            ready!(self.turn.poll(cx));
        }
        if let (None, Some(limit)) = (&self.stall, self.stall_timeout) {
            self.stall = Some(Box::new(Stall::new(event_loop, limit)));
        }
        self.begin_turn(
            event_loop,
            socket.may_be_ready(event_loop, Direction::Write),
        );
        let polled = self.drive(event_loop, socket, cx);
        // Who yields has just moved bytes, and goes on at once, also on a closed loop.
        let waits = polled.is_pending() && !self.machine().is_yielding();
        match &mut self.stall {
            Some(stall) if waits => stall.poll(event_loop, cx).map(Err),
            _ => polled,
        }
    }

    fn begin_turn(&mut self, event_loop: &LoopHandle, writable: bool) {
        let waited = match self.parked {
            Some(since) if writable => event_loop.time().saturating_duration_since(since),
            _ => Duration::ZERO,
        };
        if writable {
            self.parked = None;
        }
        self.positioned.machine.begin_turn(writable, waited);
    }

    fn drive<T: AsFd>(
        &mut self,
        event_loop: &LoopHandle,
        socket: &Socket<T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>> {
        let file = self.positioned.file;
        loop {
            match self.machine().step() {
                Step::Header { part, more } => {
                    let answer = native::send_header(socket.as_fd(), &self.header[part], more);
                    self.answered(event_loop, answer);
                }
                Step::Learn { certain } => {
                    native::keep_nonblocking(socket.as_fd());
                    let facts = native::facts(file, certain);
                    self.positioned.machine.learned(facts);
                }
                Step::Look { offset, len } => {
                    let looked = ready!(self.poll_look(event_loop, (offset, len), cx))?;
                    self.positioned.machine.looked(looked);
                }
                Step::ReadIn(range) => ready!(self.poll_read_in(event_loop, range, cx))?,
                Step::Send { offset, len } => {
                    self.read_ahead(event_loop);
                    let answer = native::send(socket.as_fd(), file, offset, len);
                    count_call(event_loop, &answer);
                    self.answered(event_loop, answer);
                }
                Step::Read { offset, len } => {
                    let filled = ready!(self.poll_read(event_loop, (offset, len), cx));
                    self.filled(event_loop, filled)?;
                }
                Step::Drain(range) => {
                    let reader = self.reader.as_ref().expect("what is sent was read");
                    let answer = native::send_bytes(socket.as_fd(), reader.bytes(range));
                    self.answered(event_loop, answer);
                }
                Step::Wait => {
                    self.parked.get_or_insert_with(|| event_loop.time());
                    let waiting = &mut self.waiting;
                    return poll_wait(event_loop, socket, Direction::Write, waiting, cx).map(Err);
                }
                Step::Yield => {
                    event_loop.counters().sendfile_yields.add(1);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::End => return Poll::Ready(self.positioned.machine.result()),
            }
        }
    }

    fn answered(&mut self, event_loop: &LoopHandle, answer: Answer) {
        let moved = matches!(answer, Answer::Sent(_));
        let before = self.machine().sent();
        self.positioned.machine.answered(answer);
        if let (true, Some(stall)) = (moved, &mut self.stall) {
            stall.moved(event_loop);
        }
        let sent = self.machine().sent();
        if let (true, Some(progress)) = (sent > before, &mut self.progress) {
            progress(sent);
        }
    }

    fn poll_look(
        &mut self,
        event_loop: &LoopHandle,
        (offset, mut len): (u64, usize),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Looked>> {
        let file = self.positioned.file;
        // What a thread reads in just now is there in part, and a look might find both its ends. What waits for a busy executor may be
        // there all the same.
        if let Some(range) = self.prefetch.begun() {
            if range.contains(&offset) {
                ready!(self.poll_read_in(event_loop, range, cx))?;
            } else if offset < range.start {
                len = len.min((range.start - offset) as usize);
            }
        }
        if !self.prefetch.is_asking() {
            let looked = look(event_loop, file, (offset, len));
            if looked != Looked::NoAnswer {
                return Poll::Ready(Ok(looked));
            }
        }
        self.prefetch.poll_kind(event_loop, file, cx)
    }

    fn poll_read_in(
        &mut self,
        event_loop: &LoopHandle,
        range: Range<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let file = self.positioned.file;
        let brought = ready!(self.prefetch.poll_in(event_loop, file, range, cx))?;
        self.brought(brought);
        Poll::Ready(Ok(()))
    }

    fn brought(&mut self, brought: Brought) {
        match brought {
            Brought::In { range, cold } => self.positioned.machine.read_in(range, cold),
            Brought::Nobody => self.positioned.machine.cannot_read_in(),
        }
    }

    fn poll_read(
        &mut self,
        event_loop: &LoopHandle,
        at: (u64, usize),
        cx: &mut Context<'_>,
    ) -> Poll<Filled> {
        match reader(&mut self.reader, event_loop, &self.positioned) {
            Ok(reader) => reader.poll_read(event_loop, cx, at),
            Err(error) => Poll::Ready(Filled::Nobody(error)),
        }
    }

    fn filled(&mut self, event_loop: &LoopHandle, filled: Filled) -> io::Result<()> {
        let machine = &mut self.positioned.machine;
        match filled {
            Filled::Read(read) => machine.filled(read),
            Filled::Nobody(error) => machine.cannot_read(error),
            Filled::Closed => return Err(LoopClosedError.into()),
        }
        if let (Some(next), Some(reader)) = (machine.next_block(), &mut self.reader) {
            reader.read_ahead(event_loop, next);
        }
        Ok(())
    }

    /// Before a send, so that the disk works while the socket drains.
    fn read_ahead(&mut self, event_loop: &LoopHandle) {
        match self.prefetch.take_ahead() {
            Some(Poll::Pending) => return,
            Some(Poll::Ready(brought)) => self.brought(brought),
            None => {}
        }
        if let Some(range) = self.machine().read_ahead(self.prefetch.asked()) {
            let file = self.positioned.file;
            self.prefetch.start(event_loop, file, range);
        }
    }
}

/// The fallback's reader, from the first read on.
fn reader<'r>(
    place: &'r mut Option<Box<Reader>>,
    event_loop: &LoopHandle,
    positioned: &Positioned<'_>,
) -> io::Result<&'r mut Reader> {
    match place {
        Some(reader) => Ok(reader),
        None => {
            let reason = positioned.machine.reason();
            let slow = reason == Some(Fallback::NoAnswer);
            let reader = Reader::new(event_loop, positioned.file, slow)?;
            if let Some(reason) = reason {
                event_loop.counters().fell_back(reason);
            }
            Ok(place.insert(Box::new(reader)))
        }
    }
}

/// Looks for bytes in the page cache, and counts that.
pub(super) fn look(event_loop: &LoopHandle, file: &File, (offset, len): (u64, usize)) -> Looked {
    let counters = event_loop.counters();
    let on_probe = || counters.sendfile_probes.add(1);
    let looked = prefetch::look(file, offset, len, on_probe);
    if matches!(looked, Looked::Missing | Looked::Partly(_)) {
        counters.sendfile_misses.add(1);
    }
    looked
}

/// Counts a call of sendfile.
pub(super) fn count_call(event_loop: &LoopHandle, answer: &Answer) {
    let counters = event_loop.counters();
    counters.sendfile_calls.add(1);
    if let Answer::WouldBlock = answer {
        counters.sendfile_would_block.add(1);
    }
}
