//! Counts the situations that the cases reached.
//!
//! The test fails if the generator no longer reaches one of them.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};

use sendloop::Stats;

use crate::model::case::Transfer;
use crate::model::writers::{End, Op};
use crate::util::FORCED_FALLBACK;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Situation {
    /// A transfer that had bytes to send succeeded.
    Succeeded,
    /// The file ended before the count of the transfer.
    Short,
    /// The transfer was cancelled after it had sent some bytes of the file.
    Cancelled,
    /// The transfer was cancelled before the whole header was sent.
    CancelledInHeader,
    /// The transfer failed after the peer's reset.
    Lost,
    /// The arguments of the transfer are invalid.
    Refused,
    /// The file became shorter than the bytes already sent.
    Cut,
    /// The file became longer.
    Grown,
    FellBack,
    /// The socket was full.
    Full,
    /// The transfer used up the budget.
    Yielded,
    /// An executor thread prefetched a missing range.
    Prefetched,
    /// The fallback was not allowed and would have been needed.
    Unsupported,
}

use Situation::*;

/// The situations that every machine reaches come first, also without sendfile(2). The others need
/// Linux's sendfile(2) and files on a disk.
const ALL: [Situation; 13] = [
    Succeeded,
    Short,
    Cancelled,
    CancelledInHeader,
    Lost,
    Refused,
    Cut,
    Grown,
    FellBack,
    Full,
    Yielded,
    Prefetched,
    Unsupported,
];
const EXPECTED: usize = if cfg!(target_os = "linux") && !FORCED_FALLBACK { 12 } else { 9 };

static MET: [AtomicU64; ALL.len()] = [const { AtomicU64::new(0) }; ALL.len()];

pub(crate) fn met(situation: Situation, times: u64) {
    MET[situation as usize].fetch_add(times, Ordering::Relaxed);
}

/// Returns all situations and how often each was reached.
pub(crate) fn report() -> String {
    let all = ALL.iter().zip(&MET);
    let each =
        all.map(|(situation, times)| format!("{situation:?} {}", times.load(Ordering::Relaxed)));
    each.collect::<Vec<_>>().join(", ")
}

/// Returns the first situation that was not reached, of those that this machine reaches.
pub(crate) fn missing() -> Option<Situation> {
    let mut expected = ALL.iter().zip(&MET).take(EXPECTED);
    let never = expected.find(|(_, times)| times.load(Ordering::Relaxed) == 0);
    never.map(|(situation, _)| *situation)
}

pub(crate) fn note_stats(before: &Stats, after: &Stats) {
    met(Full, after.sendfile_would_block - before.sendfile_would_block);
    met(Yielded, after.sendfile_yields - before.sendfile_yields);
    met(FellBack, after.sendfile_fallbacks - before.sendfile_fallbacks);
    met(Prefetched, after.sendfile_prefetches - before.sendfile_prefetches);
}

pub(crate) fn note_end(op: &Op<'_>, transfer: &Transfer) {
    let sent = op.meter.sent.get();
    match &op.end {
        Some(End::Returned(Ok(1..))) => {
            met(Succeeded, 1);
            met(Short, u64::from(transfer.count.is_some_and(|count| sent < count)));
        }
        Some(End::Returned(Err(error))) => match error.kind() {
            ErrorKind::InvalidInput => met(Refused, 1),
            ErrorKind::Unsupported => met(Unsupported, 1),
            _ => met(Lost, 1),
        },
        Some(End::Cancelled) if sent > 0 => met(Cancelled, 1),
        Some(End::Cancelled) if op.polls > 0 && transfer.header > 0 => met(CancelledInHeader, 1),
        _ => {}
    }
}
