//! Sends files that are not in memory, beside a ticker.
//!
//! A line `PORT PATH` orders the file to be sent to that port. The ticker runs each millisecond on
//! the same thread. The answer is its worst lateness in nanoseconds, and the same without the time
//! in which the thread waited for the core. `asyncio.py` is the same in Python.

mod sendloop;
mod tokio;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::runner::side::waited_for_core;

pub const ASYNCIO: &str = include_str!("asyncio.py");

const TICK: Duration = Duration::from_millis(1);
/// The ticker also runs before and after the transfer, which can delay a tick past its own end.
const AROUND: Duration = Duration::from_millis(5);

/// The order of a line.
struct Job {
    socket: TcpStream,
    file: File,
}

impl Job {
    fn parse(line: &str) -> Result<Job> {
        let (port, path) = line.split_once(' ').context("PORT PATH")?;
        Ok(Job {
            socket: TcpStream::connect(("127.0.0.1", port.parse::<u16>()?))?,
            file: File::open(path)?,
        })
    }
}

/// The worst lateness of the ticker.
#[derive(Clone, Copy, Default)]
struct Late {
    all: Duration,
    /// Without the time in which other threads had the core.
    own: Duration,
}

/// A tick that is due.
struct Tick {
    due: Instant,
    waited: Duration,
}

impl Tick {
    fn begin() -> Tick {
        Tick { waited: waited_for_core("thread-self"), due: Instant::now() + TICK }
    }

    fn end(self, late: &Cell<Late>) {
        let (all, before) = (self.due.elapsed(), late.get());
        let waited = waited_for_core("thread-self").saturating_sub(self.waited);
        late.set(Late {
            all: before.all.max(all),
            own: before.own.max(all.saturating_sub(waited)),
        });
    }
}

pub fn run(peer: &str) -> Result<()> {
    super::print_ready(0);
    for line in io::stdin().lock().lines() {
        let job = Job::parse(&line?)?;
        let late = match peer {
            "sendloop" => sendloop::send(job)?,
            "tokio" => tokio::send(job)?,
            _ => bail!("no side for cold files has the name {peer}"),
        };
        println!("{} {}", late.all.as_nanos(), late.own.as_nanos());
    }
    Ok(())
}
