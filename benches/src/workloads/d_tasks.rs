//! D: the cost of tasks, timers, wake-ups and jobs for threads.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Scale;
use crate::Options;
use crate::runner::before::with_before;
use crate::runner::results::{self, Sample};
use crate::runner::rounds::{self, Peer, Plan};
use crate::runner::side::{Side, measured};

/// A scenario, its title, the amount of a sample, and its peers.
type Scenario = (&'static str, &'static str, u64, &'static [&'static str]);

const ALL: &[&str] = &["sendloop", "tokio", "smol"];
/// smol often does not fire a million timers: see remarks/d.md.
const WITHOUT_SMOL: &[&str] = &["sendloop", "tokio"];
const WITH_ASYNCIO: &[&str] = &["sendloop", "tokio", "smol", "asyncio"];

const SCENARIOS: [Scenario; 12] = [
    ("create", "create and join a task, 1,000 at once", 1_000_000, ALL),
    ("create_one", "create and join a task, one by one", 500_000, ALL),
    ("yield", "yield alone", 500_000, ALL),
    ("yield_many", "yield among 1,000 tasks", 5_000_000, ALL),
    ("wake", "two tasks wake each other", 500_000, ALL),
    ("socket_yield", "yield alone, a socket registered", 500_000, ALL),
    ("socket_wake", "two tasks wake each other, a socket registered", 500_000, ALL),
    ("thread", "wake from another thread", 50_000, ALL),
    ("call_soon", "callback, 1,000 at once", 5_000_000, ALL),
    ("timer_drop", "set and drop a timer", 1_000_000, ALL),
    ("timer_fire", "fire a timer, a million at once, rising deadlines", 1_000_000, WITHOUT_SMOL),
    ("timer_random", "fire a timer, a million at once, random deadlines", 1_000_000, WITHOUT_SMOL),
];

const EXECUTOR: [Scenario; 2] = [
    ("executor", "an empty job on a thread, one by one", 20_000, WITH_ASYNCIO),
    ("executor_many", "an empty job on a thread, 1,000 at once", 100_000, WITH_ASYNCIO),
];

/// The longest time for one measurement. It is generous.
const LIMIT: Duration = Duration::from_secs(60);

pub fn run(options: &Options) -> Result<()> {
    measure_all(options, &SCENARIOS)
}

/// Measures the way to a thread of the executor and back.
pub fn executor(options: &Options) -> Result<()> {
    measure_all(options, &EXECUTOR)
}

fn measure_all(options: &Options, scenarios: &[Scenario]) -> Result<()> {
    let scale = Scale::of(options);
    for (what, title, count, names) in scenarios {
        let mut peers = Vec::new();
        for name in with_before(names) {
            peers.push(Peer::new(name, start(&options.folder, name)?));
        }
        let plan =
            Plan { key: &format!("D {what}"), title, unit: "operation", rounds: scale.rounds };
        let count = scale.units(*count);
        let table =
            plan.run_samples(&mut peers, |peer| measure(&options.folder, peer, what, count))?;
        results::save(options, &table)?;
    }
    Ok(())
}

fn start(folder: &Path, peer: &str) -> Result<Side> {
    if peer == "asyncio" {
        let mut command = measured(&folder.join("venv/bin/python"));
        command.arg("peers/tasks.py");
        return Side::start(command).context("asyncio");
    }
    Side::own(&format!("tasks-{peer}"), &[])
}

/// Measures one sample. A peer that does not finish in time is started again.
fn measure(folder: &Path, peer: &mut Peer, what: &str, count: u64) -> Result<Sample> {
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
        peer.side = start(folder, &peer.name)?;
    }
    bail!("{} does not finish", peer.name)
}
