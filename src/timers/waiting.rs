//! The timers that wait, in order.
//!
//! Most programs have few delays and use each of them many times: one for idle connections, one for requests. Timers of one delay
//! are made in the order in which they are due. So each joins a lane at whose end it belongs, and costs no search; what belongs at
//! no lane's end goes to a heap.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Instant;

use super::Due;

/// How many delays are in lanes at once. Each is looked at whenever the next timer is asked for.
const LANES: usize = 4;

pub(super) struct Timer {
    pub(super) when: Instant,
    /// Which was made first, among equal deadlines.
    pub(super) number: u64,
    pub(super) due: Due,
}

impl Timer {
    fn is_before(&self, other: &Timer) -> bool {
        (self.when, self.number) < (other.when, other.number)
    }
}

impl Ord for Timer {
    /// The earliest is the greatest: the standard heap gives the greatest first.
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
pub(super) struct Waiting {
    /// Each in order.
    lanes: [VecDeque<Timer>; LANES],
    heap: BinaryHeap<Timer>,
}

/// Where the earliest timer is.
#[derive(Clone, Copy)]
enum Place {
    Lane(usize),
    Heap,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum::<usize>() + self.heap.len()
    }

    pub(super) fn push(&mut self, timer: Timer) {
        match self.lane(&timer) {
            Some(lane) => lane.push_back(timer),
            None => self.heap.push(timer),
        }
    }

    /// The lane at whose end the timer belongs: the one that ends latest, so that those which end earlier stay open for
    /// earlier ones, and an empty one if there is no other.
    fn lane(&mut self, timer: &Timer) -> Option<&mut VecDeque<Timer>> {
        let mut best: Option<(usize, Option<Instant>)> = None;
        for (n, lane) in self.lanes.iter().enumerate() {
            let end = lane.back().map(|last| last.when);
            if end <= Some(timer.when) && best.is_none_or(|(_, latest)| end > latest) {
                best = Some((n, end));
            }
        }
        best.map(|(n, _)| &mut self.lanes[n])
    }

    fn first(&self) -> Option<(Place, &Timer)> {
        let mut first = self.heap.peek().map(|timer| (Place::Heap, timer));
        for (n, lane) in self.lanes.iter().enumerate() {
            if let Some(timer) = lane.front() {
                if first.is_none_or(|(_, before)| timer.is_before(before)) {
                    first = Some((Place::Lane(n), timer));
                }
            }
        }
        first
    }

    /// The earliest, where `wanted` says so of it.
    pub(super) fn pop_if(&mut self, wanted: impl FnOnce(&Timer) -> bool) -> Option<Timer> {
        let (place, timer) = self.first()?;
        if !wanted(timer) {
            return None;
        }
        match place {
            Place::Lane(n) => self.lanes[n].pop_front(),
            Place::Heap => self.heap.pop(),
        }
    }

    pub(super) fn peek(&self) -> Option<&Timer> {
        self.first().map(|(_, timer)| timer)
    }

    /// Drops those of which `keep` says no, and the room that they leave, but for a few more.
    pub(super) fn retain(&mut self, keep: impl Fn(&Timer) -> bool, few: usize) {
        for lane in &mut self.lanes {
            lane.retain(&keep);
            lane.shrink_to(lane.len() * 2 + few);
        }
        self.heap.retain(&keep);
        self.heap.shrink_to(self.heap.len() * 2 + few);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Timer> {
        self.lanes.iter().flatten().chain(&self.heap)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::ready::Call;

    /// Pushes timers of these delays, and gives the order in which they come out.
    fn order(delays: impl IntoIterator<Item = u64>) -> (Vec<u64>, Waiting) {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        for (number, delay) in delays.into_iter().enumerate() {
            waiting.push(Timer {
                when: start + Duration::from_millis(delay),
                number: number as u64,
                due: Due::Callback(Rc::new(Call::new(|| {}))),
            });
        }
        let mut numbers = Vec::new();
        while let Some(timer) = waiting.pop_if(|_| true) {
            numbers.push(timer.number);
        }
        (numbers, waiting)
    }

    fn sorted(delays: &[u64]) -> Vec<u64> {
        let mut numbers: Vec<u64> = (0..delays.len() as u64).collect();
        numbers.sort_by_key(|number| delays[*number as usize]);
        numbers
    }

    #[test]
    fn whatever_the_lanes_the_order_is_by_deadline_and_then_by_age() {
        let mut random = 1_u64;
        for size in [1, 2, 5, 100, 1000] {
            let delays: Vec<u64> = std::iter::repeat_with(|| {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                random >> 33 & 63
            })
            .take(size)
            .collect();
            assert_eq!(order(delays.iter().copied()).0, sorted(&delays));
        }
    }

    #[test]
    fn as_many_delays_as_there_are_lanes_need_no_heap() {
        let delays: Vec<u64> = (0..1000)
            .map(|n| [5, 9000, 700, 60_000][n % 4] + n as u64)
            .collect();
        let (numbers, waiting) = order(delays.iter().copied());
        assert_eq!(numbers, sorted(&delays));
        assert_eq!(waiting.heap.capacity(), 0);
    }
}
