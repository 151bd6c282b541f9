//! Receives a file over one TCP connection. An executor thread writes to the disk, so the loop
//! never waits for the disk. Run the commands in two terminals:
//!
//! ```text
//! cargo run --example recv_file -- 127.0.0.1:9000 copy
//! cargo run --example send_file -- 127.0.0.1:9000 Cargo.toml
//! ```
//!
//! The file gets its name when it is complete. After an error, an older file of that name is
//! unchanged.

use std::env;
use std::fs::Permissions;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sendloop::{LoopHandle, Socket};
use tempfile::NamedTempFile;

const USAGE: &str = "usage: recv_file ADDR:PORT FILE";

/// The most bytes that one call receives and writes.
const BLOCK: usize = 256 << 10;

fn main() -> io::Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [addr, path] = args.as_slice() else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let listener = Socket::new(TcpListener::bind(addr)?)?;
    // The outer result is that of the loop, the inner one that of `receive`.
    sendloop::run(async |event_loop| receive(&event_loop, listener, path.into()).await)??;
    Ok(ExitCode::SUCCESS)
}

async fn receive(
    event_loop: &LoopHandle,
    listener: Socket<TcpListener>,
    path: PathBuf,
) -> io::Result<()> {
    println!("listening on {}", listener.get_ref().local_addr()?);
    let (sock, peer) = event_loop.sock_accept(&listener).await?;
    // Without a listener, the kernel refuses further clients.
    drop(listener);
    let began = Instant::now();
    let (file, received) = receive_all(event_loop, &sock, unnamed_beside(&path)?).await?;
    let named = event_loop.run_in_executor(move || {
        file.as_file().sync_all()?;
        file.persist(path).map_err(|failed| failed.error)
    });
    named.await??;
    println!("received {received} bytes from {peer} in {:.3?}", began.elapsed());
    Ok(())
}

/// Creates a temporary file. It is in the same folder, because a rename cannot cross file systems.
/// Dropping it removes the file unless it got its name.
fn unnamed_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// Receives until the end of the stream. The executor owns the file during each write, and returns
/// it with the result.
async fn receive_all(
    event_loop: &LoopHandle,
    sock: &Socket<TcpStream>,
    mut file: NamedTempFile,
) -> io::Result<(NamedTempFile, u64)> {
    let bar = progress_bar();
    loop {
        let block = event_loop.sock_recv(sock, BLOCK).await?;
        if block.is_empty() {
            bar.finish_and_clear();
            return Ok((file, bar.position()));
        }
        bar.inc(block.len() as u64);
        let written = event_loop.run_in_executor(move || file.write_all(&block).map(|()| file));
        file = written.await??;
    }
}

/// Creates a progress bar without a length. It is hidden if standard error is not a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec}");
    ProgressBar::no_length().with_style(style.expect("a template"))
}
