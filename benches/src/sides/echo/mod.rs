//! Echo servers for any number of connections. Each connection lasts until its client closes it.

mod mio;
mod monoio;
mod sendloop;
mod smol;
mod tokio;

use std::net::TcpListener;

use anyhow::{Result, bail};

/// The size of a connection's buffer: larger than a message, so that a short read shows that the
/// socket is empty.
const BUFFER: usize = 1024;

pub fn run(peer: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    super::print_ready_to_stop(listener.local_addr()?.port())?;
    match peer {
        "mio" => mio::run(listener)?,
        "monoio" => monoio::run(listener)?,
        "sendloop" => sendloop::run(listener)?,
        "sendloop_unbuffered" => sendloop::run_unbuffered(listener)?,
        "smol" => smol::run(listener)?,
        "tokio" => tokio::run(listener)?,
        "tokio_unbuffered" => tokio::run_unbuffered(listener)?,
        _ => bail!("no server has the name {peer}"),
    }
    Ok(())
}
