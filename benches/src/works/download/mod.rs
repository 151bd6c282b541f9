//! What the works on sending files share: the files, the sides that send them, and the client that orders and discards.

mod client;
mod crowd;
mod files;

pub use client::Client;
pub use crowd::{Crowd, GREETING, Segment};
pub use files::make;

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
        _ => Program::own(&format!("send-{peer}"), &[&files]),
    }
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
