//! What was to be reached, and whether it was.

use std::fmt::Write;

use anyhow::Result;

use super::figures::{digits, seconds};
use super::{Tables, heading};
use crate::runner::results::{Sample, Spread, Table};

/// What of a sample is compared.
#[derive(Clone, Copy)]
enum Figure {
    Cost,
    /// Units in a second.
    Rate,
    /// One of the other figures.
    Other(&'static str),
}

impl Figure {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Figure::Cost => sample.cost(),
            Figure::Rate => sample.units / sample.wall,
            Figure::Other(name) => sample.other.get(name).copied().unwrap_or(f64::NAN),
        }
    }
}

enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    fn holds(&self, figure: f64) -> bool {
        match self {
            Limit::AtMost(most) => figure <= *most,
            Limit::AtLeast(least) => figure >= *least,
        }
    }

    fn words(&self) -> String {
        match self {
            Limit::AtMost(most) => format!("at most {}", digits(*most)),
            Limit::AtLeast(least) => format!("at least {}", digits(*least)),
        }
    }
}

/// One figure of ours beside the best of some peers, in one table.
struct Goal {
    what: &'static str,
    key: &'static str,
    ours: &'static str,
    peers: &'static [&'static str],
    figure: Figure,
    limit: Limit,
}

const BARE: &[&str] = &["blocking", "epoll"];
const RUNTIMES: &[&str] = &["tokio", "smol", "uvloop"];
const EXECUTORS: &[&str] = &["tokio", "smol"];
const NGINX: &[&str] = &["nginx", "nginx open_file_cache"];

const fn cost(
    what: &'static str,
    key: &'static str,
    ours: &'static str,
    peers: &'static [&'static str],
    most: f64,
) -> Goal {
    Goal {
        what,
        key,
        ours,
        peers,
        figure: Figure::Cost,
        limit: Limit::AtMost(most),
    }
}

const fn task(what: &'static str, key: &'static str, most: f64) -> Goal {
    cost(what, key, "sendloop", EXECUTORS, most)
}

const fn http(what: &'static str, key: &'static str, least: f64) -> Goal {
    Goal {
        what,
        key,
        ours: "file_server",
        peers: NGINX,
        figure: Figure::Rate,
        limit: Limit::AtLeast(least),
    }
}

const GOALS: [Goal; 24] = [
    cost(
        "A: CPU per byte, beside the better bare loop",
        "A large file",
        "sendloop",
        BARE,
        1.02,
    ),
    cost(
        "A: the same with `prefetch(false)`",
        "A large file",
        "sendloop_noprefetch",
        BARE,
        1.02,
    ),
    cost(
        "B: CPU per 4 KiB send with `prefetch(false)`, beside the bare call",
        "B 4 KiB",
        "sendloop_noprefetch",
        BARE,
        1.1,
    ),
    cost(
        "B: CPU per 4 KiB send, beside the bare call",
        "B 4 KiB",
        "sendloop",
        BARE,
        1.2,
    ),
    cost(
        "B: the same two calls without sendloop, beside the bare call",
        "B 4 KiB",
        "blocking_lseek",
        BARE,
        1.1,
    ),
    cost(
        "B: the same three calls without sendloop, beside the bare call",
        "B 4 KiB",
        "blocking_look_lseek",
        BARE,
        1.2,
    ),
    cost(
        "C: CPU per request of 1 connection, beside bare mio",
        "C echo 1",
        "sendloop",
        &["mio"],
        1.05,
    ),
    cost(
        "C: CPU per request of 64, beside bare mio",
        "C echo 64",
        "sendloop",
        &["mio"],
        1.05,
    ),
    cost(
        "C: CPU per request of 1,000, beside bare mio",
        "C echo 1000",
        "sendloop",
        &["mio"],
        1.05,
    ),
    cost(
        "C: CPU per request of 1, beside the best of tokio, smol, uvloop",
        "C echo 1",
        "sendloop",
        RUNTIMES,
        1.0,
    ),
    cost(
        "C: CPU per request of 64, beside the best of the three",
        "C echo 64",
        "sendloop",
        RUNTIMES,
        1.0,
    ),
    cost(
        "C: CPU per request of 1,000, beside the best of the three",
        "C echo 1000",
        "sendloop",
        RUNTIMES,
        1.0,
    ),
    task(
        "D: create and join a task, 1,000 at once, beside the better of tokio and smol",
        "D create",
        0.5,
    ),
    task("D: create and join a task, one by one", "D create_one", 0.5),
    task("D: timer set and dropped", "D timer_drop", 0.5),
    task("D: timer fired", "D timer_fire", 0.5),
    task("D: yield among 1,000 tasks", "D yield_many", 0.7),
    task("D: call_soon", "D call_soon", 0.7),
    http(
        "E: requests per second of 1 KiB, beside the better nginx",
        "E 1 KiB",
        1.2,
    ),
    http("E: of 64 KiB", "E 64 KiB", 1.2),
    http("E: of 1 MiB", "E 1 MiB", 1.0),
    Goal {
        what: "F: echo, CPU per request at 10,000 connections, beside that at 10",
        key: "F echo 10000",
        ours: "sendloop",
        peers: &[],
        figure: Figure::Other("growth"),
        limit: Limit::AtMost(1.3),
    },
    Goal {
        what: "G: worst lateness beside asyncio's, a slow file system",
        key: "G fuse",
        ours: "sendloop",
        peers: &["asyncio"],
        figure: Figure::Other("late"),
        limit: Limit::AtMost(0.1),
    },
    Goal {
        what: "G: the same, a disk",
        key: "G disk",
        ours: "sendloop",
        peers: &["asyncio"],
        figure: Figure::Other("late"),
        limit: Limit::AtMost(0.1),
    },
];

