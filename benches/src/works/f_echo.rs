//! F: what more connections cost, each, and all together.
//!
//! All sizes and peers are measured in the same rounds: how cost grows is a ratio too. Each has a server of its own, of which the
//! connections are made for a sample and closed after it, as a process cannot have those of all peers open at once.

use std::fs;

use anyhow::{Context, Result};

use super::Scale;
use super::echo::client::Client;
use super::echo::{measure_bursts, words};
use crate::Options;
use crate::runner::results::{self, Sample, Series, Table};
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;

const PEERS: [&str; 3] = ["mio", "sendloop", "tokio"];
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const REQUESTS: u64 = 30_000;
/// Connections take longer to make than to measure.
const MOST_ROUNDS: usize = 7;

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let mut peers = Vec::new();
    for size in SIZES {
        for name in PEERS {
            let side = Side::own(&format!("echo-{name}"), &[])?;
            peers.push(Peer::new(&format!("{name} {size}"), side));
        }
    }
    let plan = Plan {
        key: "F echo",
        title: "echo of 64 bytes in equal bursts, by connections",
        unit: "request",
        rounds: scale.rounds.min(MOST_ROUNDS),
    };
    let requests = scale.units(REQUESTS);
    // Memory is what a new process needs: the warm-up's is kept for the samples after it.
    let mut memory = Vec::new();
    let table = plan.run_samples(&mut peers, |peer| {
        let (mut sample, grown) = measure(peer, requests)?;
        let known = memory.iter().find(|(name, _)| *name == peer.name);
        let rss = known.map_or(grown, |(_, rss)| *rss);
        memory.push((peer.name.clone(), rss));
        sample.other.insert("rss_per_connection".to_string(), rss);
        Ok(sample)
    })?;
    for size in SIZES {
        results::save(&options.folder, &of_size(&table, size)?)?;
    }
    Ok(())
}

/// A sample, and by how many bytes the server grew for each connection.
fn measure(peer: &mut Peer, requests: u64) -> Result<(Sample, f64)> {
    let connections: usize = number(&peer.name)?;
    let before = resident(&peer.side)?;
    let mut client = Client::connect(peer.side.port, connections)?;
    let grown = resident(&peer.side)?.saturating_sub(before);
    let bursts = (requests / connections as u64).max(2);
    let sample = measure_bursts(peer, &mut client, bursts)?;
    client.abort()?;
    Ok((sample, grown as f64 / connections as f64))
}

fn number(name: &str) -> Result<usize> {
    let (_, size) = name.rsplit_once(' ').context("PEER SIZE")?;
    Ok(size.parse()?)
}

/// What a process has in memory, in bytes.
fn resident(side: &Side) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", side.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.context("a process has a size")?.parse::<u64>()? << 10)
}

/// The table of one size, in which each sample also says what it costs beside the smallest size's of its round, as `growth`.
fn of_size(all: &Table, size: usize) -> Result<Table> {
    let mut series = Vec::new();
    for peer in PEERS {
        let named = |size| all.series(&format!("{peer} {size}")).context("measured");
        let mut samples = named(size)?.samples.clone();
        for (sample, small) in samples.iter_mut().zip(&named(SIZES[0])?.samples) {
            let growth = sample.cost() / small.cost();
            sample.other.insert("growth".to_string(), growth);
        }
        let peer = peer.to_string();
        series.push(Series { peer, samples });
    }
    Ok(Table {
        key: format!("F echo {size}"),
        title: format!("echo of 64 bytes, {}, in equal bursts", words(size)),
        unit: "request".to_string(),
        series,
    })
}
