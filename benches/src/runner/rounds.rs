//! Runs the same work for each peer in turn, round after round.

use std::time::Instant;

use anyhow::{Context, Result};

use super::results::{Sample, Series, Table};
use super::side::Side;

/// A peer with its running side.
pub struct Peer {
    pub name: String,
    pub side: Side,
}

impl Peer {
    pub fn new(name: &str, side: Side) -> Peer {
        Peer { name: name.to_string(), side }
    }
}

/// The plan of a table.
pub struct Plan<'a> {
    pub key: &'a str,
    pub title: &'a str,
    pub unit: &'a str,
    pub rounds: usize,
}

impl Plan<'_> {
    /// Runs the work of each peer once to warm up, then `rounds` times. Each round begins with
    /// another peer.
    ///
    /// `work` returns its number of units. The clocks are read before and after it.
    pub fn run(
        &self,
        peers: &mut [Peer],
        mut work: impl FnMut(&mut Peer) -> Result<f64>,
    ) -> Result<Table> {
        self.run_samples(peers, |peer| sample(peer, &mut work))
    }

    /// Does the same for work that measures itself.
    pub fn run_samples(
        &self,
        peers: &mut [Peer],
        mut work: impl FnMut(&mut Peer) -> Result<Sample>,
    ) -> Result<Table> {
        let mut series: Vec<Series> = Vec::new();
        for peer in peers.iter_mut() {
            work(peer).with_context(|| peer.name.clone())?;
            series.push(Series { peer: peer.name.clone(), samples: Vec::new() });
        }
        for round in 0..self.rounds {
            for place in 0..peers.len() {
                let turn = (round + place) % peers.len();
                series[turn].samples.push(work(&mut peers[turn])?);
            }
        }
        for series in &series {
            eprintln!(
                "{} {:24} {:.3e} CPU s per {}",
                self.key,
                series.peer,
                series.cost().median,
                self.unit
            );
        }
        Ok(Table {
            key: self.key.to_string(),
            title: self.title.to_string(),
            unit: self.unit.to_string(),
            series,
        })
    }
}

/// Measures `work` once.
pub fn sample(peer: &mut Peer, work: &mut impl FnMut(&mut Peer) -> Result<f64>) -> Result<Sample> {
    let (begin, cpu) = (Instant::now(), peer.side.cpu.now()?);
    let units = work(peer)?;
    let wall = begin.elapsed().as_secs_f64();
    let cpu = peer.side.cpu.since(cpu)?.as_secs_f64();
    Ok(Sample { units, cpu, wall, other: Default::default() })
}
