//! A static file server: HTTP/1.1 with keep-alive, pipelining, ranges and conditional requests,
//! each file of a page or more sent by `sock_sendfile`.
//!
//! ```text
//! cargo run --release --example file_server -- . --addr 127.0.0.1:8080
//! curl -r 10-99 http://127.0.0.1:8080/Cargo.toml
//! ```
//!
//! `docs/FILE_SERVER.md` describes it. The modules, from the bytes up:
//!
//! - without I/O: [`request_line`], [`request`], [`authority`], [`target`] and [`encoding`] read
//!   requests; [`conditional`], [`dates`], [`range`], [`index`] and [`response`] make responses;
//! - files: [`beneath`] opens paths, [`root`] is the served directory, [`find`] searches in it,
//!   [`cache`] keeps open files while [`watches`] sees no change; [`listing`] reads directories,
//!   and [`pages`] shares their renderings; [`media_type`] has the types;
//! - a client: [`connection`], [`send`] and [`access_log`];
//! - a loop: [`worker`] accepts and ends, [`clients`] counts, [`site`] is what they share;
//! - the process: [`options`], [`rules`], [`listen`], [`descriptors`], [`server`].
//!
//! The executor does the work that waits in the kernel for anything but the client: opening files
//! that are not in memory, reading directories, writing the log.

mod access_log;
mod authority;
mod beneath;
mod cache;
mod clients;
mod conditional;
mod connection;
mod dates;
mod descriptors;
mod encoding;
mod find;
mod index;
mod listen;
mod listing;
mod media_type;
mod options;
mod pages;
mod range;
mod request;
mod request_line;
mod response;
mod root;
mod rules;
mod send;
mod server;
mod site;
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

/// Writes to the standard output at once.
pub(crate) fn print(text: &str) -> io::Result<()> {
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
