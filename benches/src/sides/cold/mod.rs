//! Sending files that are not in memory, with a ticker beside it.
//!
//! A line `PORT PATH` asks for the file to be sent to that port. The answer is by how many nanoseconds the ticker, which wants to
//! run each millisecond on the same thread, was late at worst. `asyncio.py` is the same in Python.

mod sendloop;
mod tokio;

use std::fs::File;
use std::io::{self, BufRead};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub const ASYNCIO: &str = include_str!("asyncio.py");

const TICK: Duration = Duration::from_millis(1);
/// It ticks before and after too: a tick that is late because of the sending may come behind its end.
const AROUND: Duration = Duration::from_millis(5);

/// What a line asks for.
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

pub fn run(peer: &str) -> Result<()> {
    super::say_ready(0);
    for line in io::stdin().lock().lines() {
        let job = Job::parse(&line?)?;
        let late = match peer {
            "sendloop" => sendloop::send(job)?,
            "tokio" => tokio::send(job)?,
            _ => bail!("nobody sends cold files as {peer}"),
        };
        println!("{}", late.as_nanos());
    }
    Ok(())
}
