//! A TCP echo server. It runs a task for each connection, and survives an accept error.
//!
//! ```text
//! cargo run --example echo_server -- 127.0.0.1:8007      the address is optional
//! nc 127.0.0.1 8007                                      type something
//! ```

use std::env;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use sendloop::{LoopHandle, Socket};

/// The pause after an accept error. If the process is out of descriptors, accept(2) fails at once
/// while a client waits.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:8007"))?;
    announce(&listener)?;
    let listener = Socket::new(listener)?;
    match sendloop::run(async |event_loop| serve(&event_loop, &listener).await) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()), // Ctrl-C
        result => result,
    }
}

/// Prints the address, and flushes it in case standard output is a pipe.
fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {}", listener.local_addr()?)?;
    out.flush()
}

async fn serve(event_loop: &LoopHandle, listener: &Socket<TcpListener>) {
    loop {
        match event_loop.sock_accept(listener).await {
            Ok((client, peer)) => {
                let handle = event_loop.clone();
                event_loop.create_task(async move {
                    if let Err(error) = echo(&handle, &client).await {
                        report(format_args!("{peer}: {error}"));
                    }
                });
            }
            Err(error) => {
                report(format_args!("cannot accept: {error}"));
                event_loop.sleep(PAUSE).await;
            }
        }
    }
}

/// Sends everything back until the client's end of the stream.
async fn echo(event_loop: &LoopHandle, client: &Socket<TcpStream>) -> io::Result<()> {
    client.get_ref().set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match event_loop.sock_recv_into(client, &mut buffer).await? {
            0 => return Ok(()),
            len => event_loop.sock_sendall(client, &buffer[..len]).await?,
        }
    }
}

/// Logs an error. `eprintln!` would panic, and end the server, if standard error is closed.
fn report(message: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{message}");
}
