//! Connections that the kernel dropped before the server could accept them.

use std::fs;

/// Returns the drops of full queues, of all listeners since the system's start.
///
/// Each lost connection counts at least once.
pub(super) fn dropped() -> u64 {
    let counters = fs::read_to_string("/proc/net/netstat").unwrap_or_default();
    let mut lines = counters.lines().filter(|line| line.starts_with("TcpExt:"));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let mut counters = names.split(' ').zip(numbers.split(' '));
    let drops = counters.find(|(name, _)| *name == "ListenDrops");
    drops.map_or(0, |(_, number)| number.parse().expect("a number"))
}
