//! Benchmarks of sendloop and its peers.
//!
//! The program is both ends of a measurement. `side NAME ARGUMENT…` is the measured process: one
//! peer with one workload, pinned to a core. `run` is the runner: it starts the sides, gives them
//! the same work in turns, reads their CPU clocks and keeps the samples. `report` writes the page
//! with its tables and plots from the samples.

mod report;
mod runner;
mod servers;
mod sides;
mod sizes;
mod storage;
mod workloads;

use std::path::PathBuf;

use anyhow::Result;
use lexopt::prelude::*;

/// The arguments of the runner.
pub struct Options {
    /// The names of the workloads to run, or none for all.
    only: Vec<String>,
    /// Does a fifth of the work in three rounds.
    quick: bool,
    /// The folder of the files and programs that the workloads need.
    folder: PathBuf,
    /// The folder of the page.
    docs: PathBuf,
}

impl Options {
    /// The folder of the plots and the results.
    fn plots(&self) -> PathBuf {
        self.docs.join("benchmarks")
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("side") => sides::run(&arguments.collect::<Vec<_>>()),
        Some("report") => report::write(&options(arguments)?),
        Some("run") => {
            let options = options(arguments)?;
            workloads::run(&options)?;
            report::note_machine(&options)?;
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
        docs: PathBuf::new(),
    };
    let mut docs = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => options.quick = true,
            Long("folder") => options.folder = parser.value()?.into(),
            Long("before") => runner::before::set(parser.value()?.into())?,
            Long("docs") => docs = Some(PathBuf::from(parser.value()?)),
            Value(letter) => options.only.push(letter.string()?.to_uppercase()),
            other => return Err(other.unexpected().into()),
        }
    }
    // A quick run does not replace the published page. Its page stays with the files of the run.
    options.docs = docs.unwrap_or_else(|| match options.quick {
        true => options.folder.join("quick"),
        false => PathBuf::from("../docs"),
    });
    Ok(options)
}
