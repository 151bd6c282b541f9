//! A random order of tasks, under the private `--cfg sendloop_shuffle`.
//!
//! No program may depend on the order in which tasks are polled, and this finds code that does.
//! Each iteration runs the same entries, and callbacks and timer wakers keep their order. The tasks
//! get random places among them. The environment variable `SENDLOOP_SHUFFLE` is the seed, a number.
//! One seed gives one order.

use std::cell::Cell;
use std::collections::VecDeque;
use std::env;

use super::Entry;

pub(super) struct Shuffle {
    state: Cell<u64>,
}

impl Shuffle {
    /// Reads the seed. Each loop starts from it, so a test's order does not depend on earlier
    /// tests.
    pub(super) fn from_environment() -> Shuffle {
        let seed = env::var("SENDLOOP_SHUFFLE").unwrap_or_else(|_| "0".to_owned());
        let seed = seed.parse().expect("SENDLOOP_SHUFFLE is a number");
        Shuffle { state: Cell::new(seed) }
    }

    pub(super) fn mix(&self, queue: &mut VecDeque<Entry>) {
        let is_task = |entry: &Entry| matches!(entry, Entry::Task(_));
        let (mut tasks, mut others): (VecDeque<Entry>, VecDeque<Entry>) =
            queue.drain(..).partition(is_task);
        while !tasks.is_empty() || !others.is_empty() {
            let drawn = self.next() % (tasks.len() + others.len()) as u64;
            let task = tasks.swap_remove_back(drawn as usize);
            queue.extend(task.or_else(|| others.pop_front()));
        }
    }

    /// Returns the next number of splitmix64, in which even adjacent seeds are uncorrelated.
    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}
