//! C: echo of 64 bytes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Scale;
use super::echo::calls::count_calls;
use super::echo::client::Client;
use super::echo::closed::measure_closed;
use super::echo::{measure_bursts, words};
use crate::Options;
use crate::runner::before::with_before;
use crate::runner::results::{self, Sample, Series, Table};
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::{Side, measured};

const OWN: [&str; 5] = ["mio", "sendloop", "tokio", "smol", "monoio"];
const PYTHON: [&str; 2] = ["asyncio", "uvloop"];

/// The number of connections, and the requests of a sample.
const SIZES: [(usize, u64); 3] = [(1, 4_000), (64, 32_000), (1_000, 32_000)];

/// The peers whose memory is measured. The unbuffered ones hold no buffer for an idle connection.
const MEMORY: [&str; 7] =
    ["mio", "sendloop", "sendloop_unbuffered", "tokio", "tokio_unbuffered", "smol", "monoio"];
const IDLE: usize = 10_000;
const MEMORY_ROUNDS: usize = 3;

/// Measures the resident memory of an idle connection that has echoed once.
pub fn memory(options: &Options) -> Result<()> {
    let (rounds, idle) = match options.quick {
        true => (1, IDLE / 10),
        false => (MEMORY_ROUNDS, IDLE),
    };
    let mut series = Vec::new();
    for peer in MEMORY.iter().chain(&PYTHON) {
        let samples = (0..rounds).map(|_| memory_of(options, peer, idle));
        series.push(Series { peer: peer.to_string(), samples: samples.collect::<Result<_>>()? });
    }
    let table = Table {
        key: "C memory".to_string(),
        title: "memory of an idle connection among 10,000".to_string(),
        unit: "connection".to_string(),
        series,
    };
    results::save(options, &table)
}

/// Takes a new process each time: one that has freed memory does not give it back.
fn memory_of(options: &Options, peer: &str, idle: usize) -> Result<Sample> {
    let side = match PYTHON.contains(&peer) {
        true => python(&options.folder, peer)?,
        false => Side::own(&format!("echo-{peer}"), &[])?,
    };
    let before = side.resident()?;
    let client = Client::connect(side.port, idle)?;
    let grown = side.resident()?.saturating_sub(before) as f64 / idle as f64;
    client.abort()?;
    eprintln!("C memory {peer:24} {grown:.0} bytes");
    Ok(Sample {
        units: idle as f64,
        cpu: 0.0,
        wall: 0.0,
        other: [("rss_per_connection".to_string(), grown)].into(),
    })
}

struct Measured<'a> {
    options: &'a Options,
    scale: Scale,
    peers: Vec<Peer>,
}

pub fn run(options: &Options) -> Result<()> {
    let peers = peers(&options.folder)?;
    let scale = Scale::of(options);
    let mut measured = Measured { options, scale, peers };
    for (connections, requests) in SIZES {
        let requests = scale.units(requests);
        measured.bursts(connections, requests)?;
        measured.closed(connections, requests)?;
    }
    measured.calls(64)
}

fn peers(folder: &Path) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for name in with_before(&OWN) {
        let side = Side::own(&format!("echo-{name}"), &[])?;
        peers.push(Peer::new(name, side));
    }
    for name in PYTHON {
        peers.push(Peer::new(name, python(folder, name)?));
    }
    Ok(peers)
}

fn python(folder: &Path, name: &str) -> Result<Side> {
    let mut command: Command = measured(&folder.join("venv/bin/python"));
    command.args(["peers/echo.py", name]);
    Side::start(command).with_context(|| format!("{name}, in the venv that ./bench makes"))
}

impl Measured<'_> {
    fn bursts(&mut self, connections: usize, requests: u64) -> Result<()> {
        let plan = Plan {
            key: &format!("C echo {connections}"),
            title: &format!("echo, {}", words(connections)),
            unit: "request",
            rounds: self.scale.rounds,
        };
        let mut clients = self.clients(connections)?;
        let bursts = (requests / connections as u64).max(1);
        let table = plan.run_samples(&mut self.peers, |peer| {
            measure_bursts(peer, client(&mut clients, &peer.name)?, bursts)
        })?;
        results::save(self.options, &table)
    }

    fn closed(&mut self, connections: usize, requests: u64) -> Result<()> {
        let plan = Plan {
            key: &format!("C latency {connections}"),
            title: &format!("echo, {}, free run", words(connections)),
            unit: "request",
            rounds: self.scale.rounds,
        };
        let mut clients = self.clients(connections)?;
        let table = plan.run_samples(&mut self.peers, |peer| {
            measure_closed(peer, client(&mut clients, &peer.name)?, requests)
        })?;
        results::save(self.options, &table)
    }

    /// Counts system calls. They are exact, so one sample is enough.
    fn calls(&mut self, connections: usize) -> Result<()> {
        let mut series = Vec::new();
        for (peer, (_, client)) in self.peers.iter().zip(&mut self.clients(connections)?) {
            let sample = count_calls(&self.options.folder, peer, client, 100)?;
            series.push(one(&peer.name, sample));
        }
        let table = Table {
            key: "C calls".to_string(),
            title: format!("system calls for a request, {}", words(connections)),
            unit: "request".to_string(),
            series,
        };
        results::save(self.options, &table)
    }

    fn clients(&self, connections: usize) -> Result<Vec<(String, Client)>> {
        let connect = |peer: &Peer| {
            let client = Client::connect(peer.side.port, connections);
            Ok((peer.name.clone(), client.with_context(|| peer.name.clone())?))
        };
        self.peers.iter().map(connect).collect()
    }
}

fn client<'a>(clients: &'a mut [(String, Client)], name: &str) -> Result<&'a mut Client> {
    let found = clients.iter_mut().find(|(peer, _)| peer == name);
    Ok(&mut found.context("each peer has a client")?.1)
}

fn one(peer: &str, sample: Sample) -> Series {
    Series { peer: peer.to_string(), samples: vec![sample] }
}
