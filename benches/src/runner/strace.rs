//! System calls for one unit of work, by name.
//!
//! Each side runs twice under `strace -f -c`, with two amounts of work. Calls for start, accept and
//! end are in both runs, so the difference belongs to the work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::program::Program;
use super::results::{Sample, Series};
use super::side::Side;

type Calls = BTreeMap<String, f64>;

/// Returns one sample of a peer with its calls per unit. `work` gets the amount to do.
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
    let sample =
        Sample { units, cpu: 0.0, wall: 0.0, other: difference(&counted[0], &counted[1], units) };
    Ok(Series { peer: peer.to_string(), samples: vec![sample] })
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

/// The number of calls by which the starts and ends of two runs may differ.
const RARE_CALLS: f64 = 4.0;

/// Returns the additional calls for each unit.
fn difference(less: &Calls, more: &Calls, units: f64) -> Calls {
    let mut per_unit = Calls::new();
    for (name, calls) in more {
        let before = less.get(name).copied().unwrap_or(0.0);
        if calls - before > RARE_CALLS {
            per_unit.insert(name.clone(), (calls - before) / units);
        }
    }
    let all = per_unit.values().sum();
    per_unit.insert("all".to_string(), all);
    per_unit
}

/// The calls that read a file into memory.
const READS: &str = "trace=read,readv,pread64,preadv,preadv2";

/// Returns the number of bytes of a folder's files that a side reads into its memory while it
/// works.
pub fn bytes_read(
    program: &Program,
    (files, folder): (&Path, &Path),
    work: impl FnOnce(&mut Side) -> Result<()>,
) -> Result<u64> {
    let file = folder.join("strace.txt");
    // The trace shows the paths of descriptors and no data.
    let mut side = program.start_under_strace(&["-y", "-s", "0", "-e", READS], &file)?;
    work(&mut side)?;
    side.end()?;
    let mark = format!("<{}/", files.canonicalize()?.display());
    Ok(sum_of_results(&fs::read_to_string(file)?, &mark))
}

/// Sums the results of calls that name `mark`: "PID CALL(…) = RESULT", possibly in two parts.
fn sum_of_results(trace: &str, mark: &str) -> u64 {
    let mut interrupted = BTreeSet::new();
    let mut sum = 0;
    for line in trace.lines() {
        let (process, call) = line.split_once(' ').unwrap_or_default();
        let call = call.trim();
        let is_ours = match call.starts_with("<...") {
            true => interrupted.remove(process),
            false => call.contains(mark),
        };
        if is_ours && call.ends_with("<unfinished ...>") {
            interrupted.insert(process);
        } else if is_ours {
            let result = call.rsplit_once(" = ").map_or("", |(_, result)| result);
            let number = result.split(' ').next().unwrap_or_default();
            sum += number.parse().unwrap_or(0);
        }
    }
    sum
}
