//! What to do next, given what came of what was done: the transfer without its system calls.
//!
//! ```text
//!                         ┌──────── size asked for ◀─────────┐
//!                         ▼                                   │ all that was known is sent; or, where no size was
//!  begin ──▶ Header ──▶ Learn ──▶ Send ───────────────────────┘ asked for, anything but "all of it"
//!                         │       │ │ ▲
//!                         │       │ │ └── writable, or a turn later ── Parked, Yielding
//!                         │       │ └──── EAGAIN, or a budget spent ──────▲
//!                         │       │                                       │
//!                         │       │ not available, or 0 with bytes owed   │
//!                         ▼       ▼                                       │
//!                         └──▶  Read ──▶ Drain ◀──────────────────────────┘
//!                                ▲         │
//!                                └─────────┘ the block is sent
//!  Done from everywhere: all sent, the file's end, an error
//! ```
//!
//! A header comes before the first byte of the file, however that is sent, and after the file was asked for its size and kind
//! where that is asked: so a transfer that is not available sends no header, and one of nothing does not say that more will
//! follow. It parks and yields as the file's bytes do; and where nothing was to follow, the size is asked for once more behind it.
//!
//! Where the bytes go from, and how far they are, is the [`Plan`]'s. Whether the next ones are in the page cache is the
//! [`Residency`]'s, which makes of a send a look or a reading in first. The driver does what [`Machine::step`] says and tells
//! what came of it; it decides nothing.

use std::io;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use super::plan::{Ask, MOST_PER_CALL, Plan, Size};
use super::residency::{Looked, Next, READ_IN, Residency};
use super::share::Share;
use super::steps::{Answer, Facts, Step, Wishes};
use crate::error::SendfileNotAvailableError;
use crate::event_loop::Fallback;

/// What is sent: the header, the file by sendfile, or a block that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Path {
    Header(Then),
    Native,
    Fallback,
}

/// What comes behind the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Native,
    Fallback,
    End,
}

#[derive(Debug)]
enum State {
    Header(Then),
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

#[derive(Debug)]
pub(super) struct Machine {
    plan: Plan,
    residency: Residency,
    state: State,
    fallback: bool,
    prefetch: bool,
    reason: Option<Fallback>,
    /// The part of the header that is not sent.
    header: Range<usize>,
    /// The last bytes that went are the header's, with the word that more would follow.
    held_back: bool,
    /// The part of the block that is read and not sent.
    block: Range<usize>,
    share: Share,
}

impl Machine {
    pub(super) fn new(plan: Plan, wishes: Wishes) -> Machine {
        let mut machine = Machine {
            plan,
            residency: Residency::new(wishes.prefetch),
            state: State::Learn,
            fallback: wishes.fallback,
            prefetch: wishes.prefetch,
            reason: None,
            header: 0..wishes.header,
            held_back: false,
            block: 0..0,
            share: Share::default(),
        };
        match machine.plan.ask() {
            Ask::Size | Ask::Growth => {}
            // Without the fallback nothing may go, no header either, before it is clear that sendfile serves the file.
            Ask::Bytes(_) if !wishes.fallback => {}
            Ask::Bytes(_) => machine.go(Then::Native),
            Ask::Nothing => machine.go(Then::End),
        }
        machine
    }

    /// Where the file's position belongs if the transfer ends here.
    pub(super) fn position(&self) -> u64 {
        self.plan.position()
    }

    /// The file's bytes sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.plan.sent()
    }

    /// Whether bytes may still move.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Whether it lets others run, and waits for nothing.
    pub(super) fn is_yielding(&self) -> bool {
        matches!(self.state, State::Yielding(_))
    }

    /// Why it reads and sends, where it does.
    pub(super) fn reason(&self) -> Option<Fallback> {
        self.reason
    }

    /// Whether the kernel still waits for bytes behind the header that will not come.
    pub(super) fn is_held_back(&self) -> bool {
        self.held_back
    }

