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

use super::native::{SendOutcome, Stat};
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

/// The caller's options, apart from the range of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachineOptions {
    pub(super) fallback: bool,
    /// True if the transfer probes the page cache before it sends.
    pub(super) prefetch: bool,
    /// The length of the header.
    pub(super) header: usize,
}

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
    plan: Plan,
    state: MachineState,
    options: MachineOptions,
    fallback_reason: Option<Fallback>,
    /// The part of the header that is not sent.
    header: Range<usize>,
    /// The last bytes sent are the header's, and the kernel expects more.
    is_held_back: bool,
    /// The part of the block that is read and not sent.
    block: Range<usize>,
    /// The bytes and the calls since other tasks could run.
    step_bytes: u64,
    step_calls: u32,
}

impl Machine {
    pub(super) fn new(plan: Plan, options: MachineOptions) -> Machine {
        let mut machine = Machine {
            plan,
            state: MachineState::Stat,
            options,
            fallback_reason: None,
            header: 0..options.header,
            is_held_back: false,
            block: 0..0,
            step_bytes: 0,
            step_calls: 0,
        };
        let needs_stat = match machine.plan.next() {
            Next::Size => true,
            // Without the fallback, the machine sends nothing, not even a header, before a stat.
            Next::Bytes { .. } => !options.fallback,
            Next::Nothing => false,
        };
        if !needs_stat {
            machine.state = MachineState::Moving;
        }
        machine
    }

    /// Returns the file's position if the transfer ends here.
    pub(super) fn position(&self) -> u64 {
        self.plan.position()
    }

    /// Returns the number of file bytes sent.
    pub(super) fn sent(&self) -> u64 {
        self.plan.sent()
    }

    pub(super) fn is_done(&self) -> bool {
        self.action() == Action::Finish
    }

    /// Returns whether the transfer lets other tasks run and waits for nothing else.
    pub(super) fn is_yielding(&self) -> bool {
        matches!(self.state, MachineState::Yielding)
    }

    /// Returns why the transfer uses the fallback, or `None` if it does not.
    pub(super) fn fallback_reason(&self) -> Option<Fallback> {
        self.fallback_reason
    }

    /// Returns whether the kernel holds back the header's end until file bytes follow.
    pub(super) fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// Returns the number of bytes sent since other tasks could run.
    pub(super) fn consumed_bytes(&self) -> u64 {
        self.step_bytes
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
        match self.state {
            MachineState::Yielding => self.state = MachineState::Moving,
            MachineState::Parked if is_writable => self.state = MachineState::Moving,
            _ => {}
        }
    }

    /// Takes the outcome of [`Action::Stat`].
    pub(super) fn on_stat(&mut self, stat: io::Result<Stat>) {
        let stat = match stat {
            Ok(stat) => stat,
            Err(error) => return self.fail(error),
        };
        let is_final = self.is_size_final();
        self.plan.set_size(stat.size);
        let is_past_end = self.plan.is_past_end();
        if is_past_end && !is_final {
            // The kernel queried no server, so the file may have grown.
            return;
        }
        if is_past_end && self.header.is_empty() {
            self.state = MachineState::Done(None);
        } else if is_past_end || stat.is_cached {
            self.state = MachineState::Moving;
        } else {
            self.on_not_available(None);
        }
    }

    /// Takes the outcome of [`Action::SendHeader`], [`Action::Send`] or [`Action::SendBlock`].
    pub(super) fn on_outcome(&mut self, outcome: SendOutcome) {
        let source = self.source();
        match outcome {
            SendOutcome::Interrupted => {}
            SendOutcome::Failed(error) => self.fail(error),
            SendOutcome::Sent(sent) => self.advance(sent),
            // The size decides: past the end, each of these outcomes is the end. A device that has
            // no data at the moment would block too, until the stat shows the kind of the file.
            _ if source == SendSource::File && self.plan.is_size_unqueried() => {
                self.state = MachineState::Stat
            }
            SendOutcome::WouldBlock => self.state = MachineState::Parked,
            SendOutcome::PastEveryFile => self.state = MachineState::Done(None),
            SendOutcome::NotAvailable(errno) => self.on_not_available(Some(errno)),
            SendOutcome::Nothing => self.on_nothing_sent(),
        }
    }

    /// Switches to the fallback if the loop's thread must not send the file.
    ///
    /// The driver calls this instead of reporting an outcome of [`Action::Send`].
    pub(super) fn use_fallback(&mut self, reason: Fallback) {
        match self.options.fallback {
            true => self.fall_back(reason),
            false => self.on_not_available(None),
        }
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
            Some(Fallback::NoAnswer) => {}
            // sendfile sent no byte, and no read can confirm the end. So the file ends here.
            Some(Fallback::Nothing) => return self.state = MachineState::Done(None),
            _ => return self.fail(error),
        }
        self.fallback_reason = None;
        self.options.prefetch = false;
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
        let next = match source {
            SendSource::Header => self.plan.next(),
            SendSource::File | SendSource::Block => self.plan.advance(sent),
        };
        match source {
            SendSource::Header => self.header.start += sent,
            SendSource::Block => self.block.start += sent,
            SendSource::File => {}
        }
        self.is_held_back = source == SendSource::Header && self.file_follows();
        self.state = match next {
            Next::Nothing if self.header.is_empty() => MachineState::Done(None),
            // The machine yields before a read too. The read may be over already, and then nothing
            // else lets other tasks run.
            _ if is_step_over => MachineState::Yielding,
            Next::Size if source == SendSource::File => MachineState::Stat,
            _ => MachineState::Moving,
        };
    }

    /// Returns whether the transfer may end by the size of the next stat.
    ///
    /// The first stat only chooses between sendfile and the fallback. If only a server knows the
    /// size, the transfer reads the file to its end instead.
    fn is_size_final(&self) -> bool {
        !self.options.prefetch || !self.plan.is_size_unqueried()
    }

    fn on_not_available(&mut self, errno: Option<i32>) {
        if self.options.fallback {
            return self.fall_back(errno.map_or(Fallback::Uncached, Fallback::Refused));
        }
        self.fail(SendfileNotAvailableError { errno, sent: self.plan.sent() }.into());
    }

    /// Handles a call that sent nothing although bytes are owed.
    ///
    /// The file was truncated, or its size was wrong. If the caller allows the fallback, one read
    /// finds the end. The machine retries nothing.
    fn on_nothing_sent(&mut self) {
        match self.source() {
            SendSource::File if self.options.fallback => self.fall_back(Fallback::Nothing),
            SendSource::File => self.state = MachineState::Done(None),
            _ => self.fail(io::ErrorKind::WriteZero.into()),
        }
    }

    fn fall_back(&mut self, reason: Fallback) {
        self.fallback_reason = Some(reason);
        self.state = MachineState::Moving;
    }

    fn fail(&mut self, error: io::Error) {
        self.state = MachineState::Done(Some(error));
    }
}

#[cfg(test)]
mod tests;
