//! The lateness of a peer while it sends.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::files::Cold;
use crate::runner::results::Sample;
use crate::runner::rounds::Peer;
use crate::runner::side::{Cpu, Side, measured, waited_for_core};
use crate::servers::{Connection, content};
use crate::sides::cold;

/// The size of the small file that is requested each millisecond.
pub const SMALL: u64 = 1 << 10;

const TICK: Duration = Duration::from_millis(1);

pub fn asyncio() -> Result<Side> {
    let mut command = measured(Path::new("python3"));
    command.args(["-c", cold::ASYNCIO]);
    Side::start(command)
}

/// Orders a peer to send the file to a client here, and returns the lateness of its ticker.
pub fn in_process(peer: &mut Peer, cold: &dyn Cold) -> Result<Sample> {
    cold.cool()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let client = thread::spawn(move || -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        listener.accept()?.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let start = Start::of(peer)?;
    let line = format!("{port} {}", cold.path().display());
    let late = Late::parse(&peer.side.ask(&line)?)?;
    let sample = start.sample(peer, late)?;
    let bytes = client.join().map_err(|_| anyhow!("the client panicked"))??;
    if bytes != content(0, cold.size()) {
        bail!("the file arrived changed");
    }
    Ok(sample)
}

/// Downloads the file from a server, and requests a small file each millisecond meanwhile.
pub fn of_server(peer: &mut Peer, cold: &dyn Cold) -> Result<Sample> {
    let mut small = Connection::new(peer.side.port)?;
    small.get_checked(&SMALL.to_string(), SMALL)?;
    let mut large = Connection::new(peer.side.port)?;
    cold.cool()?;
    let start = Start::of(peer)?;
    let done = AtomicBool::new(false);
    let (url, size) = (cold.url(), cold.size());
    let late = thread::scope(|scope| {
        let download = scope.spawn(|| {
            let result = large.get_checked(&url, size);
            done.store(true, Ordering::Release);
            result
        });
        let late = ping(&mut small, peer.side.id(), &done);
        download.join().map_err(|_| anyhow!("the client panicked"))??;
        late
    })?;
    start.sample(peer, late)
}

/// The worst lateness.
#[derive(Clone, Copy, Default)]
struct Late {
    all: Duration,
    /// Without the time in which other threads had the core.
    own: Duration,
}

impl Late {
    fn parse(line: &str) -> Result<Late> {
        let (all, own) = line.split_once(' ').context("two times")?;
        Ok(Late {
            all: Duration::from_nanos(all.parse()?),
            own: Duration::from_nanos(own.parse()?),
        })
    }
}

/// Returns the longest time from a request's due time to its reply.
fn ping(connection: &mut Connection, server: u32, done: &AtomicBool) -> Result<Late> {
    let waited = || waited_for_core(&server.to_string()) + waited_for_core("thread-self");
    let mut worst = Late::default();
    let mut due = Instant::now();
    while !done.load(Ordering::Acquire) {
        let before = waited();
        connection.get(&SMALL.to_string())?;
        let late = due.elapsed();
        worst.all = worst.all.max(late);
        worst.own = worst.own.max(late.saturating_sub(waited() - before));
        due = (due + TICK).max(Instant::now());
        thread::sleep(due - Instant::now());
    }
    Ok(worst)
}

struct Start {
    cpu: Cpu,
    time: Instant,
}

impl Start {
    fn of(peer: &Peer) -> Result<Start> {
        let cpu = peer.side.cpu.now()?;
        let time = Instant::now();
        Ok(Start { cpu, time })
    }

    fn sample(self, peer: &Peer, late: Late) -> Result<Sample> {
        Ok(Sample {
            units: 1.0,
            cpu: peer.side.cpu.since(self.cpu)?.as_secs_f64(),
            wall: self.time.elapsed().as_secs_f64(),
            other: [
                ("late".to_string(), late.all.as_secs_f64()),
                ("late_own".to_string(), late.own.as_secs_f64()),
            ]
            .into(),
        })
    }
}
