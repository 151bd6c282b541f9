//! The sections of the page, in order.

use std::path::Path;

use anyhow::Result;

use super::figures::Unit::{self, Microseconds, Milliseconds, Nanoseconds, Seconds};
use super::tables::{ALL, Case, Cell, Grid, Rows};
use super::{Tables, heading};

pub struct Section {
    letter: &'static str,
    title: &'static str,
    plot: Option<&'static str>,
    pub grids: &'static [Grid],
    remarks: &'static str,
}

const fn case(head: &'static str, key: &'static str, cell: Cell) -> Case {
    Case { head, key, cell, of: ALL }
}

const fn cost_in(unit: Unit, head: &'static str, key: &'static str) -> Case {
    case(head, key, Cell::Cost(unit))
}

const fn cost(head: &'static str, key: &'static str) -> Case {
    cost_in(Microseconds, head, key)
}

const fn nanoseconds(head: &'static str, key: &'static str) -> Case {
    cost_in(Nanoseconds, head, key)
}

/// A case of the peers whose names have this start and end.
const fn part(of: [&'static str; 2], case: Case) -> Case {
    Case { of, ..case }
}

const fn by_peer(title: &'static str, cases: &'static [Case]) -> Grid {
    Grid { title, rows: Rows::Peers, cases }
}

const fn by_case(title: &'static str, cases: &'static [Case]) -> Grid {
    Grid { title, rows: Rows::Cases, cases }
}

/// sendloop's names in section H.
const ON: [&str; 2] = ["sendloop on ", ""];

pub const SECTIONS: [Section; 11] = [
    Section {
        letter: "A",
        title: "One large file",
        plot: Some("a"),
        grids: &[
            by_peer("CPU time for a MiB, in µs", &[cost("CPU", "A large file")]),
            by_peer(
                "The same by the most KiB of a call, in another run",
                &[
                    cost("any size", "A call sizes"),
                    part(["", "_64k"], cost("64", "A call sizes")),
                    part(["", "_128k"], cost("128", "A call sizes")),
                    part(["", "_256k"], cost("256", "A call sizes")),
                    part(["", "_512k"], cost("512", "A call sizes")),
                    part(["", "_1024k"], cost("1,024", "A call sizes")),
                    part(["", "_2048k"], cost("2,048", "A call sizes")),
                ],
            ),
        ],
        remarks: include_str!("remarks/a.md"),
    },
    Section {
        letter: "B",
        title: "Small files",
        plot: Some("b"),
        grids: &[by_peer(
            "CPU time for a send, in µs",
            &[
                cost("4 KiB", "B 4 KiB"),
                cost("64 KiB", "B 64 KiB"),
                cost("4 KiB, no position", "B no position"),
                cost("10,000 files", "B many files"),
            ],
        )],
        remarks: include_str!("remarks/b.md"),
    },
    Section {
        letter: "C",
        title: "Echo",
        plot: Some("c"),
        grids: &[
            by_peer(
                "Equal bursts: CPU time for a request, in µs; bytes of memory of an idle connection",
                &[
                    cost("1 connection", "C echo 1"),
                    cost("64", "C echo 64"),
                    cost("1,000", "C echo 1000"),
                    case("memory", "C memory", Cell::Number("rss_per_connection")),
                ],
            ),
            by_peer(
                "Free run: CPU time for a request, in µs; latencies at 1,000 connections, in ms",
                &[
                    cost("1 connection", "C latency 1"),
                    cost("64", "C latency 64"),
                    cost("1,000", "C latency 1000"),
                    case("median", "C latency 1000", Cell::Time("p50", Milliseconds)),
                    case("p99", "C latency 1000", Cell::Time("p99", Milliseconds)),
                ],
            ),
        ],
        remarks: include_str!("remarks/c.md"),
    },
    Section {
        letter: "D",
        title: "Tasks, timers and threads",
        plot: Some("d"),
        grids: &[by_case(
            "CPU time for an operation, in ns",
            &[
                nanoseconds("create and join, 1,000 at once", "D create"),
                nanoseconds("create and join, one by one", "D create_one"),
                nanoseconds("yield among 1,000 tasks", "D yield_many"),
                nanoseconds("yield alone", "D yield"),
                nanoseconds("… with a socket registered", "D socket_yield"),
                nanoseconds("two tasks wake each other", "D wake"),
                nanoseconds("… with a socket registered", "D socket_wake"),
                nanoseconds("wake from another thread", "D thread"),
                nanoseconds("callback", "D call_soon"),
                nanoseconds("set and drop a timer", "D timer_drop"),
                nanoseconds("fire a million timers, rising deadlines", "D timer_fire"),
                nanoseconds("… random deadlines", "D timer_random"),
                nanoseconds("job on a thread, one by one", "D executor"),
                nanoseconds("job on a thread, 1,000 at once", "D executor_many"),
            ],
        )],
        remarks: include_str!("remarks/d.md"),
    },
    Section {
        letter: "E",
        title: "A file server",
        plot: Some("e"),
        grids: &[
            by_peer(
                "CPU time for a request, or for a MiB of the two largest files, in µs",
                &[
                    cost("1 KiB", "E 1 KiB"),
                    cost("64 KiB", "E 64 KiB"),
                    cost("1 MiB", "E 1 MiB"),
                    cost("1 KiB, no keep-alive", "E close 1 KiB"),
                    cost("100 MiB", "E 100 MiB"),
                    cost("1 GiB", "E 1 GiB"),
                ],
            ),
            by_peer(
                "Requests in a second, or MiB of the two largest files; latencies at 1 KiB, in µs",
                &[
                    case("1 KiB", "E 1 KiB", Cell::Rate),
                    case("64 KiB", "E 64 KiB", Cell::Rate),
                    case("1 MiB", "E 1 MiB", Cell::Rate),
                    case("1 KiB, no keep-alive", "E close 1 KiB", Cell::Rate),
                    case("100 MiB", "E 100 MiB", Cell::Rate),
                    case("1 GiB", "E 1 GiB", Cell::Rate),
                    case("median", "E 1 KiB", Cell::Time("p50", Microseconds)),
                    case("p99", "E 1 KiB", Cell::Time("p99", Microseconds)),
                ],
            ),
            by_peer(
                "A site of 10,000 files: CPU time for a request, in µs; requests in a second",
                &[
                    cost("random order", "E many files"),
                    cost("90 % for 1 %", "E 90/10"),
                    cost("overlayfs", "E overlayfs"),
                    case("random order", "E many files", Cell::Rate),
                    case("90 % for 1 %", "E 90/10", Cell::Rate),
                    case("bytes of memory", "E many files", Cell::Number("rss")),
                ],
            ),
        ],
        remarks: include_str!("remarks/e.md"),
    },
    Section {
        letter: "F",
        title: "Growth",
        plot: Some("f"),
        grids: &[
            by_peer(
                "CPU time for an echo, in µs, by connections",
                &[
                    cost("10", "F echo 10"),
                    cost("100", "F echo 100"),
                    cost("1,000", "F echo 1000"),
                    cost("10,000", "F echo 10000"),
                    case("growth", "F echo 10000", Cell::Number("growth")),
                ],
            ),
            by_peer(
                "CPU time for a MiB of files, in µs, by connections",
                &[
                    cost("10", "F files 10"),
                    cost("100", "F files 100"),
                    cost("1,000", "F files 1000"),
                    cost("10,000", "F files 10000"),
                    case("growth", "F files 10000", Cell::Number("growth")),
                    case("bytes of memory", "F files 10000", Cell::Number("rss_per_connection")),
                ],
            ),
            by_peer(
                "CPU time for a task that yields ten times, in ns, by tasks at once",
                &[
                    nanoseconds("1,000", "F tasks 1000"),
                    nanoseconds("10,000", "F tasks 10000"),
                    nanoseconds("100,000", "F tasks 100000"),
                    nanoseconds("a million", "F tasks 1000000"),
                    case("growth", "F tasks 1000000", Cell::Number("growth")),
                ],
            ),
            by_peer(
                "CPU time for a timer, in ns, by timers at once",
                &[
                    nanoseconds("1,000", "F timers 1000"),
                    nanoseconds("10,000", "F timers 10000"),
                    nanoseconds("100,000", "F timers 100000"),
                    nanoseconds("a million", "F timers 1000000"),
                    case("growth", "F timers 1000000", Cell::Number("growth")),
                ],
            ),
        ],
        remarks: include_str!("remarks/f.md"),
    },
    Section {
        letter: "G",
        title: "Cold files",
        plot: Some("g"),
        grids: &[
            by_peer(
                "Worst lateness of a transfer, in ms (median); CPU time for a MiB at 100 MB/s, in µs",
                &[
                    case("disk", "G disk", Cell::Time("late", Milliseconds)),
                    case("slow reads", "G fuse", Cell::Time("late", Milliseconds)),
                    case("missing pages", "G holes", Cell::Time("late", Milliseconds)),
                    cost("CPU", "G limited"),
                    case("MiB in a second", "G limited", Cell::Rate),
                ],
            ),
            by_peer(
                "Worst lateness of a small request over HTTP, in ms",
                &[
                    case("disk", "G disk http", Cell::Time("late", Milliseconds)),
                    case("slow reads", "G fuse http", Cell::Time("late", Milliseconds)),
                ],
            ),
        ],
        remarks: include_str!("remarks/g.md"),
    },
    Section {
        letter: "H",
        title: "File systems",
        plot: None,
        grids: &[by_peer(
            "A file of 1 GiB from the page cache, and 10,000 transfers whose clients do not read",
            &[
                part(ON, cost("µs of CPU for a MiB", "H warm")),
                part(["blocking on ", ""], cost("`blocking`", "H warm")),
                part(ON, case("bytes read", "H reads", Cell::Number("bytes_read"))),
                part(ON, case("bytes of memory", "H stalled", Cell::Number("rss_per_connection"))),
                part(ON, case("mappings", "H stalled", Cell::Number("mappings_of_file"))),
            ],
        )],
        remarks: include_str!("remarks/h.md"),
    },
    Section {
        letter: "I",
        title: "Short connections, datagrams, a proxy",
        plot: Some("i"),
        grids: &[by_peer(
            "CPU time for a connection, a datagram, or a MiB, in µs; MiB of the proxy in a second",
            &[
                cost("connection", "I churn"),
                cost("UDP, 64 bytes", "I udp 64"),
                cost("UDP, 1,400 bytes", "I udp 1400"),
                cost("proxy, 8 KiB", "I proxy"),
                part(["", "_64k"], cost("64 KiB", "I proxy")),
                case("MiB, 8 KiB", "I proxy", Cell::Rate),
                part(["", "_64k"], case("MiB, 64 KiB", "I proxy", Cell::Rate)),
            ],
        )],
        remarks: include_str!("remarks/i.md"),
    },
    Section {
        letter: "J",
        title: "Build time and size",
        plot: None,
        grids: &[by_peer(
            "An echo server, built from nothing and stripped",
            &[
                case("seconds", "J build", Cell::Number("seconds")),
                cost_in(Seconds, "seconds of CPU", "J build"),
                case("KB", "J build", Cell::Number("kilobytes")),
            ],
        )],
        remarks: include_str!("remarks/j.md"),
    },
    Section {
        letter: "S",
        title: "System calls",
        plot: None,
        grids: &[
            by_peer(
                "System calls for a MiB of a large file, and for a small send",
                &[
                    case("MiB", "S large file", Cell::Calls),
                    case("64 KiB", "S send 64 KiB", Cell::Calls),
                    case("4 KiB", "S send 4 KiB", Cell::Calls),
                    case("those for 4 KiB", "S send 4 KiB", Cell::CallNames),
                ],
            ),
            by_peer(
                "System calls for an echo, 64 connections",
                &[case("all", "C calls", Cell::Calls), case("by name", "C calls", Cell::CallNames)],
            ),
        ],
        remarks: include_str!("remarks/s.md"),
    },
];

impl Section {
    /// Writes the remarks, the plot if it was drawn, and the tables.
    pub fn write(&self, page: &mut String, all: &Tables, plots: &Path) -> Result<()> {
        heading(page, &format!("{}. {}", self.letter, self.title))?;
        page.push_str(self.remarks);
        let is_drawn = |plot: &&str| plots.join(format!("{plot}.svg")).exists();
        if let Some(plot) = self.plot.filter(is_drawn) {
            page.push_str(&format!("\n![{}][plot-{plot}]\n", self.title));
        }
        self.grids.iter().try_for_each(|grid| grid.write(page, all))
    }
}
