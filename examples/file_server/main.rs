//! A static file server: HTTP/1.1 with keep-alive, pipelining, ranges and conditional requests,
//! each file of a page or more sent by `sock_sendfile`.
//!
//! ```text
//! cargo run --release --example file_server -- . --addr 127.0.0.1:8080
//! curl -r 10-99 http://127.0.0.1:8080/Cargo.toml
//! ```
//!
//! `docs/FILE_SERVER.md` says what it does and what it does not. The modules, from the bytes up:
//!
//! - without I/O: [`request`], [`request_line`], [`authority`], [`fields`], [`target`] and
//!   [`encoding`] read what the client wants; [`conditional`], [`dates`], [`range`], [`multipart`],
//!   [`index`] and [`response`] make what it gets;
//! - files: [`beneath`] opens paths, [`root`] is the directory that is served, [`find`] finds what
//!   a request gets, [`listing`] reads directories and [`pages`] shares their renderings,
//!   [`cache`] keeps what was found as long as [`watches`] sees no change, [`small`] reads, [`media_type`] knows types;
//! - a client: [`receive`], [`send`], and [`connection`], which is its life; [`access_log`] tells
//!   of it, and [`proxies`] finds its address;
//! - a loop: [`worker`] accepts, [`clients`] counts, [`site`] is what they share, [`shutdown`] ends
//!   it;
//! - the process: [`options`], [`rules`], [`address`], [`listen`], [`descriptors`], [`server`].
//!
//! Only what waits in the kernel for something else than the client (looking up files that are not
//! in memory, reading directories, writing the log) runs on the executor.

mod access_log;
mod address;
mod authority;
mod beneath;
mod cache;
mod clients;
mod conditional;
mod connection;
mod dates;
mod descriptors;
mod encoding;
mod fields;
mod find;
mod index;
mod listen;
mod listing;
mod media_type;
mod multipart;
mod options;
mod pages;
mod proxies;
mod range;
mod receive;
mod request;
mod request_line;
mod response;
mod root;
mod rules;
mod send;
mod server;
mod shutdown;
mod site;
mod small;
mod status;
mod target;
#[cfg_attr(not(target_os = "linux"), path = "no_watches.rs")]
mod watches;
mod worker;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use options::Command;

fn main() -> ExitCode {
    let result = match options::read(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(options::USAGE),
        Ok(Command::Version) => print(concat!("file_server ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Serve(options)) => server::run(*options),
        Err(problem) => {
            report(format_args!("file_server: {problem} (see --help)"));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(format_args!("file_server: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line to the standard error, in one piece. Unlike `eprintln!`, it does not panic if that
/// fails, which would end the server.
pub(crate) fn report(message: fmt::Arguments<'_>) {
    let line = format!("{message}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
