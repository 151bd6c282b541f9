//! What to do next, given what came of what was done: the transfer without its system calls.
//!
//! ```text
//!              ┌────────────── size asked for ◀───────────┐
//!              ▼                                           │ all that was known is sent; or, where no size was
//!  begin ──▶ Learn ──▶ Send ───────────────────────────────┘ asked for, anything but "all of it"
//!              │        │ │ ▲
//!              │        │ │ └── writable, or a turn later ── Parked, Yielding
//!              │        │ └──── EAGAIN, or a budget spent ──────▲
//!              │        │                                       │
//!              │        │ not available, or 0 with bytes owed   │
//!              ▼        ▼                                       │
//!              └──▶  Read ──▶ Drain ◀───────────────────────────┘
//!                      ▲         │
//!                      └─────────┘ the block is sent
//!  Done from everywhere: all sent, the file's end, an error
//! ```
//!
//! Where the bytes go from, and how far they are, is the [`Plan`]'s. The driver does what [`Machine::step`] says and tells what
//! came of it; it decides nothing.

use std::io;
use std::mem;
use std::ops::Range;

use super::plan::{Ask, Plan, Size};
use crate::error::SendfileNotAvailableError;

/// How many bytes one transfer moves before it lets others run: some 0.6 ms on loopback. nginx has 2 MiB too
/// (`sendfile_max_chunk`).
const BUDGET: u64 = 2 << 20;

/// How the bytes go: by sendfile, or out of a block that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Path {
    Native,
    Fallback,
}

#[derive(Debug)]
enum State {
    Learn,
    Send,
    /// The socket is full, and the poller will say when it is not. Reached by an EAGAIN and nothing else.
    Parked(Path),
    /// The budget is spent: the others' turn.
    Yielding(Path),
    Read,
    /// Part of a block is in memory and not sent.
    Drain,
    /// With the error that ended it, until that is fetched.
    Done(Option<io::Error>),
}

/// What the driver is to do.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Ask for the size and the kind of the file, then [`Machine::learned`].
    Learn,
    /// Call sendfile, then [`Machine::answered`].
    Send { offset: u64, len: usize },
    /// Wait until the socket is writable, then [`Machine::begin_turn`].
    Wait,
    /// Let others run, then [`Machine::begin_turn`].
    Yield,
    /// Read into the block, then [`Machine::filled`].
    Read { offset: u64, len: usize },
    /// Send this part of the block, then [`Machine::answered`].
    Drain(Range<usize>),
    /// It has ended; [`Machine::result`] says how.
    End,
}

/// What a system call said.
#[derive(Debug)]
pub(super) enum Answer {
    Sent(usize),
    /// Nothing, without an error.
    Nothing,
    WouldBlock,
    Interrupted,
    /// Not with this file and this socket.
    NotAvailable(i32),
    /// The offset is beyond what the file's system can hold.
    BeyondAllFiles,
    Failed(io::Error),
}

/// What the file says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) size: u64,
    /// Whether its bytes are in the page cache, so that sendfile can be asked.
    pub(super) cached: bool,
}

#[derive(Debug)]
pub(super) struct Machine {
    plan: Plan,
    state: State,
    fallback: bool,
    /// The part of the block that is read and not sent.
    block: Range<usize>,
    /// Bytes moved since others could run.
    spent: u64,
}

impl Machine {
    pub(super) fn new(plan: Plan, fallback: bool) -> Machine {
        let state = match plan.ask() {
            Ask::Size | Ask::Growth => State::Learn,
            Ask::Bytes(_) => State::Send,
            Ask::Nothing => State::Done(None),
        };
        Machine {
            plan,
            state,
            fallback,
            block: 0..0,
            spent: 0,
        }
    }

    /// Where the file's position belongs if the transfer ends here.
    pub(super) fn position(&self) -> u64 {
        self.plan.position()
    }

