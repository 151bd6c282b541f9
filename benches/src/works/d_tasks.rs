//! D: what the executors cost.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Scale;
use crate::Options;
use crate::runner::results::{self, Sample};
use crate::runner::rounds::{self, Peer, Plan};
use crate::runner::side::Side;

/// A scenario, what it is called, and how often it is done.
const SCENARIOS: [(&str, &str, u64); 10] = [
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
    (
        "timer_random",
        "timer set and fired, a million at once, deadlines in random order over 250 ms",
        1_000_000,
    ),
];

/// How long one measurement may take: many times what it takes.
const LIMIT: Duration = Duration::from_secs(60);

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let mut peers = Vec::new();
    for peer in ["sendloop", "tokio", "smol"] {
        peers.push(Peer::new(peer, start(peer)?));
    }
    for (what, title, count) in SCENARIOS {
        let count = scale.units(count);
        let plan = Plan {
            key: &format!("D {what}"),
            title,
            unit: "operation",
            rounds: scale.rounds,
        };
        // smol's timers do not come to an end often enough: see remarks/d.md.
        let many = if what.starts_with("timer_") && what != "timer_drop" { 2 } else { peers.len() };
        let table = plan.run_samples(&mut peers[..many], |peer| measure(peer, what, count))?;
        results::save(&options.folder, &table)?;
    }
    Ok(())
}

fn start(peer: &str) -> Result<Side> {
    Side::own(&format!("tasks-{peer}"), &[])
}

/// A peer that does not come to an end begins anew, and what it had done so far counts for nothing.
fn measure(peer: &mut Peer, what: &str, count: u64) -> Result<Sample> {
    let line = format!("{what} {count}");
    for _ in 0..3 {
        let mut is_over = false;
        let sample = rounds::sample(peer, &mut |peer: &mut Peer| {
            is_over = peer.side.ask_within(&line, LIMIT)?.is_some();
            Ok(count as f64)
        })?;
        if is_over {
            return Ok(sample);
        }
        eprintln!("D {what} {}: no end within {LIMIT:?}", peer.name);
        peer.side = start(&peer.name)?;
    }
    bail!("{} does not come to an end", peer.name)
}
