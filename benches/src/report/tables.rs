//! Tables of text.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use super::Tables;
use super::figures::{digits, percent, seconds};
use super::labels::{OURS, is_ours, label};
use crate::runner::before::BEFORE;
use crate::runner::results::{Sample, Series, Table};

/// A table: a case has a column and a peer a row, or the other way round.
pub struct Grid {
    pub title: &'static str,
    pub rows: Rows,
    pub cases: &'static [Case],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Peers,
    Cases,
}

/// One figure of one table of samples.
pub struct Case {
    pub head: &'static str,
    pub key: &'static str,
    pub cell: Cell,
}

/// The text of a cell.
#[derive(Clone, Copy)]
pub enum Cell {
    /// CPU time of a unit, its spread, and its ratio to ours.
    Cost,
    /// Units in a second.
    Rate,
    /// Another figure in seconds.
    Time(&'static str),
    /// Another figure without a unit.
    Number(&'static str),
    /// The number of system calls.
    Calls,
    /// The system calls by name.
    CallNames,
}

impl Grid {
    pub fn write(&self, page: &mut String, all: &Tables) -> Result<()> {
        let mut cases = Vec::new();
        for case in self.cases {
            cases.extend(all.get(case.key).map(|table| (case, table)));
        }
        if cases.is_empty() {
            return Ok(());
        }
        let peers = peers(&cases);
        let mut rows: Vec<Vec<String>> = Vec::new();
        match self.rows {
            Rows::Peers => {
                rows.push(row("", cases.iter().map(|(case, _)| case.head.to_string())));
                for peer in &peers {
                    let cells = cases.iter().map(|(case, table)| case.text(table, peer));
                    rows.push(row(&label(peer), cells));
                }
            }
            Rows::Cases => {
                rows.push(row("", peers.iter().map(|peer| label(peer))));
                for (case, table) in &cases {
                    let cells = peers.iter().map(|peer| case.text(table, peer));
                    rows.push(row(case.head, cells));
                }
            }
        }
        writeln!(page, "\n**{}**\n", self.title)?;
        for (number, row) in rows.iter().enumerate() {
            writeln!(page, "| {} |", row.join(" | "))?;
            if number == 0 {
                writeln!(page, "|{}", "---|".repeat(row.len()))?;
            }
        }
        Ok(())
    }
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once(head.to_string()).chain(cells).collect()
}

/// Returns all peers, ours first.
fn peers<'a>(cases: &[(&Case, &'a Table)]) -> Vec<&'a str> {
    let mut peers: Vec<&str> = Vec::new();
    for series in cases.iter().flat_map(|(_, table)| &table.series) {
        // The page lists the earlier commit elsewhere.
        if !peers.contains(&series.peer.as_str()) && series.peer != BEFORE {
            peers.push(&series.peer);
        }
    }
    peers.sort_by_key(|peer| !is_ours(peer));
    peers
}

impl Case {
    fn text(&self, table: &Table, peer: &str) -> String {
        let Some(series) = table.series(peer) else {
            return String::new();
        };
        match self.cell {
            Cell::Cost => cost(table, series),
            Cell::Rate => digits(series.rate().median),
            Cell::Time(name) => seconds(series.other(name).median),
            Cell::Number(name) => digits(series.other(name).median),
            Cell::Calls => format!("{:.2}", calls(series).values().sum::<f64>()),
            Cell::CallNames => {
                let calls = calls(series).into_iter();
                let calls = calls.filter(|(_, count)| *count >= 0.1);
                let calls: Vec<String> = calls
                    .map(|(name, count)| match count {
                        count if (count - 1.0).abs() < 0.1 => name.to_string(),
                        _ => format!("{name} {count:.1}"),
                    })
                    .collect();
                calls.join(", ")
            }
        }
    }
}

/// CPU time with its spread, and its ratio to ours in brackets.
fn cost(table: &Table, series: &Series) -> String {
    let cost = series.cost();
    let mut text = seconds(cost.median);
    if cost.low < cost.high {
        let half = (cost.high - cost.low) / 2.0 / cost.median;
        text.push_str(&format!(" ±{}", percent(half)));
    }
    let ours = OURS.into_iter().find(|name| table.series(name).is_some());
    let ratio = ours.filter(|ours| *ours != series.peer);
    if let Some(ratio) = ratio.and_then(|ours| table.ratio(&series.peer, ours)) {
        text.push_str(&format!(" ({})", digits(ratio.median)));
    }
    text
}

/// Returns the system calls of a unit by name, without rare ones.
fn calls(series: &Series) -> BTreeMap<&str, f64> {
    let names = series.samples.iter().flat_map(|sample: &Sample| &sample.other);
    names
        .map(|(name, count)| (name.as_str(), *count))
        .filter(|(name, count)| *count >= 0.01 && !["all", "beside polls"].contains(name))
        .collect()
}
