//! Connections that each carry one request: accept, read 64 bytes, send them back, close.

mod mio;
mod sendloop;
mod tokio;

use std::net::TcpListener;

use anyhow::{Result, bail};
use nix::sys::socket::{Backlog, listen};

/// The size of a request and of its reply.
const MESSAGE: usize = 64;

pub fn run(peer: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    listen(&listener, Backlog::MAXCONN)?;
    super::print_ready_to_stop(listener.local_addr()?.port())?;
    match peer {
        "mio" => mio::run(listener)?,
        "sendloop" => sendloop::run(listener)?,
        "tokio" => tokio::run(listener)?,
        _ => bail!("no server has the name {peer}"),
    }
    Ok(())
}