impl Goal {
    /// The figure in each round, by the peer that was best over all rounds.
    fn reached(&self, table: &Table) -> Option<(Spread, String)> {
        let figure = |sample: &Sample| self.figure.of(sample);
        let median = |peer: &str| {
            let series = table.series(peer)?;
            Some(Spread::of(series.samples.iter().map(figure)).median)
        };
        let best = self
            .peers
            .iter()
            .filter_map(|peer| Some((*peer, median(peer)?)));
        let best = match self.limit {
            Limit::AtMost(_) => best.min_by(|a, b| a.1.total_cmp(&b.1)),
            Limit::AtLeast(_) => best.max_by(|a, b| a.1.total_cmp(&b.1)),
        };
        match best {
            Some((peer, _)) => Some((table.compare(self.ours, peer, figure)?, peer.to_string())),
            None if self.peers.is_empty() => {
                let ours = table.series(self.ours)?;
                Some((Spread::of(ours.samples.iter().map(figure)), String::new()))
            }
            None => None,
        }
    }
}

pub fn write(page: &mut String, tables: &Tables) -> Result<()> {
    heading(page, "What was to be reached")?;
    writeln!(page, "| figure | to reach | reached | |\n|---|---|---|---|")?;
    for goal in &GOALS {
        let Some((spread, peer)) = tables.get(goal.key).and_then(|table| goal.reached(table))
        else {
            continue;
        };
        let [low, median, high] = [spread.low, spread.median, spread.high].map(digits);
        let verdict = match goal.limit.holds(spread.median) {
            true => "yes",
            false => "**no**",
        };
        let beside = match peer.is_empty() {
            true => String::new(),
            false => format!(", {peer}"),
        };
        writeln!(
            page,
            "| {} | {} | {median} ({low} to {high}){beside} | {verdict} |",
            goal.what,
            goal.limit.words()
        )?;
    }
    growth_of_files(page, tables)?;
    lateness(page, tables)?;
    page.push_str(include_str!("remarks/goals.md"));
    Ok(())
}

/// The goal that is of two tables: the medians of each.
fn growth_of_files(page: &mut String, tables: &Tables) -> Result<()> {
    let cost = |key: &str, peer: &str| Some(tables.get(key)?.series(peer)?.cost().median);
    let growth = |peer| Some(cost("F files 10000", peer)? / cost("F files 00010", peer)?);
    let (Some(ours), Some(theirs)) = (growth("sendloop"), growth("tokio_sendfile")) else {
        return Ok(());
    };
    let verdict = if ours <= 1.3 { "yes" } else { "**no**" };
    let [ours, theirs] = [ours, theirs].map(digits);
    writeln!(
        page,
        "| F: files, CPU per MiB at 10,000 connections, beside that at 10 | at most 1.30 | {ours}; tokio's is {theirs} | {verdict} |"
    )?;
    Ok(())
}

/// The one goal that is a time and no ratio.
fn lateness(page: &mut String, tables: &Tables) -> Result<()> {
    for (what, key) in [("a slow file system", "G fuse"), ("a disk", "G disk")] {
        let Some(series) = tables.get(key).and_then(|table| table.series("sendloop")) else {
            continue;
        };
        let Spread { low, median, high } = series.other("late");
        let verdict = if median < 0.01 { "yes" } else { "**no**" };
        let [low, median, high] = [low, median, high].map(seconds);
        writeln!(
            page,
            "| G: worst lateness, {what} | under 10 ms | {median} ({low} to {high}) | {verdict} |"
        )?;
    }
    Ok(())
}
