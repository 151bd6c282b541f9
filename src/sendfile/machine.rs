//! The state machine of one transfer. It chooses the next action from the outcomes so far, and
//! makes no system call.
//!
//! ```text
//! begin ──▶ Stat ──▶ SendHeader ──▶ Send ◀──▶ Stat       all known bytes are sent
//!                        │            │
//!                        │            │  not available, or 0 bytes sent with bytes owed
//!                        ▼            ▼
//!                        └────────▶ Read ◀──▶ SendBlock  the block is sent
//!
//! SendHeader, Send, SendBlock ◀──▶ Parked    after an EAGAIN, until the socket is writable
//! SendHeader, Send, SendBlock ◀──▶ Yielding  after a step, until the next iteration
//! Read ──▶ Send                              the executor takes no work
//! every state ──▶ Done                       the last byte, the end of the file, or an error
//! ```
//!
//! - Without a header, the machine skips `SendHeader`. If one call can send the whole count, and
//!   the caller allows the fallback, it skips the first `Stat`.
//! - [`Plan`] knows which bytes are owed. After a step's bytes or calls, other tasks run.
//! - The header comes before the first byte of the file, and after the first [`Action::Stat`]. So a
//!   transfer that fails at the stat sends no header. The header of an empty file does not announce
//!   more bytes.
//! - The driver does each [`Machine::action`] and reports the outcome. It decides nothing.

use std::io;
use std::mem;
use std::ops::Range;

use super::Options;
use super::native::SendOutcome;
use super::plan::{MAX_PER_CALL, Next, Plan};
use crate::error::SendfileNotAvailableError;
use crate::event_loop::Fallback;

/// The bytes after which a step ends, about 0.6 ms on loopback.
///
/// nginx uses 2 MiB too (`sendfile_max_chunk`).
const MAX_BYTES_PER_STEP: u64 = 2 << 20;

/// The most calls of one step, even if each call moves little.
///
/// With chunks of one byte, the limit on bytes alone would allow two million calls.
const MAX_CALLS_PER_STEP: u32 = 128;

/// The next action of the driver.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// Send this part of the header, then call [`Machine::on_outcome`].
    ///
    /// With `more`, bytes of the file follow.
    SendHeader { part: Range<usize>, more: bool },
    /// Get size and kind of the file, then call [`Machine::on_stat`].
    ///
    /// Without `sync`, the kernel returns the metadata that it has, and queries no server.
    Stat { sync: bool },
    /// Send this range once the page cache has it, then call [`Machine::on_outcome`].
    ///
    /// As far as the machine knows, the owed bytes end at `owed_until`.
    Send { range: Range<u64>, owed_until: u64 },
    /// Read this range into the block, then call [`Machine::on_block`].
    Read(Range<u64>),
    /// Send this part of the block, then call [`Machine::on_outcome`].
    SendBlock(Range<usize>),
    /// Wait until the socket is writable, then call [`Machine::begin_step`].
    Wait,
    /// Let other tasks run, then call [`Machine::begin_step`].
    Yield,
    /// Take the [`Machine::result`].
    Finish,
}

/// The source of the next bytes to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SendSource {
    Header,
    File,
    Block,
}

#[derive(Debug)]
enum MachineState {
    /// The size comes next.
    Stat,
    /// The next bytes come from the [`SendSource`], or the transfer ends.
    Moving,
    /// The socket is full. Only an EAGAIN leads here, as the poller reports only edges.
    Parked,
    /// The step is over, and other tasks run first.
    Yielding,
    /// The error that ended the transfer, until the driver takes it.
    Done(Option<io::Error>),
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) plan: Plan,
    state: MachineState,
    may_fall_back: bool,
    /// True if the transfer probes the page cache before it sends.
    prefetch: bool,
    /// The reason why the transfer uses the fallback, or `None` if it does not.
    pub(super) fallback_reason: Option<Fallback>,
    /// The part of the header that is not sent.
    header: Range<usize>,
    /// True if the kernel holds back the header's end until file bytes follow.
    pub(super) is_held_back: bool,
    /// The part of the block that is read and not sent.
    block: Range<usize>,
    /// The bytes and the calls since other tasks could run.
    pub(super) step_bytes: u64,
    step_calls: u32,
}

