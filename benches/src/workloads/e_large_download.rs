//! E: a large file over HTTP, one download at a time.

use anyhow::{Context, Result};

use super::Scale;
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan, sample};
use crate::servers::{Site, Variant, check, download};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 1 << 30;
const BUFFER: usize = 4 << 20;

type Start = fn(&Site) -> Result<Peer>;

/// The name of a server and the function that starts it.
const SERVERS: [(&str, Start); 2] = [
    ("file_server", Site::file_server),
    ("nginx", |site| site.nginx("nginx", Variant::Plain)),
];

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let site = Site::new(&options.folder)?;
    let size = scale.units(SIZE / MIB) * MIB;
    let path = site.file(size)?;
    let mut peers = Vec::new();
    for (name, start) in SERVERS {
        let peer = start(&site)?;
        check(peer.side.port, &path, size).with_context(|| name.to_string())?;
        peers.push(peer);
    }
    let plan = Plan {
        key: "E 1 GiB",
        title: "a file of 1 GiB over HTTP, a new connection each time",
        unit: "MiB",
        rounds: scale.rounds,
    };
    let mut buffer = vec![0; BUFFER];
    let table = plan.run_samples(&mut peers, |peer| {
        // Each sample has a new process. Otherwise the luck of one process would be in all of its
        // samples.
        let start = SERVERS.iter().find(|(name, _)| *name == peer.name);
        *peer = start.context("a server")?.1(&site)?;
        download(peer.side.port, &path, &mut buffer)?;
        sample(peer, &mut |peer: &mut Peer| {
            let length = download(peer.side.port, &path, &mut buffer)?;
            Ok((length / MIB) as f64)
        })
    })?;
    results::save(options, &table)
}
