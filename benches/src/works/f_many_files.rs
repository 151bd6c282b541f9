//! F: how the sending of files grows with the number of connections that want one at the same time.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Scale;
use super::download::{self, Crowd, GREETING, Segment};
use crate::Options;
use crate::runner::results::{self, Table};
use crate::runner::rounds::{self, Peer, Plan};

const KIB: u64 = 1 << 10;
const MIB: f64 = (1 << 20) as f64;
/// What each connection wants: sent often enough that all of them together take the same number.
const SIZE: u64 = 100 * KIB;
const SENDS: u64 = 10_000;
/// More than a socket takes whose peer does not read.
const STALLED: u64 = 4096 * KIB;

const PEERS: [&str; 2] = ["sendloop", "tokio_sendfile"];
/// Ten thousand connections take a while to be made.
const ROUNDS: usize = 5;
const CONNECTIONS: [usize; 4] = [10, 100, 1_000, 10_000];

pub fn run(options: &Options) -> Result<()> {
    for size in [GREETING, SIZE, STALLED] {
        download::make(options, size)?;
    }
    for connections in CONNECTIONS {
        let mut table = time(options, connections)?;
        for series in &mut table.series {
            let memory = memory(options, &series.peer, connections)?;
            for sample in &mut series.samples {
                sample.other.extend(memory.clone());
            }
        }
        results::save(&options.folder, &table)?;
    }
    Ok(())
}

fn time(options: &Options, connections: usize) -> Result<Table> {
    let scale = Scale::of(options);
    let plan = Plan {
        key: &format!("F files {connections:05}"),
        title: &format!("files of 100 KiB over {connections} connections at the same time"),
        unit: "MiB",
        rounds: ROUNDS,
    };
    let times = scale.units(SENDS).div_ceil(connections as u64);
    let mut peers = download::start(options, &PEERS, SIZE)?;
    plan.run_samples(&mut peers, |peer| {
        // Made outside of what is measured.
        let mut crowd = Crowd::connect(peer.side.port, connections, Segment::Jumbo)?;
        rounds::sample(peer, &mut |_: &mut Peer| {
            Ok(crowd.fetch(SIZE, times)? as f64 / MIB)
        })
    })
}

/// What each connection takes of the side's memory, in bytes: when it has been served and is quiet, and when it wants more than its
/// socket takes. Of a new side, as memory that was given back stays with the process.
fn memory(options: &Options, peer: &str, connections: usize) -> Result<BTreeMap<String, f64>> {
    let peer = download::start(options, &[peer], GREETING)?.remove(0);
    let side = &peer.side;
    let each = |more: u64, less: u64| (more as f64 - less as f64) / connections as f64;
    let before = side.resident()?;
    let crowd = Crowd::connect(side.port, connections, Segment::Ethernet)?;
    let quiet = side.resident_at_rest()?;
    crowd.order(STALLED, 1)?;
    let stalled = side.resident_at_rest()?;
    Ok(BTreeMap::from([
        ("rss_per_idle_connection".to_string(), each(quiet, before)),
        ("rss_per_connection".to_string(), each(stalled, before)),
    ]))
}
