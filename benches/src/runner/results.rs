//! Samples, and the figures that follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::Options;

/// The measurement of one peer in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The amount of work, in the table's unit.
    pub units: f64,
    /// CPU seconds of the measured process.
    pub cpu: f64,
    /// Seconds.
    pub wall: f64,
    /// Other measured figures, by name.
    pub other: BTreeMap<String, f64>,
}

impl Sample {
    /// CPU seconds for one unit.
    pub fn cost(&self) -> f64 {
        self.cpu / self.units
    }
}

/// The samples of one peer, round by round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Columns", into = "Columns")]
pub struct Series {
    pub peer: String,
    pub samples: Vec<Sample>,
}

/// A series as the file of results keeps it: a list for each figure.
#[derive(Clone, Serialize, Deserialize)]
struct Columns {
    peer: String,
    samples: usize,
    units: Column,
    cpu: Column,
    wall: Column,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    other: BTreeMap<String, Column>,
}

/// The figures of all samples, or the one that all of them share.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Column {
    Same(f64),
    Each(Vec<f64>),
}

impl Column {
    fn of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Column {
        let figures: Vec<f64> = samples.iter().map(figure).map(rounded).collect();
        match figures.first() {
            Some(first) if figures.iter().all(|figure| figure == first) => Column::Same(*first),
            _ => Column::Each(figures),
        }
    }

    fn get(&self, sample: usize) -> f64 {
        match self {
            Column::Same(figure) => *figure,
            Column::Each(figures) => figures.get(sample).copied().unwrap_or(0.0),
        }
    }
}

/// Keeps five digits.
fn rounded(figure: f64) -> f64 {
    format!("{figure:.4e}").parse().unwrap_or(figure)
}

impl From<Series> for Columns {
    fn from(Series { peer, samples }: Series) -> Columns {
        let all = samples.iter().flat_map(|sample| sample.other.keys());
        let names: BTreeSet<String> = all.cloned().collect();
        let column = |name: String| {
            let figure = |sample: &Sample| sample.other.get(&name).copied().unwrap_or(0.0);
            (name.clone(), Column::of(&samples, figure))
        };
        Columns {
            peer,
            samples: samples.len(),
            units: Column::of(&samples, |sample| sample.units),
            cpu: Column::of(&samples, |sample| sample.cpu),
            wall: Column::of(&samples, |sample| sample.wall),
            other: names.into_iter().map(column).collect(),
        }
    }
}

impl From<Columns> for Series {
    fn from(columns: Columns) -> Series {
        let other = |number| {
            let all = columns.other.iter();
            all.map(|(name, column)| (name.clone(), column.get(number))).collect()
        };
        let sample = |number| Sample {
            units: columns.units.get(number),
            cpu: columns.cpu.get(number),
            wall: columns.wall.get(number),
            other: other(number),
        };
        Series { samples: (0..columns.samples).map(sample).collect(), peer: columns.peer }
    }
}

/// One table: a workload of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The letter of the workload, and its part.
    pub key: String,
    pub title: String,
    pub unit: String,
    pub series: Vec<Series>,
}

/// The median of a set of numbers, and the quartiles around it.
#[derive(Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Spread {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * numbers.len().saturating_sub(1) as f64;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            match (numbers.get(below), numbers.get(above)) {
                (Some(below), Some(above)) => below + (above - below) * place.fract(),
                _ => f64::NAN,
            }
        };
        Spread { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

/// An interval that holds the true median with a probability of 95 % or more.
///
/// Its ends are two of the numbers (order statistics), so it assumes nothing of their distribution.
/// Fewer than six numbers have no such interval; then it spans all of them.
#[derive(Clone, Copy)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Interval {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let count = numbers.len();
        let cut = cut(count);
        let at = |place: usize| numbers.get(place).copied().unwrap_or(f64::NAN);
        Interval { low: at(cut), high: at(count.saturating_sub(cut + 1)) }
    }
}

/// Returns how many of `count` sorted numbers lie outside the interval on each side.
///
/// Each number is below the true median with probability one half. The interval misses the median
/// only if at most `cut` numbers are on one side of it, so twice that binomial tail must stay
/// within 5 %.
fn cut(count: usize) -> usize {
    let mut cut = 0;
    let mut ways = 1.0;
    let mut tail = 0.5_f64.powi(count as i32);
    let one = tail;
    loop {
        ways *= (count - cut) as f64 / (cut + 1) as f64;
        tail += ways * one;
        if 2.0 * tail > 0.05 || cut + 1 >= count {
            return cut;
        }
        cut += 1;
    }
}

impl Series {
    pub fn cost(&self) -> Spread {
        Spread::of(self.samples.iter().map(Sample::cost))
    }

    pub fn rate(&self) -> Spread {
        Spread::of(self.samples.iter().map(|sample| sample.units / sample.wall))
    }

    pub fn other(&self, name: &str) -> Spread {
        Spread::of(self.samples.iter().filter_map(|sample| sample.other.get(name).copied()))
    }
}

impl Table {
    pub fn series(&self, peer: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.peer == peer)
    }

    /// Returns the cost of `peer` divided by that of `reference`, round by round.
    pub fn ratio(&self, peer: &str, reference: &str) -> Option<Spread> {
        self.ratios(peer, reference, Sample::cost).map(Spread::of)
    }

    /// Returns the ratio of a figure in each round.
    pub fn ratios(
        &self,
        peer: &str,
        reference: &str,
        figure: impl Fn(&Sample) -> f64,
    ) -> Option<Vec<f64>> {
        let (ours, theirs) = (self.series(peer)?, self.series(reference)?);
        let pairs = ours.samples.iter().zip(&theirs.samples);
        let ratio = |(our, their)| figure(our) / figure(their);
        Some(pairs.map(ratio).collect())
    }
}

/// All results: those of the last run, and of earlier runs if the last one did not replace them.
#[derive(Default, Serialize, Deserialize)]
pub struct Results {
    /// The machine and the versions of the last run, a line each.
    pub machine: Vec<String>,
    /// By key.
    pub tables: BTreeMap<String, Table>,
}

impl Results {
    /// Reads the results beside the page. There are none before the first run.
    pub fn load(folder: &Path) -> Result<Results> {
        let file = folder.join(FILE);
        if !file.exists() {
            return Ok(Results::default());
        }
        let text = fs::read(&file)?;
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Writes them with one table a line.
    pub fn store(&self, folder: &Path) -> Result<()> {
        let mut tables = Vec::new();
        for (key, table) in &self.tables {
            let (key, table) = (serde_json::to_string(key)?, serde_json::to_string(table)?);
            tables.push(format!("{key}: {table}"));
        }
        let machine = serde_json::to_string(&self.machine)?;
        let tables = tables.join(",\n");
        fs::create_dir_all(folder)?;
        let text = format!("{{\"machine\": {machine},\n\"tables\": {{\n{tables}\n}}}}\n");
        Ok(fs::write(folder.join(FILE), text)?)
    }
}

const FILE: &str = "results.json";

/// Adds a table to the results, or replaces it.
pub fn save(options: &Options, table: &Table) -> Result<()> {
    let folder = options.plots();
    let mut results = Results::load(&folder)?;
    results.tables.insert(table.key.clone(), table.clone());
    results.store(&folder)
}
