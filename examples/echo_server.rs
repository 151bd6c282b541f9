//! A TCP server that sends back what it is sent: accepting, one task per connection, and what to do when accepting fails.
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

/// How long to leave the listener alone after an error: without descriptors accept(2) fails at once, as long as clients wait.
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

/// Standard output is not flushed by a line's end where it is a pipe.
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

/// Sends everything back, until the client sends no more.
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

/// Unlike `eprintln!`, it does not panic where nobody reads the errors: that would end the server.
fn report(message: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{message}");
}
