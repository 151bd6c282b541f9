//! A TCP proxy: each client gets a connection to the origin, and bytes go both ways until both have
//! ended.

mod mio;
mod sendloop;
mod tokio;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Result, bail};
use nix::sys::socket::{Backlog, listen};

/// The buffer of one direction.
const BUFFER: usize = 64 << 10;

pub fn run(peer: &str, arguments: &[String]) -> Result<()> {
    let [port] = arguments else {
        bail!("proxy-PEER PORT");
    };
    let origin = SocketAddr::from(([127, 0, 0, 1], port.parse()?));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    listen(&listener, Backlog::MAXCONN)?;
    super::print_ready(listener.local_addr()?.port());
    super::end_with_stdin();
    match peer {
        "mio" => mio::run(listener, origin)?,
        "sendloop" => sendloop::run(listener, origin)?,
        // copy_bidirectional with its own buffers of 8 KiB, and with those of the others.
        "tokio" => tokio::run(listener, origin, None)?,
        "tokio_64k" => tokio::run(listener, origin, Some(BUFFER))?,
        _ => bail!("no proxy has the name {peer}"),
    }
    Ok(())
}
