//! Tables of one workload in several sizes, which are all measured in the same rounds.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::runner::results::{Series, Table};

/// Returns the size in a name like `mio 1000`.
pub fn size(name: &str) -> Result<usize> {
    let (_, size) = name.rsplit_once(' ').context("PEER SIZE")?;
    Ok(size.parse()?)
}

/// Splits a table of peers named `PEER SIZE` into a table for each size.
///
/// Each sample gets a figure `growth`: its cost divided by that of the smallest size in the same
/// round.
pub fn by_size(all: &Table, title: impl Fn(usize) -> String) -> Result<Vec<Table>> {
    let mut tables: BTreeMap<usize, Vec<Series>> = BTreeMap::new();
    for series in &all.series {
        let size = size(&series.peer)?;
        tables.entry(size).or_default().push(series.clone());
    }
    let smallest = tables.values().next().context("a size")?.clone();
    for (number, small) in smallest.iter().enumerate() {
        for series in tables.values_mut() {
            let series = series.get_mut(number).context("all peers in all sizes")?;
            for (sample, small) in series.samples.iter_mut().zip(&small.samples) {
                let growth = sample.cost() / small.cost();
                sample.other.insert("growth".to_string(), growth);
            }
            let (peer, _) = series.peer.rsplit_once(' ').context("PEER SIZE")?;
            series.peer = peer.to_string();
        }
    }
    let table = |(size, series)| Table {
        key: format!("{} {size}", all.key),
        title: title(size),
        unit: all.unit.clone(),
        series,
    };
    Ok(tables.into_iter().map(table).collect())
}
