//! UDP echo.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;

use crate::Options;
use crate::runner::before::with_before;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::{Side, measured};
use crate::workloads::Scale;
use crate::workloads::echo::client::{message, rest, spin_for};
use crate::workloads::echo::gate::Gate;
use crate::workloads::echo::{Bursts, measure_bursts};

const PEERS: [&str; 3] = ["mio", "sendloop", "tokio"];
const SIZES: [(usize, &str); 2] = [(64, "64"), (1_400, "1,400")];
/// The datagrams of a burst: they fit the receive buffer of a socket.
const DATAGRAMS: usize = 32;
/// All datagrams of a sample.
const REQUESTS: u64 = 32_000;

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let mut peers = Vec::new();
    for name in with_before(&PEERS) {
        peers.push(Peer::new(name, Side::own(&format!("udp-{name}"), &[])?));
    }
    peers.push(Peer::new("uvloop", uvloop(&options.folder)?));
    for (size, words) in SIZES {
        let plan = Plan {
            key: &format!("I udp {size}"),
            title: &format!("UDP echo of {words} bytes, 32 in a burst"),
            unit: "datagram",
            rounds: scale.rounds,
        };
        let bursts = scale.units(REQUESTS) / DATAGRAMS as u64;
        let table = plan.run_samples(&mut peers, |peer| {
            let mut client = Client::new(peer.side.port, size)?;
            measure_bursts(peer, &mut client, bursts)
        })?;
        results::save(options, &table)?;
    }
    Ok(())
}

fn uvloop(folder: &Path) -> Result<Side> {
    let mut command = measured(&folder.join("venv/bin/python"));
    command.args(["peers/echo.py", "uvloop", "udp"]);
    Side::start(command).context("uvloop, in the virtual environment that ./bench makes")
}

struct Client {
    socket: UdpSocket,
    size: usize,
    bursts: u64,
}

impl Client {
    fn new(port: u16, size: usize) -> Result<Client> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(("127.0.0.1", port))?;
        socket.set_nonblocking(true)?;
        Ok(Client { socket, size, bursts: 0 })
    }

    fn datagram(&self, number: usize) -> Vec<u8> {
        let bytes = message(self.bursts, number);
        bytes.into_iter().cycle().take(self.size).collect()
    }
}

impl Bursts for Client {
    fn requests(&self) -> usize {
        DATAGRAMS
    }

    fn burst(&mut self, server: u32, latencies: &mut Histogram<u64>) -> Result<()> {
        self.bursts += 1;
        rest();
        let gate = Gate::close(server)?;
        for number in 0..DATAGRAMS {
            self.socket.send(&self.datagram(number))?;
        }
        let begin = Instant::now();
        drop(gate);
        let mut buffer = [0; 2048];
        for number in 0..DATAGRAMS {
            let len = spin_for(|| self.socket.recv(&mut buffer))?;
            ensure!(buffer[..len] == self.datagram(number), "a wrong reply");
            latencies.record(begin.elapsed().as_nanos() as u64)?;
        }
        Ok(())
    }
}
