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
        let (ours, theirs) = (self.series(peer)?, self.series(reference)?);
        let pairs = ours.samples.iter().zip(&theirs.samples);
        Some(Spread::of(
            pairs.map(|(our, their)| figure(our) / figure(their)),
        ))
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
