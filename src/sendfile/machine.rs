//! The state machine of one transfer: the next action, given the outcomes so far. It makes no
//! system call.
//!
//! ```text
//!  begin ──▶ SendHeader ──▶ Stat ──▶ Send ──▶ Stat: all known bytes are sent, the file may have grown
//!                            │       │  ▲
//!                            │       │  └── writable, or the next iteration ── Parked, Yielding
//!                            │       │                                          ▲         ▲
//!                            │       └── EAGAIN, or the budget is spent ────────┘         │
//!                            │       │                                                    │
//!                            │       │ not available, or 0 with bytes owed                │
//!                            ▼       ▼                                                    │
//!                            └──▶  Read ──▶ SendBlock ── EAGAIN, or the budget is spent ──┘
//!                                   ▲          │
//!                                   └──────────┘ the block is sent
//!  Done: from every state, by the last byte, the end of the file, or an error
//! ```
//!
//! - [`Plan`] knows which bytes are owed, [`Budget`] when other tasks run.
//! - The header comes before the first byte of the file, and after a [`Action::Stat`] if there is
//!   one. So a transfer that is not available sends no header, and the header of an empty file does
//!   not announce more bytes. The header parks and yields as the file's bytes do.
//! - The driver does what [`Machine::action`] returns and reports the outcome. It decides nothing.

use std::io;
use std::mem;
use std::ops::Range;

use super::native::{Outcome, Stat};
use super::plan::{MAX_PER_CALL, Next, Plan};
use crate::error::SendfileNotAvailableError;
use crate::event_loop::Fallback;

/// How many bytes one step moves: about 0.6 ms on loopback. nginx has 2 MiB too
/// (`sendfile_max_chunk`).
const MAX_BYTES_PER_STEP: u64 = 2 << 20;

/// How many calls one step makes, however little each one moves: with chunks of one byte, the bytes
/// alone would allow two million calls.
const MAX_CALLS_PER_STEP: u32 = 128;

/// What a transfer has done since other tasks could run.
#[derive(Debug, Default)]
struct Budget {
    bytes: u64,
    calls: u32,
}

impl Budget {
    fn consume(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.calls += 1;
    }

    fn is_spent(&self) -> bool {
        self.bytes >= MAX_BYTES_PER_STEP || self.calls >= MAX_CALLS_PER_STEP
    }
}

/// What the caller asked for, beside the file's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachineOptions {
    pub(super) fallback: bool,
    /// The transfer asks the page cache before it sends.
    pub(super) prefetch: bool,
    /// The length of the header.
    pub(super) header: usize,
}

/// What the driver does next.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// Send this part of the header, then report to [`Machine::on_outcome`]. With `more`, bytes of
    /// the file follow.
    SendHeader { part: Range<usize>, more: bool },
    /// Ask for size and kind of the file, then report to [`Machine::on_stat`]. Without `sync`, no
    /// server is asked.
    Stat { sync: bool },
    /// Send this range by sendfile once the page cache has it, then report to
    /// [`Machine::on_outcome`]. All that is owed ends at `owed_until`, as far as one knows now.
    Send { range: Range<u64>, owed_until: u64 },
    /// Read this range into the block, then report to [`Machine::on_block`].
    Read(Range<u64>),
    /// Send this part of the block, then report to [`Machine::on_outcome`].
    SendBlock(Range<usize>),
    /// Wait until the socket is writable, then call [`Machine::begin_step`].
    Wait,
    /// Let other tasks run, then call [`Machine::begin_step`].
    Yield,
    /// Take the [`Machine::result`].
    Finish,
}

/// Where the bytes come from that are being sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Header(After),
    File,
    Block,
}

/// What comes after the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Send,
    Read,
    Nothing,
}

#[derive(Debug)]
enum State {
    SendHeader(After),
    Stat,
    Send {
        range: Range<u64>,
        owed_until: u64,
    },
    /// The socket is full. Reached only by an EAGAIN, as the poller reports only edges.
    Parked(Source),
    /// The budget is spent: other tasks run first.
    Yielding(Source),
    Read(Range<u64>),
    /// A part of the block is in memory and not sent.
    SendBlock,
    /// The error that ended the transfer, until the driver takes it.
    Done(Option<io::Error>),
}

#[derive(Debug)]
pub(super) struct Machine {
    plan: Plan,
    state: State,
    options: MachineOptions,
    reason: Option<Fallback>,
    /// The part of the header that is not sent.
    header: Range<usize>,
    /// The last bytes sent are the header's, with the promise that more follow.
    is_held_back: bool,
    /// The part of the block that is read and not sent.
    block: Range<usize>,
    budget: Budget,
}

