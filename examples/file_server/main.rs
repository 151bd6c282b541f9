//! A static file server: HTTP/1.1 with keep-alive, pipelining and ranges, each file sent by `sock_sendfile`.
//!
//! ```text
//! cargo run --release --example file_server -- . --addr 127.0.0.1:8080
//! curl -r 10-99 http://127.0.0.1:8080/Cargo.toml
//! ```
//!
//! The modules, from the bytes up: [`target`], [`range`] and [`request`] read, [`response`] writes, none of them does I/O;
//! [`root`] is the only one that opens files; [`connection`] is the life of one client; and here clients are accepted.
//!
//! Only what waits in the kernel for something else than the client (looking up and opening files) runs on the executor.

mod connection;
mod options;
mod range;
mod request;
mod response;
mod root;
mod target;

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sendloop::{LoopHandle, Socket};

use connection::Connection;
use options::Options;
use root::Root;

/// How long to leave the listener alone after an error. Without descriptors accept(2) fails at once as long as clients wait,
/// and trying again at once would take the time in which connections end and give theirs back.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let options = match Options::read(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            report(format_args!("file_server: {problem}\n{}", options::USAGE));
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(format_args!("file_server: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    raise_descriptor_limit();
    let root = Arc::new(Root::new(&options.root)?);
    let listener = TcpListener::bind(options.addr)?;
    let addr = listener.local_addr()?;
    let listener = Socket::new(listener)?;
    sendloop::run(async |event_loop| {
        announce(addr)?;
        serve(&event_loop, &listener, &root).await;
        Ok(())
    })?
}

/// Every connection takes a descriptor and every file another; the usual soft limit of 1024 is there for select(2) alone.
/// Where it cannot be raised, fewer are served at a time.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        report(format_args!("the descriptor limit stays: {error}"));
    }
}

/// Says where the server is to be found, also to a program that asked for any free port and reads it from a pipe.
fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{addr}")?;
    out.flush()
}

async fn serve(event_loop: &LoopHandle, listener: &Socket<TcpListener>, root: &Arc<Root>) {
    loop {
        match event_loop.sock_accept(listener).await {
            Ok((client, peer)) => welcome(event_loop, client, peer, root.clone()),
            Err(error) => {
                report(format_args!("cannot accept: {error}"));
                event_loop.sleep(PAUSE).await;
            }
        }
    }
}

/// Gives the client a task of its own, whose errors end there.
fn welcome(event_loop: &LoopHandle, client: Socket<TcpStream>, peer: SocketAddr, root: Arc<Root>) {
    let connection = Connection::new(event_loop.clone(), client, root);
    event_loop.create_task(async move {
        match connection.serve().await {
            Err(error) if !is_departure(&error) => report(format_args!("{peer}: {error}")),
            _ => {}
        }
    });
}

/// Clients that leave in the middle of an answer are everyday life and not worth a line.
fn is_departure(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// Unlike `eprintln!`, it does not panic where nobody reads the errors: that would end the server.
pub(crate) fn report(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{message}");
}
