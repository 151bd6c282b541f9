//! What the kernel has dropped of the connections to come, of which neither a server nor a loop ever knew.

use std::fs;

/// How often a full queue cost one something, of all listeners since the system's start: at least once for each that was lost.
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
