//! E: large files over HTTP, one download at a time.

use anyhow::{Context, Result};

use super::Scale;
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan, sample};
use crate::servers::{Site, Variant, check, download};

const MIB: u64 = 1 << 20;
/// The names and sizes of the files.
const FILES: [(&str, u64); 2] = [("100 MiB", 100 * MIB), ("1 GiB", 1 << 30)];
const BUFFER: usize = 4 << 20;

type Start = fn(&Site) -> Result<Peer>;

/// The name of a server and the function that starts it.
const SERVERS: [(&str, Start); 3] = [
    ("file_server", Site::file_server),
    ("nginx", |site| site.nginx("nginx", Variant::Plain)),
    ("nginx open_file_cache", |site| site.nginx("nginx open_file_cache", Variant::Cache)),
];

pub fn run(options: &Options) -> Result<()> {
    for (name, size) in FILES {
        measure(options, name, size)?;
    }
    Ok(())
}

fn measure(options: &Options, name: &str, size: u64) -> Result<()> {
    let scale = Scale::of(options);
    let site = Site::new(&options.folder)?;
    let size = scale.units(size / MIB) * MIB;
    let path = site.file(size)?;
    let mut peers = Vec::new();
    for (name, start) in SERVERS {
        let peer = start(&site)?;
        check(peer.side.port, &path, size).with_context(|| name.to_string())?;
        peers.push(peer);
    }
    let plan = Plan {
        key: &format!("E {name}"),
        title: &format!("a file of {name} over HTTP, a new connection each time"),
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
