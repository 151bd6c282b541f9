//! An experiment: the cost of a sendfile loop by the size of its calls.
//!
//! `sendloop-benches sizes` measures every call size with TCP_NODELAY and TCP_CORK on and off, with
//! 1 connection and with 64. It uses loopback and a veth pair between two network namespaces, with
//! and without segmentation offloads. It prints tables and keeps nothing. `--quick` does less in
//! one round. With `copy` the receiver copies the bytes, as clients do.

mod network;
mod receiver;
mod table;

use std::net::SocketAddr;
use std::thread;

use anyhow::{Result, anyhow};

use crate::Options;
use crate::runner::side::{self, Side};
use crate::sides::step::{Job, Taken};
use crate::workloads;
use network::Network;
use receiver::Received;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// More than any file.
const ALL: u64 = 1 << 40;

/// A way to call: its name, the largest count, and the bytes of a step.
pub struct Way {
    pub name: &'static str,
    call: u64,
    step: u64,
}

const fn way(name: &'static str, call: u64, step: u64) -> Way {
    Way { name, call, step }
}

/// A step is 2 MiB, unless the name has another size.
const WAYS: [Way; 8] = [
    way("32 calls of 64 KiB", 64 * KIB, 2 * MIB),
    way("16 calls of 128 KiB", 128 * KIB, 2 * MIB),
    way("8 calls of 256 KiB", 256 * KIB, 2 * MIB),
    way("4 calls of 512 KiB", 512 * KIB, 2 * MIB),
    way("2 calls of 1 MiB", MIB, 2 * MIB),
    way("1 call of 2 MiB", 2 * MIB, 2 * MIB),
    way("1 call of 128 KiB", 128 * KIB, 128 * KIB),
    way("1 call for all", ALL, ALL),
];

/// TCP_NODELAY and TCP_CORK.
const OPTIONS: [(&str, bool, bool); 4] = [
    ("nodelay", true, false),
    ("nodelay, cork", true, true),
    ("–", false, false),
    ("cork", false, true),
];

const CONNECTIONS: [u64; 2] = [1, 64];

/// The result of a measurement.
pub struct Measured {
    pub taken: Taken,
    pub received: Received,
    pub bytes: u64,
}

pub fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.folder)?;
    side::become_counterpart()?;
    let copies = options.only.iter().any(|word| word == "COPY");
    let rounds = if options.quick { 1 } else { 7 };
    let file = workloads::file(options, 512 * MIB)?;
    for network in Network::all()? {
        let network = network?;
        let mut side = network.start(&file)?;
        let address = network.connect(&side)?;
        let bytes = network.bytes() / if options.quick { 8 } else { 1 };
        for connections in CONNECTIONS {
            let measured = all(&mut side, address, (connections, bytes, rounds), copies)?;
            println!("\n**{}, connections: {connections}**", network.name());
            table::print(&measured);
            table::print_wakeups(&measured);
        }
    }
    Ok(())
}

/// Returns the samples of every way with every option, in that order.
fn all(
    side: &mut Side,
    address: SocketAddr,
    (connections, bytes, rounds): (u64, u64, usize),
    copies: bool,
) -> Result<Vec<Vec<Measured>>> {
    let count = WAYS.len() * OPTIONS.len();
    let mut measured: Vec<Vec<Measured>> = (0..count).map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for place in 0..count {
            let turn = (round * 7 + place) % count;
            let way = &WAYS[turn / OPTIONS.len()];
            let (_, nodelay, cork) = OPTIONS[turn % OPTIONS.len()];
            let job = Job {
                call: way.call,
                step: way.step,
                nodelay,
                cork,
                connections,
                bytes: bytes / connections,
            };
            measured[turn].push(one(side, address, job, copies)?);
        }
    }
    Ok(measured)
}

fn one(side: &mut Side, address: SocketAddr, job: Job, copies: bool) -> Result<Measured> {
    let streams = receiver::connect(address, job.connections)?;
    let bytes = job.bytes * job.connections;
    let (taken, received) = thread::scope(|scope| -> Result<_> {
        let receiver = scope.spawn(|| receiver::receive(&streams, bytes, copies));
        let taken = Taken::parse(&side.ask(&job.line())?)?;
        let received = receiver.join().map_err(|_| anyhow!("the receiver panicked"))?;
        Ok((taken, received?))
    })?;
    Ok(Measured { taken, received, bytes })
}
