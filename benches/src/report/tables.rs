//! Tables of text.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use super::Tables;
use super::figures::{Unit, digits, percent};
use super::labels::{OURS, is_ours, short_label};
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
    /// The start and the end of the peers' names, which the labels of the peers leave out.
    pub of: [&'static str; 2],
}

/// The text of a cell.
#[derive(Clone, Copy)]
pub enum Cell {
    /// CPU time of a unit of work, its spread, and its ratio to ours.
    Cost(Unit),
    /// Units in a second.
    Rate,
    /// Another figure that is a time.
    Time(&'static str, Unit),
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
        let peers = peers(&cases);
        // A case without figures has no column.
        cases.retain(|(case, table)| {
            let mut cells = peers.iter().map(|peer| case.text(table, peer));
            cells.any(|cell| !["", "–"].contains(&cell.as_str()))
        });
        if cases.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<Vec<String>> = Vec::new();
        match self.rows {
            Rows::Peers => {
                rows.push(row("", cases.iter().map(|(case, _)| case.head.to_string())));
                for peer in &peers {
                    let cells = cases.iter().map(|(case, table)| case.text(table, peer));
                    rows.push(row(&short_label(peer), cells));
                }
            }
            Rows::Cases => {
                rows.push(row("", peers.iter().map(|peer| short_label(peer))));
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

/// Returns all peers by the names of their rows, ours first.
fn peers<'a>(cases: &[(&Case, &'a Table)]) -> Vec<&'a str> {
    let mut peers: Vec<&str> = Vec::new();
    for (case, table) in cases {
        for series in &table.series {
            let peer = series.peer.as_str();
            let is_elsewhere = case.of == ALL
                && (cases.iter())
                    .any(|(other, _)| other.key == case.key && other.of != ALL && other.has(peer));
            let Some(peer) = case.row(peer).filter(|_| !is_elsewhere) else {
                continue;
            };
            // The page lists the earlier commit elsewhere.
            if !peers.contains(&peer) && peer != BEFORE {
                peers.push(peer);
            }
        }
    }
    peers.sort_by_key(|peer| !is_ours(peer));
    peers
}

/// The names of all peers, as they are.
pub const ALL: [&str; 2] = ["", ""];

impl Case {
    /// Returns the name of a peer's row, if the case has the peer.
    fn row<'a>(&self, peer: &'a str) -> Option<&'a str> {
        peer.strip_prefix(self.of[0])?.strip_suffix(self.of[1])
    }

    fn has(&self, peer: &str) -> bool {
        self.row(peer).is_some()
    }

    /// Returns the peer of a row.
    fn peer(&self, row: &str) -> String {
        format!("{}{row}{}", self.of[0], self.of[1])
    }

    fn text(&self, table: &Table, row: &str) -> String {
        let Some(series) = table.series(&self.peer(row)) else {
            return String::new();
        };
        match self.cell {
            Cell::Cost(unit) => self.cost(table, series, unit),
            Cell::Rate => digits(series.rate().median),
            Cell::Time(name, unit) => unit.text(series.other(name).median),
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

    /// CPU time with a large spread, and its ratio to ours in brackets.
    fn cost(&self, table: &Table, series: &Series, unit: Unit) -> String {
        let cost = series.cost();
        let mut text = unit.text(cost.median);
        let spread = (cost.high - cost.low) / 2.0 / cost.median;
        if spread >= LARGE_SPREAD {
            text.push_str(&format!(" ±{}", percent(spread)));
        }
        let ours = OURS.map(|name| self.peer(name)).into_iter().chain(OURS.map(String::from));
        let ours = ours.into_iter().find(|name| table.series(name).is_some());
        let ratio = ours.filter(|ours| *ours != series.peer);
        if let Some(ratio) = ratio.and_then(|ours| table.ratio(&series.peer, &ours)) {
            text.push_str(&format!(" ({})", digits(ratio.median)));
        }
        text
    }
}

/// The page leaves out smaller spreads.
const LARGE_SPREAD: f64 = 0.05;

/// Returns the system calls of a unit by name, without rare ones.
fn calls(series: &Series) -> BTreeMap<&str, f64> {
    let names = series.samples.iter().flat_map(|sample: &Sample| &sample.other);
    names
        .map(|(name, count)| (name.as_str(), *count))
        .filter(|(name, count)| *count >= 0.01 && !["all", "beside polls"].contains(name))
        .collect()
}
