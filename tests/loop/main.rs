//! The loop, its tasks, timers and threads.

#[path = "../util/embedder.rs"]
mod embedder;
#[path = "../util/mod.rs"]
mod util;

mod after_close;
mod auto_traits;
mod clock;
mod close;
mod debug_output;
mod deep_chains;
mod embedding;
mod exceptions;
mod fairness;
#[cfg(target_os = "linux")]
mod far_timers;
mod foreign_wakers;
mod futures;
mod load;
mod loop_order;
mod promises;
mod reentrancy;
mod regressions;
mod running;
mod task_cell;
mod task_groups;
mod tasks;
mod thread_ends;
#[cfg(target_os = "linux")]
mod thread_starts;
mod threads;
mod timer_wakers;
mod waker_races;
mod wakers;
mod work;
