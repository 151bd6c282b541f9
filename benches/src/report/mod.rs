//! The page of results: targets, tables, plots and remarks.
//!
//! It depends on `results.json` alone, which has the samples of every workload. A run of some
//! workloads replaces their samples and keeps those of the others.

mod figures;
mod goals;
mod labels;
mod machine;
mod plots;
mod sections;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::Result;

use crate::Options;
use crate::runner::results::{Results, Table};
use sections::SECTIONS;

type Tables = BTreeMap<String, Table>;

/// Keeps the machine and the versions of a run with its results.
pub fn note_machine(options: &Options) -> Result<()> {
    let folder = options.plots();
    let mut results = Results::load(&folder)?;
    results.machine = machine::lines(&options.folder);
    results.store(&folder)
}

/// Writes `BENCHMARKS.md` and its plots.
pub fn write(options: &Options) -> Result<()> {
    let plots = options.plots();
    let results = Results::load(&plots)?;
    plots::draw(&plots, &results.tables)?;
    let mut page = String::from(include_str!("remarks/head.md"));
    heading(&mut page, "Machine and versions")?;
    for line in &results.machine {
        writeln!(page, "- {line}")?;
    }
    goals::write(&mut page, &results.tables)?;
    for section in &SECTIONS {
        section.write(&mut page, &results.tables, &plots)?;
    }
    plots::define(&mut page, &plots)?;
    fs::write(options.docs.join("BENCHMARKS.md"), page)?;
    Ok(())
}

/// Writes a heading and an empty line.
fn heading(page: &mut String, text: &str) -> Result<()> {
    Ok(writeln!(page, "\n## {text}\n")?)
}
