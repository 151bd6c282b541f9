//! Timer entries: callbacks and wakers with a deadline.
//!
//! Entries fire by deadline, and by creation if deadlines are equal.
//!
//! Cancelling an entry drops its callback at once. The entry itself, which is small, stays in the
//! queue until its deadline, or until half of the queue is cancelled. Then one sweep removes all
//! cancelled entries. So setting and cancelling are cheap, and cancelled entries do not accumulate.
//!
//! # The queue
//!
//! A bucket holds the entries of about one millisecond. So an insertion searches only for its
//! bucket. Even with a million entries, those of one bucket fit into the CPU's caches. Most entries
//! need no sorting, because a program uses few different delays, and entries of one delay arrive in
//! order.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::{drop_bounded, wake};
use crate::exceptions::Exceptions;
use crate::nesting::Kind;
use crate::run_queue::Callback;
use crate::slots::{Key, Slots};

/// The number of cancelled entries from which a sweep is worth it, as in asyncio.
const MIN_SWEEP: usize = 100;

/// The action of a timer entry.
pub(crate) enum Due {
    Callback(Rc<dyn Callback>),
    /// A waker, which [`Timers::fire`] wakes.
    Waker(Key),
}

#[derive(Default)]
pub(crate) struct Timers {
    queue: RefCell<TimerQueue>,
    /// The wakers of sleeps, with the location that set each one. `None` has fired.
    ///
    /// They are in an arena, so that a sleep does not allocate.
    wakers: RefCell<Slots<Option<(Waker, &'static Location<'static>)>>>,
    /// The number of entries in the queue that are cancelled.
    cancelled: Cell<usize>,
}

impl Timers {
    /// Adds an entry, which [`pop_due`](Timers::pop_due) returns from `when` on.
    pub(crate) fn add(&self, when: Instant, due: Due) {
        self.queue.borrow_mut().push(when, due);
    }

    /// Adds a waker, which [`pop_due`](Timers::pop_due) returns from `when` on.
    ///
    /// Unlike a callback, it needs no allocation.
    pub(crate) fn add_waker(
        &self,
        when: Instant,
        waker: Waker,
        location: &'static Location<'static>,
    ) -> Key {
        let key = self.wakers.borrow_mut().insert(Some((waker, location)));
        self.add(when, Due::Waker(key));
        key
    }

    /// Is ready if the entry has fired. If not, it keeps `waker` instead of its present one.
    pub(crate) fn poll_fired(&self, entry: Key, waker: &Waker) -> Poll<()> {
        // Cloning and dropping a waker may run foreign code, so nothing is borrowed then.
        let mut waker = waker.clone();
        match self.wakers.borrow_mut().get_mut(entry) {
            Some(Some((present, _))) => mem::swap(present, &mut waker),
            _ => return Poll::Ready(()),
        }
        Poll::Pending
    }

    /// Wakes the waker of an entry that [`pop_due`](Timers::pop_due) returned.
    pub(crate) fn fire(&self, entry: Key) {
        let fired = self.wakers.borrow_mut().get_mut(entry).and_then(Option::take);
        if let Some((waker, _)) = fired {
            wake(waker);
        }
    }

    /// Removes the waker of an entry, whether it has fired or not.
    pub(crate) fn remove_waker(&self, entry: Key) {
        let removed = self.wakers.borrow_mut().remove(entry).flatten();
        if let Some((waker, _)) = removed {
            self.count_cancelled();
            drop_bounded(Kind::Drop, "while a waker was dropped", waker);
        }
    }

    /// Cancels a callback that [`add`](Timers::add) added.
    ///
    /// If its entry has left the queue, the count is one too high until the next sweep. That sweep
    /// then comes earlier, which is harmless.
    pub(crate) fn cancel(&self, callback: &dyn Callback) {
        if !callback.is_cancelled() {
            callback.cancel();
            self.count_cancelled();
        }
    }

