//! A TCP proxy: each client gets a connection to the origin, and bytes go both ways until both have
//! ended.

mod mio;
mod sendloop;
mod tokio;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Result, bail};
use nix::sys::socket::{Backlog, listen};

/// The sizes of the buffer of one direction. `copy_bidirectional` has 8 KiB unless told otherwise.
const SMALL: usize = 8 << 10;
const LARGE: usize = 64 << 10;

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
        "mio" => mio::run(listener, origin, SMALL)?,
        "mio_64k" => mio::run(listener, origin, LARGE)?,
        "sendloop" => sendloop::run(listener, origin, SMALL)?,
        "sendloop_64k" => sendloop::run(listener, origin, LARGE)?,
        "tokio" => tokio::run(listener, origin, SMALL)?,
        "tokio_64k" => tokio::run(listener, origin, LARGE)?,
        _ => bail!("no proxy has the name {peer}"),
    }
    Ok(())
}
