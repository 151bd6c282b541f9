//! What is known of the page cache: whether the next bytes may be sent by the loop's thread without a wait for the disk. Pure.
//!
//! ```text
//!   next ──▶ Look ── resident ──▶ Send ──▶ next
//!             │ ▲
//!     missing │ │ read in
//!             ▼ │
//!           ReadIn          where the file system answers no look, ReadIn ──▶ Send, each time
//! ```
//!
//! A look costs a system call or a few, so what it found counts for as long as nothing had time to change it: until the
//! transfer has to wait for the socket. Nothing of this is certain. A page may go between the look and the send, and then the loop
//! waits for the disk once.

use std::ops::Range;
use std::time::Duration;

/// How much is read in where the transfer waits for it: little, so that it goes on soon.
pub(super) const READ_IN: u64 = 256 << 10;

/// How much is read ahead of it, while it sends and while the socket drains.
const READ_AHEAD: u64 = 1 << 20;

/// How often the same bytes are read in before they are sent as they are: something takes them out again as fast.
const TRIES: u32 = 2;

/// How often in a row that may happen before looks are taken for useless. In seastar they broke unnoticed, and everything went
/// to the threads (scylladb/seastar#2974).
const FRUITLESS: u32 = 3;

/// For how long what was read in counts where no look can be taken.
const FRESH: Duration = Duration::from_millis(100);

/// How the page cache is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Not at all: the file lives in memory, or waiting for it is allowed.
    Never,
    Look,
    /// The file system does not answer: all is read in before it is sent.
    ReadIn,
}

/// What a look at the page cache said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Looked {
    /// So many bytes, at least one, can be read without a wait.
    Resident(u64),
    /// So many can, and what follows them cannot.
    Partly(u64),
    Missing,
    /// The file has no other place than memory.
    InMemory,
    NoAnswer,
}

impl Looked {
    /// Whether `len` bytes may be sent without another question.
    pub(super) fn covers(self, len: usize) -> bool {
        match self {
            Looked::Resident(found) => found >= len as u64,
            Looked::InMemory => true,
            Looked::Partly(_) | Looked::Missing | Looked::NoAnswer => false,
        }
    }
}

/// What is to be done before the next bytes are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Nothing: so many can go.
    Send(u64),
    /// At so many at most.
    Look(u64),
    /// So many are to be read in, by another thread.
    ReadIn(u64),
}

#[derive(Debug)]
pub(super) struct Residency {
    way: Way,
    /// Offsets that need no question.
    clear: Range<u64>,
    /// From where the last look found nothing to the byte that it asked for, until that is read in. No look goes there before: the
    /// byte itself came in by the look, and would be taken for all of it.
    unread: Range<u64>,
    tries: u32,
    fruitless: u32,
    /// The file had to be read in, and what follows probably has to be too.
    cold: bool,
}

impl Residency {
    pub(super) fn new(prefetch: bool) -> Residency {
        Residency {
            way: if prefetch { Way::Look } else { Way::Never },
            clear: 0..0,
            unread: 0..0,
            tries: 0,
            fruitless: 0,
            cold: false,
        }
    }

    /// What comes before the sending of `len` bytes from `position` on.
    pub(super) fn next(&self, position: u64, len: u64) -> Next {
        match self.way {
            Way::Never => Next::Send(len),
            _ if self.clear.contains(&position) => Next::Send(len.min(self.clear.end - position)),
            Way::Look if self.unread.is_empty() => Next::Look(u64::MAX),
            Way::Look if position < self.unread.start => Next::Look(self.unread.start - position),
            Way::Look | Way::ReadIn => Next::ReadIn(READ_IN),
        }
    }

    /// After [`Next::Look`] at `position`.
    pub(super) fn looked(&mut self, position: u64, looked: Looked) {
        match looked {
            Looked::Resident(len) => self.found(position, len),
            Looked::Partly(len) => {
                self.found(position, len);
                self.miss(position + len);
                self.tries = 1;
            }
            Looked::Missing if self.tries < TRIES => {
                self.miss(position);
                self.tries += 1;
            }
            Looked::Missing => self.found_nothing_again(position),
            Looked::InMemory => self.way = Way::Never,
            Looked::NoAnswer => {
                self.way = Way::ReadIn;
                self.cold = true;
            }
        }
    }

