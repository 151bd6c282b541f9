//! What was to be reached, and whether it was.

use std::fmt::Write;

use anyhow::Result;

use super::earlier::Earlier;
use super::figures::{digits, seconds};
use super::{Tables, heading};
use crate::runner::results::{Interval, Sample, Spread, Table};
use crate::works::BARE_LOOPS;

/// What of a sample is compared.
#[derive(Clone, Copy)]
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

    /// Whether all of an interval is beyond the limit.
    fn is_missed_by(&self, interval: Interval) -> bool {
        match self {
            Limit::AtMost(most) => interval.low > *most,
            Limit::AtLeast(least) => interval.high < *least,
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
    judged: Judged,
}

/// What decides whether a limit is kept.
#[derive(Clone, Copy)]
enum Judged {
    ByMedian,
    /// It is missed only if the whole 95 % interval of the median lies beyond it.
    ByInterval,
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
        judged: Judged::ByMedian,
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
        judged: Judged::ByMedian,
    }
}

/// A ratio of CPU times that is taken of enough pairs for an interval.
const fn paired(
    what: &'static str,
    key: &'static str,
    ours: &'static str,
    peers: &'static [&'static str],
    most: f64,
) -> Goal {
    Goal {
        judged: Judged::ByInterval,
        ..cost(what, key, ours, peers, most)
    }
}

/// A figure of ours alone that is exact.
const fn exact(
    what: &'static str,
    key: &'static str,
    ours: &'static str,
    name: &'static str,
    most: f64,
) -> Goal {
    Goal {
        figure: Figure::Other(name),
        ..cost(what, key, ours, &[], most)
    }
}

const ON_EXT4: &[&str] = &["sendloop on ext4"];

const PAIRED_GOALS: [Goal; 17] = [
    paired(
        "A: CPU per byte, beside the best bare loop of any call size",
        "A call sizes",
        "sendloop",
        &BARE_LOOPS,
        1.02,
    ),
    paired(
        "B: CPU per 4 KiB send, `update_position(false)` and `prefetch(false)`, beside the bare call",
        "B no position",
        "sendloop_noposition_noprefetch",
        BARE,
        1.08,
    ),
    exact(
        "S: system calls of a 4 KiB send, `update_position(false)` and `prefetch(false)`",
        "S send 4 KiB",
        "sendloop_noposition_noprefetch",
        "all",
        EXACTLY_1,
    ),
    paired(
        "B: CPU per 4 KiB send, `update_position(false)`, beside the bare call",
        "B no position",
        "sendloop_noposition",
        BARE,
        1.3,
    ),
    exact(
        "S: system calls of a 4 KiB send, `update_position(false)`",
        "S send 4 KiB",
        "sendloop_noposition",
        "all",
        EXACTLY_2,
    ),
    paired(
        "B: CPU per send of 10,000 files in random order, `update_position(false)`, beside the bare call",
        "B many files",
        "sendloop_noposition",
        BARE,
        1.15,
    ),
    paired(
        "E: CPU per byte of 1 GiB, beside nginx",
        "E 1 GiB",
        "file_server",
        &["nginx"],
        0.9,
    ),
    Goal {
        figure: Figure::Wall,
        ..paired(
            "E: time for 1 GiB, beside nginx",
            "E 1 GiB",
            "file_server",
            &["nginx"],
            0.9,
        )
    },
    Goal {
        figure: Figure::Rate,
        limit: Limit::AtLeast(0.98),
        ..paired(
            "G: speed of a cold file from a disk of 100 MB/s, beside plain sendfile",
            "G limited",
            "sendloop",
            &["blocking"],
            0.98,
        )
    },
    paired(
        "H: CPU per byte through overlayfs, beside ext4",
        "H warm",
        "sendloop on overlayfs",
        ON_EXT4,
        1.05,
    ),
    paired(
        "H: through squashfs",
        "H warm",
        "sendloop on squashfs",
        ON_EXT4,
        1.1,
    ),
    paired(
        "H: through erofs",
        "H warm",
        "sendloop on erofs",
        ON_EXT4,
        1.1,
    ),
    exact(
        "H: bytes read into memory, overlayfs",
        "H reads",
        "sendloop on overlayfs",
        "bytes_read",
        0.0,
    ),
    exact(
        "H: bytes read into memory, squashfs",
        "H reads",
        "sendloop on squashfs",
        "bytes_read",
        0.0,
    ),
    exact(
        "H: bytes read into memory, erofs",
        "H reads",
        "sendloop on erofs",
        "bytes_read",
        0.0,
    ),
    exact(
        "H: mappings of the file that 10,000 parked transfers keep, overlayfs",
        "H parked",
        "sendloop on overlayfs",
        "mappings_of_file",
        0.0,
    ),
    Goal {
        figure: Figure::Other("rss_per_connection"),
        ..cost(
            "H: memory of 10,000 parked transfers on overlayfs, beside ext4",
            "H parked",
            "sendloop on overlayfs",
            ON_EXT4,
            1.05,
        )
    },
];

