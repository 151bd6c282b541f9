//! UDP echo: each datagram goes back to its sender.

mod mio;
mod sendloop;
mod tokio;

use std::net::UdpSocket;

use anyhow::{Result, bail};

/// More than the largest datagram.
const BUFFER: usize = 2048;

pub fn run(peer: &str) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    super::print_ready_to_stop(socket.local_addr()?.port())?;
    match peer {
        "mio" => mio::run(socket)?,
        "sendloop" => sendloop::run(socket)?,
        "tokio" => tokio::run(socket)?,
        _ => bail!("no server has the name {peer}"),
    }
    Ok(())
}