    fn is_cancelled(&self, timer: &Timer) -> bool {
        match &timer.due {
            Due::Callback(callback) => callback.is_cancelled(),
            Due::Waker(key) => self.wakers.borrow().get(*key).is_none(),
        }
    }

    fn count_cancelled(&self) {
        let cancelled = self.cancelled.get() + 1;
        self.cancelled.set(cancelled);
        let mut queue = self.queue.borrow_mut();
        if cancelled >= MIN_SWEEP && cancelled * 2 >= queue.len {
            // Dropping these entries runs no user code, as cancelling dropped their callbacks.
            queue.retain(|timer| !self.is_cancelled(timer));
            self.cancelled.set(0);
        }
    }

    /// Returns the earliest deadline of the entries that are not cancelled.
    pub(crate) fn next(&self) -> Option<Instant> {
        let mut queue = self.queue.borrow_mut();
        while queue.pop_if(|timer| self.is_cancelled(timer)).is_some() {
            self.cancelled.set(self.cancelled.get().saturating_sub(1));
        }
        queue.peek().map(|timer| timer.when)
    }

    /// Returns the location in the program that set the next timer.
    pub(crate) fn next_location(&self) -> Option<&'static Location<'static>> {
        self.next()?;
        match &self.queue.borrow().peek()?.due {
            Due::Callback(callback) => Some(callback.location()),
            Due::Waker(key) => Some(self.wakers.borrow().get(*key)?.as_ref()?.1),
        }
    }

    /// Removes the earliest entry if it is due at `now`. It may be cancelled.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<Due> {
        let timer = self.queue.borrow_mut().pop_if(|timer| timer.when <= now)?;
        if self.cancelled.get() > 0 && self.is_cancelled(&timer) {
            self.cancelled.set(self.cancelled.get() - 1);
        }
        Some(timer.due)
    }

    /// Cancels all callbacks, and wakes all wakers. A closed loop adds no more.
    ///
    /// The woken tasks find the loop closed.
    pub(crate) fn close(&self, exceptions: &Exceptions) {
        let mut queue = self.queue.take();
        self.cancelled.set(0);
        // The destructors are user code, so nothing is borrowed while they run.
        while let Some(timer) = queue.pop_if(|_| true) {
            if let Due::Callback(callback) = timer.due {
                exceptions.contain("panic while a callback was dropped", || callback.cancel());
            }
        }
        // This includes the wakers that `pop_due` returned and that have not fired.
        let unfired: Vec<_> =
            self.wakers.borrow_mut().values_mut().filter_map(Option::take).collect();
        unfired.into_iter().for_each(|(waker, _)| wake(waker));
    }
}

/// The spare capacity, in entries, that a bucket keeps after a sweep.
const MAX_SPARE: usize = 128;

/// Returns the number of the bucket of a deadline, which is `after` the start. A bucket spans 2^20
/// ns. The last bucket also holds all later deadlines.
fn bucket(after: Duration) -> u64 {
    let seconds = after.as_secs().min(u64::MAX >> 10);
    seconds << 10 | u64::from(after.subsec_nanos() >> 20)
}

struct Timer {
    when: Instant,
    /// A number in the order of creation, which decides between equal deadlines.
    number: u64,
    due: Due,
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
struct TimerQueue {
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
    fn push(&mut self, when: Instant, due: Due) {
        let start = *self.start.get_or_insert_with(Instant::now);
        let spare = &mut self.spare;
        let bucket = self.buckets.entry(bucket(when.saturating_duration_since(start)));
        bucket.or_insert_with(|| mem::take(spare)).push(Timer { when, number: self.added, due });
        self.len += 1;
        self.added += 1;
    }

    fn peek(&self) -> Option<&Timer> {
        self.buckets.first_key_value()?.1.peek()
    }

    /// Removes and returns the earliest entry if `is_wanted` accepts it.
    fn pop_if(&mut self, is_wanted: impl FnOnce(&Timer) -> bool) -> Option<Timer> {
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
    fn retain(&mut self, is_kept: impl Fn(&Timer) -> bool) {
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
