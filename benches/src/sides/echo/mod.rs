//! Sending back what comes, on any number of connections, each until its client closes it.

mod mio;
mod monoio;
mod sendloop;
mod smol;
mod tokio;

use std::net::TcpListener;

use anyhow::{Result, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// As much as a connection's buffer takes: more than a message, so that a read comes back short and is known to be the last.
const BUFFER: usize = 1024;

pub fn run(peer: &str) -> Result<()> {
    // The runner stops this process at times, and a stopped one does not see the end of its standard input.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    super::say_ready(listener.local_addr()?.port());
    super::end_with_stdin();
    match peer {
        "mio" => mio::run(listener)?,
        "monoio" => monoio::run(listener)?,
        "sendloop" => sendloop::run(listener)?,
        "smol" => smol::run(listener)?,
        "tokio" => tokio::run(listener)?,
        _ => bail!("nobody echoes as {peer}"),
    }
    Ok(())
}
