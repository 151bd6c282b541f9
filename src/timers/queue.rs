//! Timer entries in order of deadline, and of creation for equal deadlines.
//!
//! A bucket holds the entries of about one millisecond. So an insertion searches only for its
//! bucket. Even with a million entries, those of one bucket fit into the CPU's caches. Most entries
//! need no sorting, because a program uses few different delays, and entries of one delay arrive in
//! order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use super::Due;

/// The spare capacity, in entries, that a bucket keeps after a sweep.
const MAX_SPARE: usize = 128;

/// Returns the number of the bucket of a deadline, which is `after` the start. A bucket spans 2^20
/// ns.
fn bucket(after: Duration) -> u64 {
    after.as_secs() << 10 | u64::from(after.subsec_nanos() >> 20)
}

pub(super) struct Timer {
    pub(super) when: Instant,
    /// A number in the order of creation, which decides between equal deadlines.
    pub(super) number: u64,
    pub(super) due: Due,
}

impl Ord for Timer {
    /// The earliest timer is the greatest, because `BinaryHeap` returns the greatest first.
    fn cmp(&self, other: &Timer) -> Ordering {
        (other.when, other.number).cmp(&(self.when, self.number))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Timer) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Timer) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timer {}

#[derive(Default)]
struct Bucket {
    /// Entries that arrived in the order of their deadlines.
    in_order: VecDeque<Timer>,
    /// All other entries.
    heap: BinaryHeap<Timer>,
}

impl Bucket {
    fn push(&mut self, timer: Timer) {
        match self.in_order.back() {
            Some(last) if timer.when < last.when => self.heap.push(timer),
            _ => self.in_order.push_back(timer),
        }
    }

    fn peek(&self) -> Option<&Timer> {
        // The greater timer is the earlier one, and `None` is less than any timer.
        self.in_order.front().max(self.heap.peek())
    }

    fn pop(&mut self) -> Option<Timer> {
        match self.in_order.front() > self.heap.peek() {
            true => self.in_order.pop_front(),
            false => self.heap.pop(),
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&Timer) -> bool) {
        self.in_order.retain(&is_kept);
        self.in_order.shrink_to(self.in_order.len() * 2 + MAX_SPARE);
        self.heap.retain(&is_kept);
        self.heap.shrink_to(self.heap.len() * 2 + MAX_SPARE);
    }

    fn len(&self) -> usize {
        self.in_order.len() + self.heap.len()
    }
}

#[derive(Default)]
pub(super) struct TimerQueue {
    /// The start of the first bucket, which also holds all earlier deadlines. It is the time of the
    /// first insertion.
    start: Option<Instant>,
    buckets: BTreeMap<u64, Bucket>,
    /// An empty bucket. The next new bucket reuses its memory.
    spare: Bucket,
    len: usize,
    /// The number of entries that were ever added.
    added: u64,
}

impl TimerQueue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, when: Instant, due: Due) {
        let start = *self.start.get_or_insert_with(Instant::now);
        let spare = &mut self.spare;
        let bucket = self.buckets.entry(bucket(when.saturating_duration_since(start)));
        bucket.or_insert_with(|| mem::take(spare)).push(Timer { when, number: self.added, due });
        self.len += 1;
        self.added += 1;
    }

    pub(super) fn peek(&self) -> Option<&Timer> {
        self.buckets.first_key_value()?.1.peek()
    }

    /// Removes and returns the earliest entry if `is_wanted` accepts it.
    pub(super) fn pop_if(&mut self, is_wanted: impl FnOnce(&Timer) -> bool) -> Option<Timer> {
        let mut first = self.buckets.first_entry()?;
        if !is_wanted(first.get().peek()?) {
            return None;
        }
        let timer = first.get_mut().pop();
        if first.get().len() == 0 {
            self.spare = first.remove();
        }
        self.len -= 1;
        timer
    }

    /// Drops the entries for which `is_kept` returns false.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Timer) -> bool) {
        self.buckets.retain(|_, bucket| {
            bucket.retain(&is_kept);
            let is_empty = bucket.len() == 0;
            if is_empty {
                self.spare = mem::take(bucket);
            }
            !is_empty
        });
        self.len = self.buckets.values().map(Bucket::len).sum();
    }
}

#[cfg(test)]
mod tests;
