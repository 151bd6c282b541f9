//! What sendloop costs, measured beside what one would use instead.
//!
//! The program is both ends of a measurement. As `side NAME ARGUMENT…` it is the measured process: one peer that does one work,
//! on a core of its own. Without arguments it is the runner: it starts the sides, gives them the same work in turns, reads their
//! CPU clocks, and keeps the samples; `report` makes tables and plots of them.

mod places;
mod report;
mod runner;
mod servers;
mod sides;
mod sizes;
mod works;

use std::path::PathBuf;

use anyhow::Result;
use lexopt::prelude::*;

/// What the runner is asked for.
pub struct Options {
    /// Works by their letters; all of them where there are none.
    only: Vec<String>,
    /// A tenth of the work, to see that it runs.
    quick: bool,
    /// Where files, peers and results are kept.
    folder: PathBuf,
    /// Where the page and its plots go.
    docs: PathBuf,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("side") => sides::run(&arguments.collect::<Vec<_>>()),
        Some("report") => report::write(&options(arguments)?),
        Some("run") => {
            let options = options(arguments)?;
            works::run(&options)?;
            report::write(&options)
        }
        Some("sizes") => sizes::run(&options(arguments)?),
        _ => anyhow::bail!("run | report | sizes | side NAME"),
    }
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut options = Options {
        only: Vec::new(),
        quick: false,
        folder: PathBuf::from("target/bench"),
        docs: PathBuf::from("../docs"),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => options.quick = true,
            Long("folder") => options.folder = parser.value()?.into(),
            Long("docs") => options.docs = parser.value()?.into(),
            Value(letter) => options.only.push(letter.string()?.to_uppercase()),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}