    /// Whether bytes may still move.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    pub(super) fn step(&self) -> Step {
        let offset = self.plan.position();
        match (&self.state, self.plan.ask(), self.plan.block()) {
            (State::Done(_), _, _) => Step::End,
            (State::Learn, _, _) => Step::Learn,
            (State::Parked(_), _, _) => Step::Wait,
            (State::Yielding(_), _, _) => Step::Yield,
            (State::Send, Ask::Bytes(len), _) => Step::Send { offset, len },
            (State::Read, _, Some(len)) => Step::Read { offset, len },
            (State::Drain, _, _) => Step::Drain(self.block.clone()),
            (State::Send | State::Read, _, _) => {
                unreachable!("these states are left when all is sent")
            }
        }
    }

    /// The bytes sent, or the error that ended it, once.
    pub(super) fn result(&mut self) -> io::Result<u64> {
        match mem::replace(&mut self.state, State::Done(None)) {
            State::Done(Some(error)) => Err(error),
            _ => Ok(self.plan.sent()),
        }
    }

    /// Others could run: the budget is whole again, and what waited goes on, if it waited for a turn or the socket is writable.
    pub(super) fn begin_turn(&mut self, writable: bool) {
        self.spent = 0;
        let path = match self.state {
            State::Yielding(path) => path,
            State::Parked(path) if writable => path,
            _ => return,
        };
        self.state = match path {
            // The budget may have ended just where the file was known to.
            Path::Native if !matches!(self.plan.ask(), Ask::Bytes(_)) => State::Learn,
            Path::Native => State::Send,
            Path::Fallback => State::Drain,
        };
    }

    /// Bytes moved since the others could run.
    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    /// After [`Step::Learn`].
    pub(super) fn learned(&mut self, facts: io::Result<Facts>) {
        match facts {
            Err(error) => self.state = State::Done(Some(error)),
            Ok(facts) => {
                self.plan.learn(facts.size);
                match facts.cached {
                    _ if self.plan.is_past_end() => self.state = State::Done(None),
                    true => self.state = State::Send,
                    false => self.not_available(None),
                }
            }
        }
    }

    /// After [`Step::Send`] and [`Step::Drain`].
    pub(super) fn answered(&mut self, answer: Answer) {
        let path = self.path();
        let unasked = path == Path::Native && self.plan.size() == Size::Unasked;
        match answer {
            Answer::Interrupted => {}
            Answer::Failed(error) => self.state = State::Done(Some(error)),
            Answer::Sent(sent) => self.advance(path, sent),
            // What it means depends on the size: past the end it is the end. And where nobody asked what kind of file it is, it
            // may be the file that would block.
            _ if unasked => self.state = State::Learn,
            Answer::WouldBlock => self.state = State::Parked(path),
            Answer::BeyondAllFiles => self.state = State::Done(None),
            Answer::NotAvailable(errno) => self.not_available(Some(errno)),
            Answer::Nothing => self.nothing(path),
        }
    }

    /// After [`Step::Read`]: so many bytes are in the block.
    pub(super) fn filled(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => self.state = State::Done(None),
            Ok(len) => {
                self.block = 0..len;
                self.state = State::Drain;
            }
            Err(error) => self.state = State::Done(Some(error)),
        }
    }

    fn path(&self) -> Path {
        match self.state {
            State::Drain => Path::Fallback,
            _ => Path::Native,
        }
    }

    fn advance(&mut self, path: Path, sent: usize) {
        self.plan.advance(sent);
        self.spent += sent as u64;
        if path == Path::Fallback {
            self.block.start += sent;
        }
        let all = matches!(self.plan.ask(), Ask::Nothing);
        let next = match path {
            _ if all => State::Done(None),
            Path::Fallback if self.block.is_empty() => State::Read,
            _ if self.spent >= BUDGET => State::Yielding(path),
            Path::Fallback => State::Drain,
            Path::Native if matches!(self.plan.ask(), Ask::Bytes(_)) && !self.is_unasked() => {
                State::Send
            }
            Path::Native => State::Learn,
        };
        self.state = next;
    }

    fn is_unasked(&self) -> bool {
        self.plan.size() == Size::Unasked
    }

    fn not_available(&mut self, errno: Option<i32>) {
        self.state = if self.fallback {
            State::Read
        } else {
            State::Done(Some(SendfileNotAvailableError::new(errno).into()))
        };
    }

    /// Nothing was sent, with bytes owed. Of a file it means that it ends here: it was truncated, or its size was not true. One
    /// read makes sure, where reading is allowed; nothing is tried again.
    fn nothing(&mut self, path: Path) {
        self.state = match path {
            Path::Native if self.fallback => State::Read,
            Path::Native => State::Done(None),
            Path::Fallback => State::Done(Some(io::ErrorKind::WriteZero.into())),
        };
    }
}

#[cfg(test)]
mod tests;
