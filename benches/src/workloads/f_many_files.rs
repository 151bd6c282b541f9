//! F: the cost of sending files by the number of connections that want one at the same time.

use std::collections::BTreeMap;

use anyhow::Result;

use super::download::{self, Crowd, GREETING, Segment};
use super::{Scale, growth};
use crate::Options;
use crate::runner::results::{self, Table};
use crate::runner::rounds::{self, Peer, Plan};

const KIB: u64 = 1 << 10;
const MIB: f64 = (1 << 20) as f64;
/// The size of the file. All connections together take it `SENDS` times.
const SIZE: u64 = 100 * KIB;
const SENDS: u64 = 10_000;
/// More than the buffers of a connection take.
const STALLED: u64 = 4096 * KIB;

const PEERS: [&str; 2] = ["sendloop", "tokio_sendfile"];
const CONNECTIONS: [usize; 4] = [10, 100, 1_000, 10_000];

pub fn run(options: &Options) -> Result<()> {
    for size in [GREETING, SIZE, STALLED] {
        download::make(options, size)?;
    }
    let title = |size| format!("files of 100 KiB, {size} connections");
    for mut table in growth::by_size(&time(options)?, title)? {
        let connections = growth::size(&table.key)?;
        for series in &mut table.series {
            let memory = memory(options, &series.peer, connections)?;
            for sample in &mut series.samples {
                sample.other.extend(memory.clone());
            }
        }
        results::save(options, &table)?;
    }
    Ok(())
}

/// Measures all sizes in the same rounds.
fn time(options: &Options) -> Result<Table> {
    let scale = Scale::of(options);
    let plan = Plan {
        key: "F files",
        title: "files of 100 KiB, by connections",
        unit: "MiB",
        rounds: scale.rounds,
    };
    let mut peers = Vec::new();
    for connections in CONNECTIONS {
        for mut peer in download::start(options, &PEERS, SIZE)? {
            peer.name = format!("{} {connections}", peer.name);
            peers.push(peer);
        }
    }
    plan.run_samples(&mut peers, |peer| {
        let connections = growth::size(&peer.name)?;
        let times = scale.units(SENDS).div_ceil(connections as u64);
        // The measurement does not include the making of the connections.
        let mut crowd = Crowd::connect(peer.side.port, connections, Segment::Jumbo)?;
        rounds::sample(peer, &mut |_: &mut Peer| Ok(crowd.fetch(SIZE, times)? as f64 / MIB))
    })
}

/// Measures the memory of the side for each connection, in bytes: of one that is idle, and of one
/// whose peer does not read.
///
/// Each size takes a new side, because freed memory stays with the process.
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
