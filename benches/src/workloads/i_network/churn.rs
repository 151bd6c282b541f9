//! Connections that each carry one request of 64 bytes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use crate::Options;
use crate::runner::before::with_before;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;
use crate::workloads::Scale;
use crate::workloads::echo::client::{MESSAGE, abort, message, read_reply, rest, spin_for};
use crate::workloads::echo::gate::Gate;
use crate::workloads::echo::{Bursts, measure_bursts};

const PEERS: [&str; 3] = ["mio", "sendloop", "tokio"];
/// The connections of a burst.
const CONNECTIONS: usize = 64;
/// All connections of a sample.
const REQUESTS: u64 = 20_000;

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let mut peers = Vec::new();
    for name in with_before(&PEERS) {
        peers.push(Peer::new(name, Side::own(&format!("churn-{name}"), &[])?));
    }
    let plan = Plan {
        key: "I churn",
        title: "a connection with one request of 64 bytes, 64 in a burst",
        unit: "connection",
        rounds: scale.rounds,
    };
    let bursts = scale.units(REQUESTS) / CONNECTIONS as u64;
    let table = plan.run_samples(&mut peers, |peer| {
        measure_bursts(peer, &mut Client::new(peer.side.port), bursts)
    })?;
    results::save(options, &table)
}

/// Makes new connections for each burst.
struct Client {
    port: u16,
    bursts: u64,
}

impl Client {
    fn new(port: u16) -> Client {
        Client { port, bursts: 0 }
    }
}

impl Bursts for Client {
    fn requests(&self) -> usize {
        CONNECTIONS
    }

    fn burst(&mut self, server: u32, latencies: &mut Histogram<u64>) -> Result<()> {
        self.bursts += 1;
        rest();
        let gate = Gate::close(server)?;
        let mut connections = Vec::new();
        for number in 0..CONNECTIONS {
            let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
            connection.set_nonblocking(true)?;
            let sent = connection.write(&message(self.bursts, number))?;
            ensure!(sent == MESSAGE, "a message has room");
            connections.push(connection);
        }
        let begin = Instant::now();
        drop(gate);
        for (number, connection) in connections.iter_mut().enumerate() {
            let got = read_reply(connection)?;
            ensure!(got == message(self.bursts, number), "a wrong reply");
            latencies.record(begin.elapsed().as_nanos() as u64)?;
            let more = spin_for(|| connection.read(&mut [0]))?;
            ensure!(more == 0, "the server sends no more and closes");
            abort(connection)?;
        }
        Ok(())
    }
}