impl Machine {
    #[inline]
    pub(super) fn new(plan: Plan, options: &Options<'_>) -> Machine {
        let state = match plan.next() {
            Next::Size => MachineState::Stat,
            // Without the fallback, the machine sends nothing, not even a header, before a stat.
            Next::Bytes { .. } if !options.fallback => MachineState::Stat,
            Next::Nothing if options.header.is_empty() => MachineState::Done(None),
            Next::Bytes { .. } | Next::Nothing => MachineState::Moving,
        };
        Machine {
            plan,
            state,
            may_fall_back: options.fallback,
            prefetch: options.prefetch,
            fallback_reason: None,
            header: 0..options.header.len(),
            is_held_back: false,
            block: 0..0,
            step_bytes: 0,
            step_calls: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, MachineState::Done(_))
    }

    pub(super) fn action(&self) -> Action {
        let stat = Action::Stat { sync: self.is_size_final() };
        match self.state {
            MachineState::Done(_) => Action::Finish,
            MachineState::Stat => stat,
            MachineState::Parked => Action::Wait,
            MachineState::Yielding => Action::Yield,
            MachineState::Moving => match (self.source(), self.plan.next()) {
                (SendSource::Header, _) => Action::SendHeader {
                    part: self.header.start
                        ..self.header.end.min(self.header.start + MAX_PER_CALL as usize),
                    more: self.file_follows(),
                },
                (SendSource::Block, _) if !self.block.is_empty() => {
                    Action::SendBlock(self.block.clone())
                }
                (_, Next::Nothing) => Action::Finish,
                (SendSource::Block, _) => Action::Read(self.plan.block_after(0)),
                (SendSource::File, Next::Size) => stat,
                (SendSource::File, Next::Bytes { range, owed_until }) => {
                    Action::Send { range, owed_until }
                }
            },
        }
    }

    /// Returns the bytes sent, or the error that ended the transfer (once).
    pub(super) fn result(&mut self) -> io::Result<u64> {
        match mem::replace(&mut self.state, MachineState::Done(None)) {
            MachineState::Done(Some(error)) => Err(error),
            _ => Ok(self.plan.sent()),
        }
    }

    /// Begins a step, after other tasks could run.
    ///
    /// A yielding transfer continues. A parked one continues if the socket is writable.
    pub(super) fn begin_step(&mut self, is_writable: bool) {
        (self.step_bytes, self.step_calls) = (0, 0);
        let is_yielding = matches!(self.state, MachineState::Yielding);
        if is_yielding || is_writable && matches!(self.state, MachineState::Parked) {
            self.state = MachineState::Moving;
        }
    }

    /// Takes the outcome of [`Action::Stat`], unless it is an error.
    ///
    /// `is_cached` means that sendfile can send the file, as its bytes are in the page cache or
    /// come into it.
    pub(super) fn on_stat(&mut self, size: u64, is_cached: bool) {
        let is_final = self.is_size_final();
        self.plan.size = Some(size);
        match self.plan.is_past_end() {
            // The kernel queried no server, so the file may have grown.
            true if !is_final => {}
            true if self.header.is_empty() => self.state = MachineState::Done(None),
            false if !is_cached => self.use_fallback(Fallback::Uncached),
            _ => self.state = MachineState::Moving,
        }
    }

    /// Takes the outcome of [`Action::SendHeader`], [`Action::Send`] or [`Action::SendBlock`].
    pub(super) fn on_outcome(&mut self, outcome: SendOutcome) {
        let is_file = self.source() == SendSource::File;
        match outcome {
            SendOutcome::Interrupted => {}
            SendOutcome::Failed(error) => self.fail(error),
            SendOutcome::Sent(sent) => self.advance(sent),
            // The size decides: past the end, each of these outcomes is the end. A device that has
            // no data at the moment would block too, until the stat shows the kind of the file.
            _ if is_file && self.plan.size.is_none() => self.state = MachineState::Stat,
            SendOutcome::WouldBlock => self.state = MachineState::Parked,
            SendOutcome::NotAvailable(errno) => self.use_fallback(Fallback::Refused(errno)),
            SendOutcome::Nothing if !is_file => self.fail(io::ErrorKind::WriteZero.into()),
            // The file was truncated, or its size was wrong. If the caller allows the fallback, one
            // read finds the end. The machine retries nothing.
            SendOutcome::Nothing if self.may_fall_back => self.use_fallback(Fallback::Nothing),
            SendOutcome::Nothing | SendOutcome::PastEveryFile => {
                self.state = MachineState::Done(None);
            }
        }
    }

