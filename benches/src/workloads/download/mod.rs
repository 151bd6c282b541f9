//! The shared parts of the workloads that send files: files, sides and client.

mod client;
mod crowd;
mod files;

pub use client::{Client, discard};
pub use crowd::{Crowd, GREETING, Segment};
pub use files::{file, make, make_in, warm};

use std::path::Path;

use anyhow::{Context, Result};

use crate::Options;
use crate::runner::before::with_before;
use crate::runner::program::Program;
use crate::runner::rounds::Peer;

/// The peers that send one file over one connection.
pub const PEERS: [&str; 9] = [
    "blocking",
    "epoll",
    "read_write",
    "tokio_copy",
    "tokio_sendfile",
    "async_io",
    "asyncio",
    "sendloop",
    "sendloop_noprefetch",
];

pub fn program(options: &Options, peer: &str) -> Result<Program> {
    let files = files::folder(options);
    match peer {
        "asyncio" => Program::python(&options.folder, "send.py", &[&files]),
        _ => program_in(&files, peer),
    }
}

/// Returns the side that sends the files of a folder.
pub fn program_in(folder: &Path, peer: &str) -> Result<Program> {
    Program::own(&format!("send-{peer}"), &[folder])
}

/// Starts a side that sends the files of a folder, under a name. Checks that it sends one file.
pub fn start_in(folder: &Path, peer: &str, name: &str, size: u64) -> Result<Peer> {
    let side = program_in(folder, peer)?.start()?;
    let checked = Client::connect(side.port).and_then(|mut client| client.check(size, 1));
    checked.with_context(|| format!("what {name} sends"))?;
    Ok(Peer::new(name, side))
}

/// Starts the peers and checks that each sends the file.
pub fn start(options: &Options, peers: &[&str], size: u64) -> Result<Vec<Peer>> {
    let mut started = Vec::new();
    for peer in with_before(peers) {
        let side = program(options, peer)?.start()?;
        let checked = Client::connect(side.port).and_then(|mut client| client.check(size, 2));
        checked.with_context(|| format!("what {peer} sends"))?;
        started.push(Peer::new(peer, side));
    }
    Ok(started)
}