impl Machine {
    pub(super) fn new(plan: Plan, options: MachineOptions) -> Machine {
        let mut machine = Machine {
            plan,
            state: State::Stat,
            options,
            reason: None,
            header: 0..options.header,
            is_held_back: false,
            block: 0..0,
            budget: Budget::default(),
        };
        match machine.plan.next() {
            Next::Size => {}
            // Without the fallback nothing may be sent, no header either, before it is clear that
            // sendfile can send the file.
            Next::Bytes { .. } if !options.fallback => {}
            Next::Bytes { .. } => machine.proceed(After::Send),
            Next::Nothing => machine.proceed(After::Nothing),
        }
        machine
    }

    /// Where the file's position belongs if the transfer ends here.
    pub(super) fn position(&self) -> u64 {
        self.plan.position()
    }

    /// How many of the file's bytes are sent.
    pub(super) fn sent(&self) -> u64 {
        self.plan.sent()
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Whether the transfer lets others run and waits for nothing.
    pub(super) fn is_yielding(&self) -> bool {
        matches!(self.state, State::Yielding(_))
    }

    /// Why the transfer reads and sends, if it does.
    pub(super) fn reason(&self) -> Option<Fallback> {
        self.reason
    }

    /// Whether the kernel holds the header's end back for bytes of the file.
    pub(super) fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// How many bytes moved since other tasks could run.
    pub(super) fn spent(&self) -> u64 {
        self.budget.bytes
    }

    pub(super) fn action(&self) -> Action {
        match &self.state {
            State::Done(_) => Action::Finish,
            State::SendHeader(after) => Action::SendHeader {
                part: self.header_part(),
                more: *after != After::Nothing,
            },
            State::Stat => Action::Stat {
                sync: self.is_size_final(),
            },
            State::Parked(_) => Action::Wait,
            State::Yielding(_) => Action::Yield,
            State::Send { range, owed_until } => Action::Send {
                range: range.clone(),
                owed_until: *owed_until,
            },
            State::Read(range) => Action::Read(range.clone()),
            State::SendBlock => Action::SendBlock(self.block.clone()),
        }
    }

    /// The bytes sent, or the error that ended the transfer, once.
    pub(super) fn result(&mut self) -> io::Result<u64> {
        match mem::replace(&mut self.state, State::Done(None)) {
            State::Done(Some(error)) => Err(error),
            _ => Ok(self.plan.sent()),
        }
    }

    /// Other tasks could run: the budget is whole again. A yielding transfer goes on, and a parked
    /// one if the socket is writable.
    pub(super) fn begin_step(&mut self, is_writable: bool) {
        self.budget = Budget::default();
        let source = match self.state {
            State::Yielding(source) => source,
            State::Parked(source) if is_writable => source,
            _ => return,
        };
        self.state = match source {
            Source::Header(after) => State::SendHeader(after),
            Source::File => self.send_or_stat(),
            Source::Block => self.send_block_or_read(),
        };
    }

    /// After [`Action::Stat`].
    pub(super) fn on_stat(&mut self, stat: io::Result<Stat>) {
        let stat = match stat {
            Ok(stat) => stat,
            Err(error) => return self.fail(error),
        };
        let is_final = self.is_size_final();
        self.plan.set_size(stat.size);
        match stat.is_cached {
            // It may have grown, says a server that was not asked.
            _ if self.plan.is_past_end() && !is_final => {}
            _ if self.plan.is_past_end() => self.proceed(After::Nothing),
            true => self.proceed(After::Send),
            false => self.on_not_available(None),
        }
    }

    /// After [`Action::SendHeader`], [`Action::Send`] and [`Action::SendBlock`].
    pub(super) fn on_outcome(&mut self, outcome: Outcome) {
        let source = self.source();
        match outcome {
            Outcome::Interrupted => {}
            Outcome::Failed(error) => self.fail(error),
            Outcome::Sent(sent) => self.advance(source, sent),
            // The size decides what it means: past the end it is the end. And a device that has
            // nothing at the moment would block too, until the kind of the file is known.
            _ if source == Source::File && self.plan.is_size_unasked() => self.state = State::Stat,
            Outcome::WouldBlock => self.state = State::Parked(source),
            Outcome::PastEveryFile => self.state = State::Done(None),
            Outcome::NotAvailable(errno) => self.on_not_available(Some(errno)),
            Outcome::Nothing => self.on_nothing_sent(source),
        }
    }

    /// Instead of an outcome of [`Action::Send`]: the file must not be sent by the loop's thread.
    pub(super) fn use_fallback(&mut self, reason: Fallback) {
        match self.options.fallback {
            true => self.fall_back(reason),
            false => self.on_not_available(None),
        }
    }

    /// After [`Action::Read`]: the block has this many bytes.
    pub(super) fn on_block(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => self.state = State::Done(None),
            Ok(len) => {
                self.block = 0..len;
                self.state = State::SendBlock;
            }
            Err(error) => self.fail(error),
        }
    }