    /// Switches to the fallback, or fails if the caller does not allow it.
    ///
    /// The driver calls this instead of reporting an outcome of [`Action::Send`], if the loop's
    /// thread must not send the file.
    pub(super) fn use_fallback(&mut self, reason: Fallback) {
        if self.may_fall_back {
            self.fallback_reason = Some(reason);
            self.state = MachineState::Moving;
            return;
        }
        let errno = if let Fallback::Refused(errno) = reason { Some(errno) } else { None };
        self.fail(SendfileNotAvailableError { errno, sent: self.plan.sent() }.into());
    }

    /// Takes the outcome of [`Action::Read`], the number of bytes in the block.
    pub(super) fn on_block(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => self.state = MachineState::Done(None),
            Ok(len) => self.block = 0..len,
            Err(error) => self.fail(error),
        }
    }

    /// Takes the error of an [`Action::Read`] for which the executor takes no work.
    ///
    /// If the slow file system is the only reason for the read, sendfile sends the file after all.
    pub(super) fn on_no_reader(&mut self, error: io::Error) {
        match self.fallback_reason {
            Some(Fallback::NoAnswer) => (self.fallback_reason, self.prefetch) = (None, false),
            // sendfile sent no byte, and no read can confirm the end. So the file ends here.
            Some(Fallback::Nothing) => self.state = MachineState::Done(None),
            _ => self.fail(error),
        }
    }

    /// Returns the block to read during the send of this one, if reads may be slow.
    pub(super) fn next_block(&self) -> Option<Range<u64>> {
        let is_slow = self.fallback_reason == Some(Fallback::NoAnswer);
        let is_sending = matches!(self.state, MachineState::Moving) && !self.block.is_empty();
        let next = || self.plan.block_after(self.block.len());
        (is_slow && is_sending).then(next).filter(|block| !block.is_empty())
    }

    fn source(&self) -> SendSource {
        match self.fallback_reason {
            _ if !self.header.is_empty() => SendSource::Header,
            Some(_) => SendSource::Block,
            None => SendSource::File,
        }
    }

    /// Returns whether bytes of the file come after the header, as far as the machine knows.
    fn file_follows(&self) -> bool {
        self.fallback_reason.is_some() || matches!(self.plan.next(), Next::Bytes { .. })
    }

    fn advance(&mut self, sent: usize) {
        self.step_bytes += sent as u64;
        self.step_calls += 1;
        let is_step_over =
            self.step_bytes >= MAX_BYTES_PER_STEP || self.step_calls >= MAX_CALLS_PER_STEP;
        let source = self.source();
        match source {
            SendSource::Header => self.header.start += sent,
            SendSource::File => {}
            SendSource::Block => self.block.start += sent,
        }
        if source != SendSource::Header {
            self.plan.position += sent as u64;
        }
        self.is_held_back = source == SendSource::Header && self.file_follows();
        self.state = match self.plan.next() {
            Next::Nothing if self.header.is_empty() => MachineState::Done(None),
            // The machine yields before a read too. The read may be over already, and then nothing
            // else lets other tasks run.
            _ if is_step_over => MachineState::Yielding,
            // If there was no stat and a call sent less than the count, the file may end here.
            _ if source == SendSource::File && self.plan.size.is_none() => MachineState::Stat,
            Next::Size if source == SendSource::File => MachineState::Stat,
            _ => MachineState::Moving,
        };
    }

    /// Returns whether the transfer may end by the size of the next stat.
    ///
    /// The first stat only chooses between sendfile and the fallback. If only a server knows the
    /// size, the transfer reads the file to its end instead.
    fn is_size_final(&self) -> bool {
        !self.prefetch || self.plan.size.is_some()
    }

    /// Ends the transfer with an error.
    pub(super) fn fail(&mut self, error: io::Error) {
        self.state = MachineState::Done(Some(error));
    }
}

#[cfg(test)]
mod tests;