    pub(super) fn step(&self) -> Step {
        let offset = self.plan.position();
        match (&self.state, self.plan.ask(), self.plan.block()) {
            (State::Done(_), _, _) => Step::End,
            (State::Header(then), _, _) => Step::Header {
                part: self.header_part(),
                more: *then != Then::End,
            },
            (State::Learn, _, _) => Step::Learn {
                certain: self.is_certain(),
            },
            (State::Parked(_), _, _) => Step::Wait,
            (State::Yielding(_), _, _) => Step::Yield,
            (State::Send, Ask::Bytes(len), _) => match self.residency.next(offset, len as u64) {
                Next::Send(len) => Step::Send {
                    offset,
                    len: len as usize,
                },
                // Steps smaller than what one look can tell of are not looked at one by one.
                Next::Look(most) => self.look(offset, (len as u64).max(READ_IN).min(most)),
                Next::ReadIn(len) => Step::ReadIn(self.within(offset..offset + len)),
            },
            (State::Read, _, Some(len)) => Step::Read { offset, len },
            (State::Drain, _, _) => Step::Drain(self.block.clone()),
            (State::Send | State::Read, _, _) => {
                unreachable!("these states are left when all is sent")
            }
        }
    }

    fn look(&self, offset: u64, len: u64) -> Step {
        let range = self.within(offset..offset + len);
        let len = (range.end - range.start) as usize;
        Step::Look { offset, len }
    }

    /// What to have read in while the next bytes are sent; `asked` is how far that was asked for before.
    pub(super) fn read_ahead(&self, asked: u64) -> Option<Range<u64>> {
        let range = self.residency.ahead(self.plan.position(), asked)?;
        let range = self.within(range);
        (!range.is_empty()).then_some(range)
    }

    fn within(&self, range: Range<u64>) -> Range<u64> {
        range.start..range.end.min(self.plan.expected_end())
    }

    /// The bytes sent, or the error that ended it, once.
    pub(super) fn result(&mut self) -> io::Result<u64> {
        match mem::replace(&mut self.state, State::Done(None)) {
            State::Done(Some(error)) => Err(error),
            _ => Ok(self.plan.sent()),
        }
    }

    /// Others could run, for as long as `waited`: the budget is whole again, and what waited goes on, if it waited for a turn or
    /// the socket is writable.
    pub(super) fn begin_turn(&mut self, writable: bool, waited: Duration) {
        self.share = Share::default();
        let path = match self.state {
            State::Yielding(path) => path,
            State::Parked(path) if writable => {
                self.residency.waited(waited);
                path
            }
            _ => return,
        };
        self.state = match path {
            Path::Header(then) => State::Header(then),
            // The budget may have ended just where the file was known to.
            Path::Native if !matches!(self.plan.ask(), Ask::Bytes(_)) => State::Learn,
            Path::Native => State::Send,
            Path::Fallback if self.block.is_empty() => State::Read,
            Path::Fallback => State::Drain,
        };
    }

    /// Bytes moved since the others could run.
    pub(super) fn spent(&self) -> u64 {
        self.share.bytes()
    }

    /// After [`Step::Learn`].
    pub(super) fn learned(&mut self, facts: io::Result<Facts>) {
        match facts {
            Err(error) => self.state = State::Done(Some(error)),
            Ok(facts) => {
                let certain = self.is_certain();
                self.plan.learn(facts.size);
                match facts.cached {
                    // It may have grown.
                    _ if self.plan.is_past_end() && !certain => {}
                    _ if self.plan.is_past_end() => self.go(Then::End),
                    true => self.go(Then::Native),
                    false => self.not_available(None),
                }
            }
        }
    }

    /// After [`Step::Look`].
    pub(super) fn looked(&mut self, looked: Looked) {
        match looked {
            // Not even a reading in makes such a file safe to send: FUSE's may keep no pages, and NFS asks its server whether
            // they still hold.
            Looked::NoAnswer if self.fallback => return self.fall_back(Fallback::NoAnswer),
            // With O_DIRECT it would be missing for ever.
            Looked::Missing if self.is_unasked() => self.state = State::Learn,
            _ => {}
        }
        self.residency.looked(self.plan.position(), looked);
    }

    /// After [`Step::ReadIn`], and for what was read ahead: `cold` where it had not been in memory.
    pub(super) fn read_in(&mut self, range: Range<u64>, cold: bool) {
        self.residency.read_in(range, cold);
    }

    /// After [`Step::ReadIn`], where nobody can read in.
    pub(super) fn cannot_read_in(&mut self) {
        self.residency.give_up();
    }

