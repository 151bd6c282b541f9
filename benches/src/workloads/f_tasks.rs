//! F: the cost of tasks and timers by their number.

use anyhow::{Context, Result};

use super::{Scale, growth};
use crate::Options;
use crate::runner::before::with_before;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;

const PEERS: [&str; 2] = ["sendloop", "tokio"];
const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// A scenario, its title, its unit, and the amount of a sample.
const SCENARIOS: [(&str, &str, &str, u64); 2] = [
    ("tasks", "tasks at once, each yields ten times", "task", 1_000_000),
    ("timers", "timers at once, deadlines in random order", "timer", 1_000_000),
];

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    for (what, title, unit, count) in SCENARIOS {
        let mut peers = Vec::new();
        for size in SIZES {
            for name in with_before(&PEERS) {
                let side = Side::own(&format!("tasks-{name}"), &[])?;
                peers.push(Peer::new(&format!("{name} {size}"), side));
            }
        }
        let plan = Plan { key: &format!("F {what}"), title, unit, rounds: scale.rounds };
        let table = plan.run(&mut peers, |peer| {
            let (_, size) = peer.name.rsplit_once(' ').context("PEER SIZE")?;
            let count = scale.units(count).max(size.parse()?);
            peer.side.ask(&format!("{what}_{size} {count}"))?;
            Ok(count as f64)
        })?;
        for table in growth::by_size(&table, |size| format!("{size} {title}"))? {
            results::save(options, &table)?;
        }
    }
    Ok(())
}
