//! The page of results: what was to be reached and what was, a table and a plot for each work, and what is to be said of it.

mod earlier;
mod figures;
mod goals;
mod machine;
mod plots;
mod sections;
mod tables;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::Result;

use crate::Options;
use crate::runner::results::{self, Table};
use earlier::Earlier;
use sections::SECTIONS;

type Tables = BTreeMap<String, Table>;

/// Writes `BENCHMARKS.md` and its plots.
pub fn write(options: &Options) -> Result<()> {
    let tables = results::load(&options.folder)?;
    let mut page = String::from(include_str!("remarks/head.md"));
    machine::describe(&mut page, &options.folder)?;
    let path = options.docs.join("BENCHMARKS.md");
    let earlier = match options.only.is_empty() {
        true => Earlier::default(),
        false => Earlier::read(&path),
    };
    goals::write(&mut page, &tables, &earlier)?;
    for section in &SECTIONS {
        section.write(&mut page, &tables, &earlier)?;
    }
    let plots = options.docs.join("benchmarks");
    fs::create_dir_all(&plots)?;
    plots::draw(&plots, &tables)?;
    plots::define(&mut page, &plots)?;
    fs::write(path, page)?;
    Ok(())
}

/// A heading and an empty line.
fn heading(page: &mut String, text: &str) -> Result<()> {
    Ok(writeln!(page, "\n## {text}\n")?)
}
