//! What the page has, in order.

use anyhow::Result;

use super::figures::{digits, seconds};
use super::{Tables, heading, tables};
use crate::runner::results::{Series, Table};

/// How the tables of a section are written.
pub enum Shape {
    /// With these figures beside the times.
    Times(&'static [(&'static str, &'static str)]),
    Counts,
    Lateness,
    /// By number of connections.
    Growth,
}

pub struct Section {
    letter: &'static str,
    title: &'static str,
    plot: Option<&'static str>,
    /// How the keys of its tables begin.
    keys: &'static [&'static str],
    shape: Shape,
    remarks: &'static str,
}

const LATENCY: &[(&str, &str)] = &[("p50", "median latency"), ("p99", "p99")];

pub const SECTIONS: [Section; 8] = [
    Section {
        letter: "A",
        title: "One large file",
        plot: Some("a.svg"),
        keys: &["A "],
        shape: Shape::Times(&[]),
        remarks: include_str!("remarks/a.md"),
    },
    Section {
        letter: "B",
        title: "Many small sends",
        plot: Some("b.svg"),
        keys: &["B "],
        shape: Shape::Times(&[]),
        remarks: include_str!("remarks/b.md"),
    },
    Section {
        letter: "C",
        title: "Echo",
        plot: Some("c.svg"),
        keys: &["C echo", "C latency"],
        shape: Shape::Times(LATENCY),
        remarks: include_str!("remarks/c.md"),
    },
    Section {
        letter: "D",
        title: "Tasks and timers",
        plot: Some("d.svg"),
        keys: &["D "],
        shape: Shape::Times(&[]),
        remarks: include_str!("remarks/d.md"),
    },
    Section {
        letter: "E",
        title: "A file server",
        plot: Some("e.svg"),
        keys: &["E "],
        shape: Shape::Times(LATENCY),
        remarks: include_str!("remarks/e.md"),
    },
    Section {
        letter: "F",
        title: "Growth",
        plot: Some("f.svg"),
        keys: &["F echo ", "F files "],
        shape: Shape::Growth,
        remarks: include_str!("remarks/f.md"),
    },
    Section {
        letter: "G",
        title: "Cold files",
        plot: Some("g.svg"),
        keys: &["G "],
        shape: Shape::Lateness,
        remarks: include_str!("remarks/g.md"),
    },
    Section {
        letter: "S",
        title: "System calls",
        plot: None,
        keys: &["S ", "C calls"],
        shape: Shape::Counts,
        remarks: include_str!("remarks/s.md"),
    },
];

impl Section {
    pub fn write(&self, page: &mut String, all: &Tables) -> Result<()> {
        heading(page, &format!("{}. {}", self.letter, self.title))?;
        page.push_str(self.remarks);
        if let Some(plot) = self.plot {
            page.push_str(&format!("\n![{}](benchmarks/{plot})\n", self.title));
        }
        for keys in self.keys {
            let tables: Vec<&Table> = of(all, keys);
            match self.shape {
                Shape::Times(others) => tables
                    .iter()
                    .try_for_each(|table| tables::of_times(page, table, others))?,
                Shape::Counts => tables
                    .iter()
                    .try_for_each(|table| tables::of_counts(page, table))?,
                Shape::Lateness => tables
                    .iter()
                    .try_for_each(|table| tables::of_lateness(page, table))?,
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
