//! F: the cost of echo by the number of connections.
//!
//! All sizes and peers are measured in the same rounds, so growth is a ratio of two samples of a
//! round. Each has its own server. Its connections last for one sample: a process cannot have those
//! of all peers open at once.

use anyhow::Result;

use super::echo::client::Client;
use super::echo::{measure_bursts, words};
use super::{Scale, growth};
use crate::Options;
use crate::runner::before::with_before;
use crate::runner::results::{self, Sample};
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;

const PEERS: [&str; 3] = ["mio", "sendloop", "tokio"];
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const REQUESTS: u64 = 30_000;

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let mut peers = Vec::new();
    for size in SIZES {
        for name in with_before(&PEERS) {
            let side = Side::own(&format!("echo-{name}"), &[])?;
            peers.push(Peer::new(&format!("{name} {size}"), side));
        }
    }
    let plan = Plan {
        key: "F echo",
        title: "echo of 64 bytes, by connections",
        unit: "request",
        rounds: scale.rounds,
    };
    let requests = scale.units(REQUESTS);
    let table = plan.run_samples(&mut peers, |peer| measure(peer, requests))?;
    for table in growth::by_size(&table, |size| format!("echo, {}", words(size)))? {
        results::save(options, &table)?;
    }
    Ok(())
}

fn measure(peer: &mut Peer, requests: u64) -> Result<Sample> {
    let connections = growth::size(&peer.name)?;
    let mut client = Client::connect(peer.side.port, connections)?;
    let bursts = (requests / connections as u64).max(2);
    let sample = measure_bursts(peer, &mut client, bursts)?;
    client.abort()?;
    Ok(sample)
}
