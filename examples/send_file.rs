//! Sends a file, or a part of it, over a TCP connection with `sock_sendfile` and its options. Run
//! the commands in two terminals:
//!
//! ```text
//! cargo run --example recv_file -- 127.0.0.1:9000 copy
//! cargo run --example send_file -- 127.0.0.1:9000 Cargo.toml --offset 10 --count 100
//! ```

use std::env;
use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sendloop::{LoopHandle, Socket};

const USAGE: &str = "usage: send_file HOST:PORT FILE [--offset N] [--count N]";

#[derive(Default)]
struct Options {
    plain: Vec<String>,
    offset: u64,
    count: Option<u64>,
}

fn main() -> io::Result<ExitCode> {
    let Some(options) = read_options(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    // The outer result is that of the loop, the inner one that of `send`.
    sendloop::run(async |event_loop| send(&event_loop, options).await)??;
    Ok(ExitCode::SUCCESS)
}

fn read_options(mut args: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--offset" => options.offset = args.next()?.parse().ok()?,
            "--count" => options.count = Some(args.next()?.parse().ok()?),
            _ => options.plain.push(arg),
        }
    }
    (options.plain.len() == 2).then_some(options)
}

async fn send(event_loop: &LoopHandle, options: Options) -> io::Result<()> {
    let file = File::open(&options.plain[1])?;
    let sock = connect(event_loop, &options.plain[0]).await?;
    let rest = file.metadata()?.len().saturating_sub(options.offset);
    let bar = progress_bar(options.count.map_or(rest, |count| count.min(rest)));
    let began = Instant::now();
    let mut sending = event_loop
        .sock_sendfile(&sock, &file)
        .offset(options.offset)
        .progress(|sent| bar.set_position(sent));
    if let Some(count) = options.count {
        sending = sending.count(count);
    }
    let sent = sending.await?;
    sock.shutdown(Shutdown::Write)?;
    bar.finish_and_clear();
    println!("sent {sent} bytes in {:.3?}", began.elapsed());
    Ok(())
}

/// Creates a progress bar. It is hidden if standard error is not a terminal.
fn progress_bar(len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    ProgressBar::new(len).with_style(style.expect("a template"))
}

/// Resolves the name, and connects to the first address that accepts.
async fn connect(event_loop: &LoopHandle, to: &str) -> io::Result<Socket<TcpStream>> {
    let (host, port) = to.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let port = port.parse().map_err(io::Error::other)?;
    // An IPv6 address has brackets: [::1]:9000.
    let host = host.trim_matches(['[', ']']);
    event_loop.connect(host, port).await
}