    fn found(&mut self, position: u64, len: u64) {
        self.clear = position..position + len;
        if self.tries > 0 {
            self.fruitless = 0;
        }
        self.tries = 0;
    }

    fn miss(&mut self, from: u64) {
        self.unread = from..from + READ_IN;
        self.cold = true;
    }

    fn found_nothing_again(&mut self, position: u64) {
        self.clear = position..position + READ_IN;
        self.tries = 0;
        self.fruitless += 1;
        if self.fruitless == FRUITLESS {
            log::warn!("what was read in is not in the page cache; it is no longer looked at");
            self.way = Way::ReadIn;
        }
    }

    /// These offsets were read in; `cold` where they had not been in memory before.
    pub(super) fn read_in(&mut self, range: Range<u64>, cold: bool) {
        if range.contains(&self.unread.start) {
            self.unread.start = range.end;
        }
        self.cold = cold;
        if self.way != Way::ReadIn {
            return;
        }
        let joins = !self.clear.is_empty() && range.start <= self.clear.end;
        let start = if joins { self.clear.start } else { range.start };
        self.clear = start..range.end;
    }

    /// Nobody can read in any more.
    pub(super) fn give_up(&mut self) {
        self.way = Way::Never;
    }

    /// The transfer has waited: what was there may be gone.
    pub(super) fn waited(&mut self, time: Duration) {
        if self.way == Way::Look || time > FRESH {
            self.clear = 0..0;
        }
    }