    /// After [`Action::Read`], if the executor takes no work. A file that is read only because its
    /// file system is slow is sent by sendfile after all.
    pub(super) fn on_no_reader(&mut self, error: io::Error) {
        if self.reason != Some(Fallback::NoAnswer) {
            return self.fail(error);
        }
        self.reason = None;
        self.options.prefetch = false;
        self.state = self.send_or_stat();
    }

    /// The block to read while this one is sent, if reads may take any time.
    pub(super) fn next_block(&self) -> Option<Range<u64>> {
        let is_slow = self.reason == Some(Fallback::NoAnswer);
        let is_sending = matches!(self.state, State::SendBlock);
        (is_slow && is_sending).then(|| self.plan.block_after(self.block.len()))?
    }

    fn source(&self) -> Source {
        match self.state {
            State::SendHeader(after) => Source::Header(after),
            State::SendBlock => Source::Block,
            _ => Source::File,
        }
    }

    /// Goes on with the header, if there is one, and else with what comes after it.
    fn proceed(&mut self, after: After) {
        self.state = match after {
            _ if !self.header.is_empty() => State::SendHeader(after),
            After::Send => self.send_or_stat(),
            After::Read => self.send_block_or_read(),
            After::Nothing => State::Done(None),
        };
    }

    /// Sends what is known to be in the file, or asks for its size: all that was known is sent.
    fn send_or_stat(&self) -> State {
        match self.plan.next() {
            Next::Bytes { range, owed_until } => State::Send { range, owed_until },
            Next::Size => State::Stat,
            Next::Nothing => State::Done(None),
        }
    }

    fn send_block_or_read(&self) -> State {
        match self.plan.next_block() {
            _ if !self.block.is_empty() => State::SendBlock,
            Some(range) => State::Read(range),
            None => State::Done(None),
        }
    }

    fn advance(&mut self, source: Source, sent: usize) {
        self.budget.consume(sent);
        if let Source::Header(after) = source {
            return self.advance_header(after, sent);
        }
        self.is_held_back = false;
        if source == Source::Block {
            self.block.start += sent;
        }
        self.state = match (source, self.plan.advance(sent)) {
            (_, Next::Nothing) => State::Done(None),
            // Also before a read: it may have been made already, and then nothing else would let
            // the others run.
            _ if self.budget.is_spent() => State::Yielding(source),
            (Source::Block, _) => self.send_block_or_read(),
            (_, Next::Bytes { range, owed_until }) => State::Send { range, owed_until },
            (_, Next::Size) => State::Stat,
        };
    }

    fn advance_header(&mut self, after: After, sent: usize) {
        self.header.start += sent;
        self.is_held_back = after != After::Nothing;
        if self.header.is_empty() {
            match after {
                // The header may have taken its time, and the file may have grown meanwhile.
                After::Nothing if self.plan.next() != Next::Nothing => self.state = State::Stat,
                _ => self.proceed(after),
            }
        } else if self.budget.is_spent() {
            self.state = State::Yielding(Source::Header(after));
        }
    }

    fn header_part(&self) -> Range<usize> {
        let max = MAX_PER_CALL as usize;
        self.header.start..self.header.end.min(self.header.start + max)
    }

    /// Whether the transfer may end by the size that the next stat returns. The first one only
    /// chooses the way: if a server must be asked for the size, the transfer reads the file to its
    /// end instead.
    fn is_size_final(&self) -> bool {
        !self.options.prefetch || !self.plan.is_size_unasked()
    }

    fn on_not_available(&mut self, errno: Option<i32>) {
        if self.options.fallback {
            return self.fall_back(errno.map_or(Fallback::Uncached, Fallback::Refused));
        }
        self.fail(SendfileNotAvailableError::new(errno, self.plan.sent()).into());
    }

    /// The call sent nothing although bytes are owed: the file was truncated, or its size was not
    /// true. One read makes sure, if the fallback is allowed. Nothing is tried again.
    fn on_nothing_sent(&mut self, source: Source) {
        match source {
            Source::File if self.options.fallback => self.fall_back(Fallback::Nothing),
            Source::File => self.state = State::Done(None),
            _ => self.fail(io::ErrorKind::WriteZero.into()),
        }
    }

    fn fall_back(&mut self, reason: Fallback) {
        self.reason = Some(reason);
        self.proceed(After::Read);
    }

    fn fail(&mut self, error: io::Error) {
        self.state = State::Done(Some(error));
    }
}

#[cfg(test)]
mod tests;
