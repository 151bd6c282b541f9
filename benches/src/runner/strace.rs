//! System calls for one unit of work, by name.
//!
//! Each side runs twice under `strace -f -c`, from its start to its end, with two amounts of work. What it calls to start, to accept and
//! to end is in both, so the difference of the two is what the difference of the work took.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::program::Program;
use super::results::{Sample, Series};
use super::side::Side;

type Calls = BTreeMap<String, f64>;

/// The series of one peer: one sample, whose other figures are the calls per unit. `work` does as much as it is told.
pub fn series(
    peer: &str,
    (program, folder): (&Program, &Path),
    amounts: [u64; 2],
    mut work: impl FnMut(&mut Side, u64) -> Result<()>,
) -> Result<Series> {
    let mut counted = Vec::new();
    for amount in amounts {
        let calls = count(program, folder, |side| work(side, amount));
        counted.push(calls.with_context(|| format!("{peer} under strace"))?);
    }
    let units = (amounts[1] - amounts[0]) as f64;
    let sample = Sample {
        units,
        cpu: 0.0,
        wall: 0.0,
        other: difference(&counted[0], &counted[1], units),
    };
    Ok(Series {
        peer: peer.to_string(),
        samples: vec![sample],
    })
}

fn count(
    program: &Program,
    folder: &Path,
    work: impl FnOnce(&mut Side) -> Result<()>,
) -> Result<Calls> {
    let file = folder.join("strace.txt");
    let mut side = program.start_traced(&file)?;
    work(&mut side)?;
    side.end()?;
    parse(&fs::read_to_string(file)?)
}

/// The lines between the two rules are "CALLS NAME".
fn parse(table: &str) -> Result<Calls> {
    let is_rule = |line: &&str| line.starts_with('-');
    let mut lines = table.lines().skip_while(|line| !is_rule(line)).skip(1);
    let mut calls = Calls::new();
    for line in lines.by_ref().take_while(|line| !is_rule(line)) {
        let (count, name) = line.trim().split_once(' ').context("CALLS NAME")?;
        calls.insert(name.trim().to_string(), count.parse()?);
    }
    ensure!(!calls.is_empty(), "strace counted nothing");
    Ok(calls)
}

/// How many calls the starts and the ends of two runs may differ by: whether a connection's end was still seen, memory.
const ACCIDENTS: f64 = 4.0;

/// What there are more of, for each unit.
fn difference(less: &Calls, more: &Calls, units: f64) -> Calls {
    let mut per_unit = Calls::new();
    for (name, calls) in more {
        let before = less.get(name).copied().unwrap_or(0.0);
        if calls - before > ACCIDENTS {
            per_unit.insert(name.clone(), (calls - before) / units);
        }
    }
    let all = per_unit.values().sum();
    per_unit.insert("all".to_string(), all);
    per_unit
}
