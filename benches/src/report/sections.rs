//! What the page has, in order.

use anyhow::Result;

use super::earlier::Earlier;
use super::figures::{digits, seconds};
use super::{Tables, heading, tables};
use crate::runner::results::{Series, Table};

/// How the tables of a section are written.
pub enum Shape {
    /// With these figures beside the times.
    Times(&'static [(&'static str, &'static str)]),
    Counts,
    Lateness,
    /// Nothing but these figures.
    Figures(&'static [(&'static str, &'static str)]),
    /// By number of connections.
    Growth,
}

pub struct Section {
    letter: &'static str,
    title: &'static str,
    plot: Option<&'static str>,
    /// How the keys of its tables begin, and how these are written.
    keys: &'static [(&'static str, Shape)],
    remarks: &'static str,
}

const LATENCY: &[(&str, &str)] = &[("p50", "median latency"), ("p99", "p99")];

const READS: &[(&str, &str)] = &[("bytes_read", "bytes")];
const PARKED: &[(&str, &str)] = &[
    ("rss_per_connection", "bytes of memory for one"),
    ("mappings_of_file", "mappings of the file"),
    ("mappings", "more lines in /proc/self/maps"),
];

pub const SECTIONS: [Section; 9] = [
    Section {
        letter: "A",
        title: "One large file",
        plot: Some("a"),
        keys: &[("A ", Shape::Times(&[]))],
        remarks: include_str!("remarks/a.md"),
    },
    Section {
        letter: "B",
        title: "Many small sends",
        plot: Some("b"),
        keys: &[("B ", Shape::Times(&[]))],
        remarks: include_str!("remarks/b.md"),
    },
    Section {
        letter: "C",
        title: "Echo",
        plot: Some("c"),
        keys: &[
            ("C echo", Shape::Times(LATENCY)),
            ("C latency", Shape::Times(LATENCY)),
        ],
        remarks: include_str!("remarks/c.md"),
    },
    Section {
        letter: "D",
        title: "Tasks and timers",
        plot: Some("d"),
        keys: &[("D ", Shape::Times(&[]))],
        remarks: include_str!("remarks/d.md"),
    },
    Section {
        letter: "E",
        title: "A file server",
        plot: Some("e"),
        keys: &[
            ("E 1 KiB", Shape::Times(LATENCY)),
            ("E 1 MiB", Shape::Times(LATENCY)),
            ("E 64 KiB", Shape::Times(LATENCY)),
            ("E 1 GiB", Shape::Times(&[])),
        ],
        remarks: include_str!("remarks/e.md"),
    },
    Section {
        letter: "F",
        title: "Growth",
        plot: Some("f"),
        keys: &[("F echo ", Shape::Growth), ("F files ", Shape::Growth)],
        remarks: include_str!("remarks/f.md"),
    },
    Section {
        letter: "G",
        title: "Cold files",
        plot: Some("g"),
        keys: &[
            ("G disk", Shape::Lateness),
            ("G fuse", Shape::Lateness),
            ("G holes", Shape::Lateness),
            ("G limited", Shape::Times(&[])),
        ],
        remarks: include_str!("remarks/g.md"),
    },
    Section {
        letter: "H",
        title: "File systems",
        plot: None,
        keys: &[
            ("H warm", Shape::Times(&[])),
            ("H reads", Shape::Figures(READS)),
            ("H parked", Shape::Figures(PARKED)),
        ],
        remarks: include_str!("remarks/h.md"),
    },
    Section {
        letter: "S",
        title: "System calls",
        plot: None,
        keys: &[("S ", Shape::Counts), ("C calls", Shape::Counts)],
        remarks: include_str!("remarks/s.md"),
    },
];

impl Section {
    pub fn write(&self, page: &mut String, all: &Tables, earlier: &Earlier) -> Result<()> {
        let title = format!("{}. {}", self.letter, self.title);
        let start = page.len();
        heading(page, &title)?;
        self.write_new(page, all)?;
        let kept = earlier.tables_missing_in(&title, &page[start..]);
        page.push_str(&kept);
        Ok(())
    }

    fn write_new(&self, page: &mut String, all: &Tables) -> Result<()> {
        page.push_str(self.remarks);
        if let Some(plot) = self.plot {
            page.push_str(&format!("\n![{}][plot-{plot}]\n", self.title));
        }
        for (keys, shape) in self.keys {
            let tables: Vec<&Table> = of(all, keys);
            match *shape {
                Shape::Times(others) => tables
                    .iter()
                    .try_for_each(|table| tables::of_times(page, table, others))?,
                Shape::Counts => tables
                    .iter()
                    .try_for_each(|table| tables::of_counts(page, table))?,
                Shape::Lateness => tables
                    .iter()
                    .try_for_each(|table| tables::of_lateness(page, table))?,
                Shape::Figures(figures) => tables
                    .iter()
                    .try_for_each(|table| tables::of_figures(page, table, figures))?,
                Shape::Growth => growth(page, keys, &tables)?,
            }
        }
        Ok(())
    }
}

/// The tables whose keys begin so, and what follows is a number's by that.
pub fn of<'a>(all: &'a Tables, keys: &str) -> Vec<&'a Table> {
    let mut tables: Vec<&Table> = all
        .values()
        .filter(|table| table.key.starts_with(keys))
        .collect();
    tables.sort_by_key(|table| (number(table), table.key.clone()));
    tables
}

fn number(table: &Table) -> u64 {
    let last = table.key.split(' ').next_back();
    last.and_then(|last| last.parse().ok()).unwrap_or(0)
}

fn growth(page: &mut String, keys: &str, tables: &[&Table]) -> Result<()> {
    let names: Vec<String> = tables
        .iter()
        .map(|table| digits(number(table) as f64))
        .collect();
    let sizes: Vec<(&str, &Table)> = names
        .iter()
        .map(String::as_str)
        .zip(tables.iter().copied())
        .collect();
    let what = keys.trim_start_matches("F ").trim_end();
    let unit = tables.first().map_or("", |table| &table.unit);
    let title = format!("CPU for one {unit} ({what}), by connections");
    tables::of_growth(page, &title, &sizes, Series::cost, seconds)?;
    let memory = |series: &Series| series.other("rss_per_connection");
    let title = format!("Bytes of memory for one connection ({what})");
    tables::of_growth(page, &title, &sizes, memory, digits)
}
