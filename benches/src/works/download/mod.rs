//! What the works on sending files share: the files, the sides that send them, and the client that orders and discards.

mod client;
mod crowd;
mod files;

pub use client::{Client, discard};
pub use crowd::{Crowd, GREETING, Segment};
pub use files::{file, make, make_in, warm};

use std::path::Path;

use anyhow::{Context, Result};

use crate::Options;
use crate::runner::program::Program;
use crate::runner::rounds::Peer;

/// Who sends one file over one connection.
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

/// The side that sends the files of a folder.
pub fn program_in(folder: &Path, peer: &str) -> Result<Program> {
    Program::own(&format!("send-{peer}"), &[folder])
}

/// The same, started; `name` is what the table calls it. It has sent the file of a size once, and it was right.
pub fn start_in(folder: &Path, peer: &str, name: &str, size: u64) -> Result<Peer> {
    let side = program_in(folder, peer)?.start()?;
    let checked = Client::connect(side.port).and_then(|mut client| client.check(size, 1));
    checked.with_context(|| format!("what {name} sends"))?;
    Ok(Peer::new(name, side))
}

/// Starts the peers, and sees that each sends what is in the file.
pub fn start(options: &Options, peers: &[&str], size: u64) -> Result<Vec<Peer>> {
    let mut started = Vec::new();
    for peer in peers {
        let side = program(options, peer)?.start()?;
        let checked = Client::connect(side.port).and_then(|mut client| client.check(size, 2));
        checked.with_context(|| format!("what {peer} sends"))?;
        started.push(Peer::new(peer, side));
    }
    Ok(started)
}
