//! The targets, and whether each is met.

use std::fmt::Write;

use anyhow::Result;

use super::figures::{digits, seconds};
use super::labels::short_label;
use super::{Tables, heading};
use crate::runner::before::BEFORE;
use crate::runner::results::{Interval, Sample, Spread, Table};
use crate::workloads::BARE_LOOPS;

/// The figure of a sample that a goal compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    Cost,
    /// Units in a second.
    Rate,
    /// Seconds for a unit.
    Wall,
    /// One of the other figures.
    Other(&'static str),
}

impl Figure {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Figure::Cost => sample.cost(),
            Figure::Rate => sample.units / sample.wall,
            Figure::Wall => sample.wall / sample.units,
            Figure::Other(name) => sample.other.get(name).copied().unwrap_or(f64::NAN),
        }
    }
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    fn holds(self, figure: f64) -> bool {
        match self {
            Limit::AtMost(most) => figure <= most,
            Limit::AtLeast(least) => figure >= least,
        }
    }

    /// Returns whether all of an interval is beyond the limit.
    fn is_missed_by(self, interval: Interval) -> bool {
        match self {
            Limit::AtMost(most) => interval.low > most,
            Limit::AtLeast(least) => interval.high < least,
        }
    }

    fn text(self, write: fn(f64) -> String) -> String {
        match self {
            Limit::AtMost(most) => format!("≤{}", write(most)),
            Limit::AtLeast(least) => format!("≥{}", write(least)),
        }
    }
}

/// A figure of sendloop relative to the best of some peers, or alone if it has no peers.
pub struct Goal {
    what: &'static str,
    pub key: &'static str,
    pub ours: &'static str,
    pub peers: &'static [&'static str],
    figure: Figure,
    limit: Limit,
}

const BARE: &[&str] = &["blocking", "epoll"];
const MIO: &[&str] = &["mio"];
const TOKIO: &[&str] = &["tokio"];
const SMOL: &[&str] = &["smol"];
const RUNTIMES: &[&str] = &["tokio", "smol", "uvloop"];
const EXECUTORS: &[&str] = &["tokio", "smol"];
const THREADS: &[&str] = &["tokio", "smol", "asyncio"];
const NGINX: &[&str] = &["nginx", "nginx open_file_cache"];
const ON_EXT4: &[&str] = &["sendloop on ext4"];
const PROXIES: &[&str] = &["tokio", "tokio_64k"];

/// CPU time of `ours` divided by that of the cheapest peer.
const fn cost(
    what: &'static str,
    key: &'static str,
    ours: &'static str,
    peers: &'static [&'static str],
    most: f64,
) -> Goal {
    Goal { what, key, ours, peers, figure: Figure::Cost, limit: Limit::AtMost(most) }
}

const fn loops(
    what: &'static str,
    key: &'static str,
    peers: &'static [&'static str],
    most: f64,
) -> Goal {
    cost(what, key, "sendloop", peers, most)
}

/// Requests in a second.
const fn http(what: &'static str, key: &'static str, least: f64) -> Goal {
    Goal {
        figure: Figure::Rate,
        limit: Limit::AtLeast(least),
        ..cost(what, key, "file_server", NGINX, least)
    }
}

/// A figure of sendloop alone.
const fn alone(
    what: &'static str,
    key: &'static str,
    ours: &'static str,
    name: &'static str,
    most: f64,
) -> Goal {
    Goal { figure: Figure::Other(name), ..cost(what, key, ours, &[], most) }
}

/// Another figure of sendloop divided by the smallest of its peers.
const fn other(
    what: &'static str,
    key: &'static str,
    peers: &'static [&'static str],
    name: &'static str,
    most: f64,
) -> Goal {
    Goal { figure: Figure::Other(name), ..loops(what, key, peers, most) }
}

/// A few waits for the socket fall into every run under strace.
const EXACTLY_1: f64 = 1.05;
const EXACTLY_2: f64 = 2.05;

const NO_POSITION: &str = "sendloop_noposition";
const NEITHER: &str = "sendloop_noposition_noprefetch";
const OVERLAY: &str = "sendloop on overlayfs";

