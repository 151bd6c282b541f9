//! Samples, and the figures that are made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What one peer needed in one round.
#[derive(Clone, Serialize, Deserialize)]
pub struct Sample {
    /// How much was done, in the work's unit.
    pub units: f64,
    /// CPU seconds of the measured process.
    pub cpu: f64,
    /// Seconds.
    pub wall: f64,
    /// Whatever else the work measures, by name.
    #[serde(default)]
    pub other: BTreeMap<String, f64>,
}

impl Sample {
    /// CPU seconds for one unit.
    pub fn cost(&self) -> f64 {
        self.cpu / self.units
    }
}

/// The samples of one peer, round by round.
#[derive(Clone, Serialize, Deserialize)]
pub struct Series {
    pub peer: String,
    pub samples: Vec<Sample>,
}

/// One table: a work of one size.
#[derive(Clone, Serialize, Deserialize)]
pub struct Table {
    /// The letter of the work, and what of it.
    pub key: String,
    pub title: String,
    pub unit: String,
    pub series: Vec<Series>,
}

/// The median of some numbers, and the quartiles around it.
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
        Spread {
            low: at(0.25),
            median: at(0.5),
            high: at(0.75),
        }
    }
}

/// An interval that holds the median of what the numbers are drawn from with a probability of 95 % or more.
///
/// Its ends are two of the numbers themselves (order statistics), so nothing is assumed of their distribution. Fewer
/// than six numbers have no such interval; then it is all of them.
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
        Interval {
            low: at(cut),
            high: at(count.saturating_sub(cut + 1)),
        }
    }
}

/// Returns how many of `count` sorted numbers lie outside the interval on each side.
///
/// Each number is below the true median with probability one half. The interval misses the median only if at most
/// `cut` numbers are on one side of it, so twice that binomial tail must stay within 5 %.
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
        Spread::of(
            self.samples
                .iter()
                .filter_map(|sample| sample.other.get(name).copied()),
        )
    }
}

impl Table {
    pub fn series(&self, peer: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.peer == peer)
    }

    /// What `peer` costs beside `reference`, each round by itself: what slows the machine slows both.
    pub fn ratio(&self, peer: &str, reference: &str) -> Option<Spread> {
        self.compare(peer, reference, Sample::cost)
    }

    /// The same of any figure.
    pub fn compare(
        &self,
        peer: &str,
        reference: &str,
        figure: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        self.ratios(peer, reference, figure).map(Spread::of)
    }

    /// The ratio of a figure in each round.
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

/// All tables of all works that were run, by key; those of an earlier run stay until they are made anew.
pub fn load(folder: &Path) -> Result<BTreeMap<String, Table>> {
    let file = folder.join("results.json");
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

pub fn save(folder: &Path, table: &Table) -> Result<()> {
    let mut tables = load(folder)?;
    tables.insert(table.key.clone(), table.clone());
    fs::write(
        folder.join("results.json"),
        serde_json::to_vec_pretty(&tables)?,
    )?;
    Ok(())
}
