//! Tasks in any order, under the private `--cfg sendloop_shuffle`: so that tests find who depends on the order in which tasks are
//! polled, which no program may.
//!
//! What a turn runs stays what it was, and callbacks and alarms stay in their order; where the tasks stand among them is
//! drawn anew for each turn. The environment variable `SENDLOOP_SHUFFLE` is the seed, a number; the same seed is the same order.

use std::cell::Cell;
use std::collections::VecDeque;
use std::env;

use super::Entry;

pub(super) struct Shuffle {
    state: Cell<u64>,
}

impl Shuffle {
    /// Each loop draws the same numbers, so that a test has the same order whatever ran before it.
    pub(super) fn from_environment() -> Shuffle {
        let seed = env::var("SENDLOOP_SHUFFLE").unwrap_or_else(|_| "0".to_owned());
        let seed = seed.parse().expect("SENDLOOP_SHUFFLE is a number");
        Shuffle {
            state: Cell::new(seed),
        }
    }

    pub(super) fn mix(&self, line: &mut VecDeque<Entry>) {
        let is_task = |entry: &Entry| matches!(entry, Entry::Task(_));
        let (mut tasks, mut others): (VecDeque<Entry>, VecDeque<Entry>) =
            line.drain(..).partition(is_task);
        while !tasks.is_empty() || !others.is_empty() {
            let drawn = self.below(tasks.len() + others.len());
            let task = tasks.swap_remove_back(drawn);
            line.extend(task.or_else(|| others.pop_front()));
        }
    }

    fn below(&self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// splitmix64: also neighbouring seeds have nothing in common.
    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}
