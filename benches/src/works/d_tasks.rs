//! D: what the executors cost.

use anyhow::Result;

use super::Scale;
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;

/// A scenario, what it is called, and how often it is done.
const SCENARIOS: [(&str, &str, u64); 9] = [
    ("create", "create and join a task, 1,000 at once", 1_000_000),
    ("create_one", "create and join a task, one by one", 500_000),
    ("yield", "yield, alone", 500_000),
    ("yield_many", "yield, among 1,000 tasks", 5_000_000),
    ("wake", "wake another task", 500_000),
    ("thread", "wake from another thread", 50_000),
    ("call_soon", "call_soon, 1,000 at once", 5_000_000),
    ("timer_drop", "timer set and dropped", 1_000_000),
    (
        "timer_fire",
        "timer set and fired, a million at once",
        1_000_000,
    ),
];

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let mut peers = Vec::new();
    for peer in ["sendloop", "tokio", "smol"] {
        let side = Side::own(&format!("tasks-{peer}"), &[])?;
        peers.push(Peer::new(peer, side));
    }
    for (what, title, count) in SCENARIOS {
        let count = scale.units(count);
        let plan = Plan {
            key: &format!("D {what}"),
            title,
            unit: "operation",
            rounds: scale.rounds,
        };
        let table = plan.run(&mut peers, |peer| {
            peer.side.ask(&format!("{what} {count}"))?;
            Ok(count as f64)
        })?;
        results::save(&options.folder, &table)?;
    }
    Ok(())
}