#[rustfmt::skip]
pub const GOALS: &[Goal] = &[
    loops("A", "A large file", BARE, 1.02),
    cost("A, no prefetch", "A large file", "sendloop_noprefetch", BARE, 1.02),
    loops("A, best call size", "A call sizes", &BARE_LOOPS, 1.02),
    loops("B, 4 KiB", "B 4 KiB", BARE, 1.2),
    cost("B, 4 KiB, no prefetch", "B 4 KiB", "sendloop_noprefetch", BARE, 1.1),
    cost("B, 4 KiB, no position", "B no position", NO_POSITION, BARE, 1.3),
    cost("B, 4 KiB, neither", "B no position", NEITHER, BARE, 1.08),
    cost("B, 10,000 files, no position", "B many files", NO_POSITION, BARE, 1.15),
    loops("C, 1 connection", "C echo 1", MIO, 1.05),
    loops("C, 64 connections", "C echo 64", MIO, 1.05),
    loops("C, 1,000 connections", "C echo 1000", MIO, 1.05),
    loops("C, 1,000 connections, free run", "C latency 1000", MIO, 1.1),
    loops("C, 1 connection", "C echo 1", RUNTIMES, 1.0),
    loops("C, 64 connections", "C echo 64", RUNTIMES, 1.0),
    loops("C, 1,000 connections", "C echo 1000", RUNTIMES, 1.0),
    alone("C, bytes of memory", "C memory", "sendloop", "rss_per_connection", 900.0),
    alone(
        "C, bytes of memory, `sock_recv`",
        "C memory", "sendloop_unbuffered", "rss_per_connection", 900.0,
    ),
    loops("D, create and join, 1,000 at once", "D create", SMOL, 0.6),
    loops("D, create and join, one by one", "D create_one", SMOL, 0.6),
    loops("D, yield among 1,000 tasks", "D yield_many", EXECUTORS, 0.7),
    loops("D, yield alone, a socket registered", "D socket_yield", EXECUTORS, 1.5),
    loops("D, two tasks, a socket registered", "D socket_wake", EXECUTORS, 1.5),
    loops("D, wake from another thread", "D thread", EXECUTORS, 1.0),
    loops("D, callback", "D call_soon", EXECUTORS, 0.7),
    loops("D, set and drop a timer", "D timer_drop", EXECUTORS, 0.5),
    loops("D, timers, rising deadlines", "D timer_fire", TOKIO, 0.5),
    loops("D, timers, random deadlines", "D timer_random", TOKIO, 0.8),
    loops("D, jobs, one by one", "D executor", THREADS, 0.8),
    loops("D, jobs, 1,000 at once", "D executor_many", THREADS, 0.8),
    http("E, requests, 1 KiB", "E 1 KiB", 1.2),
    http("E, requests, 64 KiB", "E 64 KiB", 1.2),
    http("E, requests, 1 MiB", "E 1 MiB", 1.0),
    cost("E, 1 GiB", "E 1 GiB", "file_server", NGINX, 0.9),
    Goal { figure: Figure::Wall, ..cost("E, time, 1 GiB", "E 1 GiB", "file_server", NGINX, 0.9) },
    cost("E, random order", "E many files", "file_server", NGINX, 0.75),
    cost("E, 90 % for 1 %", "E 90/10", "file_server", NGINX, 0.75),
    cost("E, overlayfs", "E overlayfs", "file_server", NGINX, 0.75),
    cost("E, 1 KiB", "E 1 KiB", "file_server", NGINX, 1.0),
    cost("E, 1 KiB, no keep-alive", "E close 1 KiB", "file_server", NGINX, 1.0),
    cost("E, 100 MiB", "E 100 MiB", "file_server", NGINX, 1.0),
    http("E, requests, random order", "E many files", 1.0),
    http("E, requests, 90 % for 1 %", "E 90/10", 1.0),
    alone("F, growth, echo", "F echo 10000", "sendloop", "growth", 1.3),
    alone("F, growth, files", "F files 10000", "sendloop", "growth", 1.3),
    alone("F, growth, tasks", "F tasks 1000000", "sendloop", "growth", 1.3),
    alone("F, growth, timers", "F timers 1000000", "sendloop", "growth", 1.3),
    other("G, lateness, slow reads", "G fuse", &["asyncio"], "late", 0.1),
    other("G, lateness, disk", "G disk", &["asyncio"], "late", 0.1),
    alone("G, lateness, slow reads", "G fuse", "sendloop", "late", 0.01),
    alone("G, lateness, disk", "G disk", "sendloop", "late", 0.01),
    Goal {
        figure: Figure::Rate,
        limit: Limit::AtLeast(0.98),
        ..loops("G, speed at 100 MB/s", "G limited", &["blocking"], 0.98)
    },
    cost("H, overlayfs", "H warm", OVERLAY, ON_EXT4, 1.05),
    cost("H, squashfs", "H warm", "sendloop on squashfs", ON_EXT4, 1.1),
    cost("H, erofs", "H warm", "sendloop on erofs", ON_EXT4, 1.1),
    alone("H, bytes read, overlayfs", "H reads", OVERLAY, "bytes_read", 0.0),
    alone("H, bytes read, squashfs", "H reads", "sendloop on squashfs", "bytes_read", 0.0),
    alone("H, bytes read, erofs", "H reads", "sendloop on erofs", "bytes_read", 0.0),
    alone("H, mappings, overlayfs", "H stalled", OVERLAY, "mappings_of_file", 0.0),
    Goal {
        figure: Figure::Other("rss_per_connection"),
        ..cost("H, memory, overlayfs", "H stalled", OVERLAY, ON_EXT4, 1.05)
    },
    loops("I, connection", "I churn", MIO, 1.05),
    loops("I, connection", "I churn", TOKIO, 1.0),
    loops("I, UDP, 64 bytes", "I udp 64", MIO, 1.05),
    loops("I, UDP, 64 bytes", "I udp 64", RUNTIMES, 1.0),
    loops("I, UDP, 1,400 bytes", "I udp 1400", MIO, 1.05),
    loops("I, UDP, 1,400 bytes", "I udp 1400", RUNTIMES, 1.0),
    loops("I, proxy", "I proxy", MIO, 1.05),
    loops("I, proxy", "I proxy", PROXIES, 1.0),
    other("J, seconds", "J build", EXECUTORS, "seconds", 1.0),
    other("J, KB", "J build", EXECUTORS, "kilobytes", 1.0),
    alone("S, calls, 4 KiB, no position", "S send 4 KiB", NO_POSITION, "all", EXACTLY_2),
    alone("S, calls, 4 KiB, neither", "S send 4 KiB", NEITHER, "all", EXACTLY_1),
];