/// As strace counts: a few waits for the socket fall into every run.
const EXACTLY_1: f64 = 1.05;
const EXACTLY_2: f64 = 2.05;

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
        judged: Judged::ByMedian,
    },
    Goal {
        what: "G: worst lateness beside asyncio's, a slow file system",
        key: "G fuse",
        ours: "sendloop",
        peers: &["asyncio"],
        figure: Figure::Other("late"),
        limit: Limit::AtMost(0.1),
        judged: Judged::ByMedian,
    },
    Goal {
        what: "G: the same, a disk",
        key: "G disk",
        ours: "sendloop",
        peers: &["asyncio"],
        figure: Figure::Other("late"),
        limit: Limit::AtMost(0.1),
        judged: Judged::ByMedian,
    },
];

impl Goal {
    /// The figure in each round, by the peer that was best over all rounds.
    fn reached(&self, table: &Table) -> Option<(Vec<f64>, String)> {
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
            Some((peer, _)) => Some((table.ratios(self.ours, peer, figure)?, peer.to_string())),
            None if self.peers.is_empty() => {
                let ours = table.series(self.ours)?;
                Some((ours.samples.iter().map(figure).collect(), String::new()))
            }
            None => None,
        }
    }
}

impl Goal {
    /// Its row, if it was measured.
    fn row(&self, tables: &Tables) -> Option<String> {
        let reached = tables.get(self.key).and_then(|table| self.reached(table));
        let (figures, peer) = reached?;
        let Spread { low, median, high } = Spread::of(figures.iter().copied());
        let interval = match self.judged {
            Judged::ByMedian => Interval { low, high },
            Judged::ByInterval => Interval::of(figures.iter().copied()),
        };
        let verdict = match self.judged {
            _ if self.limit.holds(median) => "yes",
            Judged::ByInterval if !self.limit.is_missed_by(interval) => "within the interval",
            _ => "**no**",
        };
        let beside = match peer.is_empty() {
            true => String::new(),
            false => format!(", {peer}"),
        };
        let kind = match self.judged {
            Judged::ByMedian => "",
            Judged::ByInterval => "95 %: ",
        };
        let [low, median, high] = [interval.low, median, interval.high].map(digits);
        let (what, limit) = (self.what, self.limit.words());
        let reached = match low == high {
            true => format!("{median}{beside}"),
            false => format!("{median} ({kind}{low} to {high}){beside}"),
        };
        Some(format!("| {what} | {limit} | {reached} | {verdict} |"))
    }
}

/// Writes the row of each goal: the new one, else the earlier one.
pub fn write(page: &mut String, tables: &Tables, earlier: &Earlier) -> Result<()> {
    heading(page, "What was to be reached")?;
    writeln!(page, "| figure | to reach | reached | |\n|---|---|---|---|")?;
    let mut rows: Vec<(&str, Option<String>)> = (GOALS.iter().chain(&PAIRED_GOALS))
        .map(|goal| (goal.what, goal.row(tables)))
        .collect();
    rows.push((FILES, growth_of_files(tables)));
    for (what, key) in LATE {
        rows.push((what, lateness(tables, what, key)));
    }
    rows.push((HOLES, holes(tables)));
    for (what, row) in rows {
        if let Some(row) = row.as_deref().or_else(|| earlier.row(what)) {
            writeln!(page, "{row}")?;
        }
    }
    page.push_str(include_str!("remarks/goals.md"));
    Ok(())
}

const FILES: &str = "F: files, CPU per MiB at 10,000 connections, beside that at 10";
const LATE: [(&str, &str); 2] = [
    ("G: worst lateness, a slow file system", "G fuse"),
    ("G: worst lateness, a disk", "G disk"),
];
const HOLES: &str = "G: lateness beside a file with holes on a slow disk, the worst transfer";

/// The goal that is of two tables: the medians of each.
fn growth_of_files(tables: &Tables) -> Option<String> {
    let cost = |key: &str, peer: &str| Some(tables.get(key)?.series(peer)?.cost().median);
    let growth = |peer| Some(cost("F files 10000", peer)? / cost("F files 00010", peer)?);
    let (ours, theirs) = (growth("sendloop")?, growth("tokio_sendfile")?);
    let verdict = if ours <= 1.3 { "yes" } else { "**no**" };
    let [ours, theirs] = [ours, theirs].map(digits);
    let reached = format!("{ours}; tokio's is {theirs}");
    Some(format!(
        "| {FILES} | at most 1.30 | {reached} | {verdict} |"
    ))
}

/// The one goal that is a time and no ratio.
fn lateness(tables: &Tables, what: &str, key: &str) -> Option<String> {
    let Spread { low, median, high } = tables.get(key)?.series("sendloop")?.other("late");
    let verdict = if median < 0.01 { "yes" } else { "**no**" };
    let [low, median, high] = [low, median, high].map(seconds);
    let reached = format!("{median} ({low} to {high})");
    Some(format!("| {what} | under 10 ms | {reached} | {verdict} |"))
}

/// The goal that is the worst of all samples.
fn holes(tables: &Tables) -> Option<String> {
    let samples = &tables.get("G holes")?.series("sendloop")?.samples;
    let worst = |name: &str| {
        let figures = samples.iter().filter_map(|sample| sample.other.get(name));
        figures.copied().fold(0.0, f64::max)
    };
    let verdict = if worst("late") <= 0.01 {
        "yes"
    } else {
        "**no**"
    };
    let [late, own] = ["late", "late_own"].map(|name| seconds(worst(name)));
    let reached = format!("{late} of {} transfers; its own {own}", samples.len());
    Some(format!(
        "| {HOLES} | at most 10 ms | {reached} | {verdict} |"
    ))
}
