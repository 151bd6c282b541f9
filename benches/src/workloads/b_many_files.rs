//! B: 10,000 files of 600 B to 100 KB over one connection, in random order.
//!
//! They have 250 MB, more than the CPU's caches, as on a large site. Every side has all files open.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use super::{Scale, download};
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::Plan;
use crate::sides::send::random;

const PEERS: [&str; 8] = [
    "blocking",
    "blocking_probe",
    "blocking_lseek",
    "epoll",
    "sendloop",
    "sendloop_noprefetch",
    "sendloop_noposition",
    "sendloop_noposition_noprefetch",
];

const FILES: usize = 10_000;
const SMALLEST: u64 = 600;
const LARGEST: u64 = 100_000;

/// The number of passes over all files in one sample.
const PASSES: u64 = 5;

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let folder = options.folder.join("many-files");
    let sizes = sizes();
    let is_there = |size: &u64| folder.join(size.to_string()).exists();
    if !sizes.iter().all(is_there) {
        let _ = fs::remove_dir_all(&folder);
    }
    for size in &sizes {
        download::make_in(&folder, *size)?;
    }
    let bytes = sizes.iter().sum::<u64>();
    let mut peers = Vec::new();
    for peer in PEERS {
        let checked = *sizes.first().context("files")?;
        peers.push(download::start_in(&folder, peer, peer, checked)?);
    }
    let passes = scale.units(PASSES).max(1);
    let plan = Plan {
        key: "B many files",
        title: "10,000 files of 600 B to 100 KB, sent in random order over one connection",
        unit: "send",
        rounds: scale.rounds,
    };
    let table = plan.run(&mut peers, |peer| {
        let mut client = download::Client::connect(peer.side.port)?;
        client.fetch_all(passes, bytes)?;
        Ok((passes as usize * FILES) as f64)
    })?;
    results::save(options, &table)
}

/// Returns distinct sizes, most of them small: the third power of an even distribution.
fn sizes() -> BTreeSet<u64> {
    let seed = Cell::new(0);
    let mut sizes = BTreeSet::new();
    while sizes.len() < FILES {
        let part = random(&seed) as f64 / u64::MAX as f64;
        sizes.insert(SMALLEST + ((LARGEST - SMALLEST) as f64 * part.powi(3)) as u64);
    }
    sizes
}