impl Goal {
    /// Returns the figure of each round, relative to the peer that is best over all rounds.
    fn reached(&self, table: &Table) -> Option<(Vec<f64>, String)> {
        let figure = |sample: &Sample| self.figure.of(sample);
        if self.peers.is_empty() {
            let ours = table.series(self.ours)?;
            return Some((ours.samples.iter().map(figure).collect(), String::new()));
        }
        let median = |peer: &str| {
            let series = table.series(peer)?;
            Some(Spread::of(series.samples.iter().map(figure)).median)
        };
        let measured = self.peers.iter();
        let measured = measured.filter_map(|peer| Some((*peer, median(peer)?)));
        let (best, _) = match self.limit {
            Limit::AtMost(_) => measured.min_by(|a, b| a.1.total_cmp(&b.1)),
            Limit::AtLeast(_) => measured.max_by(|a, b| a.1.total_cmp(&b.1)),
        }?;
        Some((table.ratios(self.ours, best, figure)?, best.to_string()))
    }

    /// Returns the format. Ratios have no unit, and neither do most figures of sendloop alone.
    fn text(&self) -> fn(f64) -> String {
        match self.figure {
            Figure::Other("late") if self.peers.is_empty() => seconds,
            _ => digits,
        }
    }

    /// Returns the row of the goal and its verdict, if it was measured.
    fn row(&self, tables: &Tables) -> Option<(Verdict, String)> {
        let table = tables.get(self.key)?;
        let (figures, peer) = self.reached(table)?;
        let median = Spread::of(figures.iter().copied()).median;
        let interval = Interval::of(figures);
        let verdict = verdict(self.limit, median, interval);
        let text = self.text();
        let mut reached = text(median);
        let [low, high] = [interval.low, interval.high].map(text);
        if low != high {
            reached.push_str(&format!(" ({low}–{high})"));
        }
        let (what, limit, peer) = (self.what, self.limit.text(text), short_label(&peer));
        Some((verdict, format!("| {what} | {peer} | {limit} | {reached} |")))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Missed,
    WithinInterval,
    Met,
}

/// A goal is missed only if the whole 95 % interval of the median lies beyond its limit.
fn verdict(limit: Limit, median: f64, interval: Interval) -> Verdict {
    match limit {
        _ if limit.holds(median) => Verdict::Met,
        _ if limit.is_missed_by(interval) => Verdict::Missed,
        _ => Verdict::WithinInterval,
    }
}

/// Writes the row of each goal, in a table for each verdict.
pub fn write(page: &mut String, tables: &Tables) -> Result<()> {
    heading(page, "Targets")?;
    page.push_str(include_str!("remarks/targets.md"));
    let rows = GOALS.iter().filter_map(|goal| goal.row(tables)).chain(holes(tables));
    let rows: Vec<(Verdict, String)> = rows.collect();
    for (verdict, title) in [
        (Verdict::Missed, "Missed"),
        (Verdict::WithinInterval, "Undecided: the target is inside the interval"),
        (Verdict::Met, "Met"),
    ] {
        let rows = rows.iter().filter(|row| row.0 == verdict);
        writeln!(page, "\n**{title}**\n\n{HEAD}")?;
        for (_, row) in rows {
            writeln!(page, "{row}")?;
        }
    }
    write_before(page, tables)?;
    page.push_str(include_str!("remarks/goals.md"));
    Ok(())
}

const HEAD: &str =
    "| figure | relative to | target | measured (95 % interval) |\n|---|---|---|---|";

/// The most that a table may cost relative to the earlier commit.
const BESIDE_BEFORE: Limit = Limit::AtMost(1.03);

/// Writes the ratios to an earlier commit if a run had one: the number of tables, and the losses.
fn write_before(page: &mut String, tables: &Tables) -> Result<()> {
    let (mut all, mut losses) = (0, Vec::new());
    for table in tables.values() {
        let Some(ratios) = table.ratios("sendloop", BEFORE, Sample::cost) else {
            continue;
        };
        let median = Spread::of(ratios.iter().copied()).median;
        // A table of system calls has no CPU time.
        if !median.is_finite() {
            continue;
        }
        all += 1;
        let interval = Interval::of(ratios);
        if !BESIDE_BEFORE.holds(median) {
            let [low, median, high] = [interval.low, median, interval.high].map(digits);
            let title = &table.title;
            losses.push(format!("{title}: {median} ({low}–{high})"));
        }
    }
    if all > 0 {
        let (kept, limit) = (all - losses.len(), BESIDE_BEFORE.text(digits));
        writeln!(
            page,
            "\nRelative to an earlier commit, CPU time is {limit} in {kept} of {all} tables{}",
            if losses.is_empty() { "." } else { ". The others:\n" }
        )?;
    }
    losses.iter().try_for_each(|loss| Ok(writeln!(page, "- {loss}")?))
}

/// Returns the goal that the worst of all samples decides.
fn holes(tables: &Tables) -> Option<(Verdict, String)> {
    let samples = &tables.get("G holes")?.series("sendloop")?.samples;
    let late = samples.iter().filter_map(|sample| sample.other.get("late"));
    let worst = late.copied().fold(0.0, f64::max);
    let verdict = if worst <= 0.01 { Verdict::Met } else { Verdict::Missed };
    let (worst, count) = (seconds(worst), samples.len());
    let row = format!("| G, lateness, missing pages, worst of {count} |  | ≤10.0 ms | {worst} |");
    Some((verdict, row))
}
