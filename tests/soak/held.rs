//! The resources that the process and its loop hold.

use std::fmt;
use std::fs;

use sendloop::LoopHandle;

use super::limit::Limit;
use super::live::live;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) descriptors: usize,
    /// Allocated bytes.
    pub(super) live: usize,
    /// Resident bytes of anonymous memory.
    pub(super) resident: usize,
    pub(super) tasks: usize,
    pub(super) registered: usize,
}

impl Held {
    pub(super) fn now(event_loop: &LoopHandle) -> Held {
        let stats = event_loop.stats();
        Held {
            descriptors: descriptors(),
            live: live(),
            resident: resident(),
            tasks: stats.tasks,
            registered: stats.registered,
        }
    }

    /// Returns the greater of each value.
    pub(super) fn max(self, other: Held) -> Held {
        Held {
            descriptors: self.descriptors.max(other.descriptors),
            live: self.live.max(other.live),
            resident: self.resident.max(other.resident),
            tasks: self.tasks.max(other.tasks),
            registered: self.registered.max(other.registered),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} descriptors, {} tasks, {} in the poller, {} KiB allocated, {} KiB resident",
            self.descriptors,
            self.tasks,
            self.registered,
            self.live >> 10,
            self.resident >> 10
        )
    }
}

/// If no descriptor is left for the directory, all are in use.
fn descriptors() -> usize {
    let open = fs::read_dir("/proc/self/fd").map(Iterator::count);
    open.unwrap_or(Limit::now() as usize)
}

fn resident() -> usize {
    status("RssAnon:") << 10
}

pub(super) fn threads() -> usize {
    status("Threads:")
}

/// Returns a number from the status of this process.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}