    /// After [`Step::Header`], [`Step::Send`] and [`Step::Drain`].
    pub(super) fn answered(&mut self, answer: Answer) {
        let path = self.path();
        match answer {
            Answer::Interrupted => {}
            Answer::Failed(error) => self.state = State::Done(Some(error)),
            Answer::Sent(sent) => self.advance(path, sent),
            // What it means depends on the size: past the end it is the end. And where nobody asked what kind of file it is, it
            // may be the file that would block.
            _ if path == Path::Native && self.is_unasked() => self.state = State::Learn,
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

    /// After [`Step::Read`], where nobody can read. A file that was read only so that nothing waits for it is sendfile's after all.
    pub(super) fn cannot_read(&mut self, error: io::Error) {
        if self.reason != Some(Fallback::NoAnswer) {
            self.state = State::Done(Some(error));
            return;
        }
        self.reason = None;
        self.residency.give_up();
        self.state = match self.plan.ask() {
            Ask::Bytes(_) => State::Send,
            _ => State::Learn,
        };
    }

    /// What to read while the block is sent, and from where on: of a file whose reads may take any time.
    pub(super) fn next_block(&self) -> Option<(u64, usize)> {
        let reads_ahead = self.reason == Some(Fallback::NoAnswer);
        let sends = matches!(self.state, State::Drain);
        (reads_ahead && sends).then(|| self.plan.block_behind(self.block.len()))?
    }

    fn path(&self) -> Path {
        match self.state {
            State::Header(then) => Path::Header(then),
            State::Drain => Path::Fallback,
            _ => Path::Native,
        }
    }

    /// Goes on with the file, or ends; behind the header where that is not sent.
    fn go(&mut self, then: Then) {
        self.state = match then {
            _ if !self.header.is_empty() => State::Header(then),
            Then::Native => State::Send,
            Then::Fallback => State::Read,
            Then::End => State::Done(None),
        };
    }

    fn advance(&mut self, path: Path, sent: usize) {
        self.share.spend(sent);
        if let Path::Header(then) = path {
            return self.advance_header(then, sent);
        }
        self.held_back = false;
        self.plan.advance(sent);
        if path == Path::Fallback {
            self.block.start += sent;
        }
        let all = matches!(self.plan.ask(), Ask::Nothing);
        let next = match path {
            _ if all => State::Done(None),
            // Also before a read: it may have been made ahead, and then nothing else would let the others run.
            _ if self.share.is_spent() => State::Yielding(path),
            Path::Fallback if self.block.is_empty() => State::Read,
            Path::Fallback => State::Drain,
            _ if matches!(self.plan.ask(), Ask::Bytes(_)) && !self.is_unasked() => State::Send,
            _ => State::Learn,
        };
        self.state = next;
    }

    fn advance_header(&mut self, then: Then, sent: usize) {
        self.header.start += sent;
        self.held_back = then != Then::End;
        if self.header.is_empty() {
            match then {
                // The header may have taken its time, and the file grown past its end meanwhile.
                Then::End if self.plan.ask() != Ask::Nothing => self.state = State::Learn,
                _ => self.go(then),
            }
        } else if self.share.is_spent() {
            self.state = State::Yielding(Path::Header(then));
        }
    }

    fn header_part(&self) -> Range<usize> {
        let most = MOST_PER_CALL as usize;
        self.header.start..self.header.end.min(self.header.start + most)
    }

    /// Whether the file's size must be what it is now. First it is asked for only to find out which way to go: a file that needs a
    /// server to tell is read, to its end. Nothing ends by such a size.
    fn is_certain(&self) -> bool {
        !self.prefetch || !self.is_unasked()
    }

    fn is_unasked(&self) -> bool {
        self.plan.size() == Size::Unasked
    }

    fn not_available(&mut self, errno: Option<i32>) {
        if self.fallback {
            return self.fall_back(errno.map_or(Fallback::Uncached, Fallback::Refused));
        }
        let error = SendfileNotAvailableError::new(errno, self.plan.sent());
        self.state = State::Done(Some(error.into()));
    }

    /// Nothing was sent, with bytes owed. Of a file it means that it ends here: it was truncated, or its size was not true. One
    /// read makes sure, where reading is allowed; nothing is tried again.
    fn nothing(&mut self, path: Path) {
        self.state = match path {
            Path::Native if self.fallback => return self.fall_back(Fallback::Nothing),
            Path::Native => State::Done(None),
            _ => State::Done(Some(io::ErrorKind::WriteZero.into())),
        };
    }

    fn fall_back(&mut self, reason: Fallback) {
        self.reason = Some(reason);
        self.go(Then::Fallback);
    }
}

#[cfg(test)]
mod tests;