    /// What to read in while the bytes at `position` are sent, where `asked` is how far that was asked for before.
    pub(super) fn ahead(&self, position: u64, asked: u64) -> Option<Range<u64>> {
        let start = asked.max(self.clear.end).max(position);
        let wanted = self.way != Way::Never && self.cold && start < position + READ_AHEAD;
        wanted.then(|| start..start + READ_AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const LOOK: Next = Next::Look(u64::MAX);

    fn asking() -> Residency {
        Residency::new(true)
    }

    #[test]
    fn without_prefetch_nothing_is_asked() {
        let residency = Residency::new(false);
        assert_eq!(residency.next(7, 10), Next::Send(10));
        assert_eq!(residency.ahead(7, 0), None);
    }

    #[test]
    fn what_is_resident_is_sent_without_another_look_until_it_had_to_wait() {
        let mut residency = asking();
        assert_eq!(residency.next(0, MIB), LOOK);
        residency.looked(0, Looked::Resident(MIB));
        assert_eq!(residency.next(0, MIB), Next::Send(MIB));
        assert_eq!(residency.next(MIB - 5, MIB), Next::Send(5));
        assert_eq!(residency.next(MIB, MIB), LOOK);
        residency.waited(Duration::ZERO);
        assert_eq!(residency.next(5, MIB), LOOK);
        assert_eq!(residency.ahead(0, 0), None, "nothing was cold");
    }

    #[test]
    fn what_is_missing_is_read_in_and_looked_at_again() {
        let mut residency = asking();
        residency.looked(9, Looked::Missing);
        assert_eq!(residency.next(9, MIB), Next::ReadIn(READ_IN));
        residency.read_in(9..9 + READ_IN, true);
        assert_eq!(residency.next(9, MIB), LOOK);
        residency.looked(9, Looked::Resident(READ_IN));
        assert_eq!(residency.next(9, MIB), Next::Send(READ_IN));
    }

    #[test]
    fn what_a_look_did_not_find_is_read_in_before_it_is_looked_at_again() {
        let mut residency = asking();
        residency.looked(0, Looked::Partly(READ_IN));
        assert_eq!(residency.next(0, MIB), Next::Send(READ_IN));
        assert_eq!(residency.ahead(0, 0), Some(READ_IN..READ_IN + MIB));
        residency.waited(Duration::ZERO);
        assert_eq!(residency.next(9, MIB), Next::Look(READ_IN - 9));
        residency.looked(9, Looked::Resident(READ_IN - 9));
        assert_eq!(residency.next(9, MIB), Next::Send(READ_IN - 9));
        assert_eq!(residency.next(READ_IN, MIB), Next::ReadIn(READ_IN));
        residency.read_in(5 * MIB..6 * MIB, true);
        assert_eq!(residency.next(READ_IN, MIB), Next::ReadIn(READ_IN));
        // It ends before the byte that was looked at.
        residency.read_in(0..READ_IN + 5, true);
        assert_eq!(residency.next(READ_IN, MIB), Next::Look(5));
        residency.looked(READ_IN, Looked::Resident(5));
        assert_eq!(residency.next(READ_IN + 5, MIB), Next::ReadIn(READ_IN));
        residency.read_in(READ_IN + 5..2 * READ_IN + 5, true);
        assert_eq!(residency.next(READ_IN + 5, MIB), LOOK);
    }

    #[test]
    fn the_same_bytes_are_read_in_three_times_at_most() {
        let mut residency = asking();
        residency.looked(0, Looked::Partly(READ_IN));
        residency.waited(Duration::ZERO);
        residency.looked(9, Looked::Resident(READ_IN - 9));
        let mut times = 0;
        while let Next::ReadIn(len) = residency.next(READ_IN, MIB) {
            times += 1;
            residency.read_in(READ_IN..READ_IN + len, true);
            residency.looked(READ_IN, Looked::Missing);
        }
        assert_eq!(times, 3);
        assert_eq!(residency.next(READ_IN, MIB), Next::Send(READ_IN));
    }

    #[test]
    fn what_stays_missing_is_sent_all_the_same_and_looks_end_where_they_never_help() {
        let mut residency = asking();
        for round in 0..u64::from(FRUITLESS) {
            let at = round * READ_IN;
            for _ in 0..TRIES {
                assert_eq!(residency.next(at, MIB), LOOK);
                residency.looked(at, Looked::Missing);
                residency.read_in(at..at + READ_IN, true);
            }
            residency.looked(at, Looked::Missing);
            assert_eq!(residency.next(at, MIB), Next::Send(READ_IN));
        }
        assert_eq!(residency.next(5 * MIB, MIB), Next::ReadIn(READ_IN));
    }

    #[test]
    fn one_look_that_helped_forgives_those_that_did_not() {
        let mut residency = asking();
        for round in 0..10 {
            for _ in 0..TRIES {
                residency.looked(round, Looked::Missing);
                residency.read_in(round..round + 1, true);
            }
            let last = [Looked::Missing, Looked::Resident(1)][round as usize % 2];
            residency.looked(round, last);
        }
        assert_eq!(residency.way, Way::Look);
    }

    #[test]
    fn without_an_answer_all_is_read_in_before_it_is_sent() {
        let mut residency = asking();
        residency.looked(0, Looked::NoAnswer);
        assert_eq!(residency.next(0, MIB), Next::ReadIn(READ_IN));
        residency.read_in(0..READ_IN, true);
        assert_eq!(residency.next(0, MIB), Next::Send(READ_IN));
        assert_eq!(residency.ahead(0, 0), Some(READ_IN..READ_IN + MIB));
        residency.read_in(READ_IN..READ_IN + MIB, true);
        assert_eq!(residency.next(READ_IN - 1, MIB), Next::Send(MIB));
        residency.waited(Duration::from_millis(1));
        assert_eq!(residency.next(READ_IN, MIB), Next::Send(MIB));
        residency.waited(Duration::from_secs(1));
        assert_eq!(residency.next(READ_IN, MIB), Next::ReadIn(READ_IN));
    }

    #[test]
    fn a_file_in_memory_is_not_asked_about_again() {
        let mut residency = asking();
        residency.looked(0, Looked::InMemory);
        assert_eq!(residency.next(5 * MIB, 9), Next::Send(9));
    }

    #[test]
    fn reading_ahead_stays_a_bounded_way_ahead_and_ends_where_all_was_there() {
        let mut residency = asking();
        residency.looked(0, Looked::Missing);
        residency.read_in(0..READ_IN, true);
        residency.looked(0, Looked::Resident(READ_IN));
        let first = residency.ahead(0, READ_IN).expect("it is cold");
        assert_eq!(first, READ_IN..READ_IN + MIB);
        assert_eq!(residency.ahead(0, first.end), None, "far enough");
        residency.read_in(first, false);
        assert_eq!(residency.ahead(MIB, READ_IN + MIB), None, "it was there");
    }

    #[test]
    fn without_threads_it_is_sent_as_it_is() {
        let mut residency = asking();
        residency.looked(0, Looked::Missing);
        residency.give_up();
        assert_eq!(residency.next(0, 3), Next::Send(3));
    }
}
