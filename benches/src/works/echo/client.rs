//! Connections that all send at once, and have their answers looked for.

use std::hint;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use nix::sys::socket::{setsockopt, sockopt};

use super::gate::Gate;

pub const MESSAGE: usize = 64;

/// After this time a server that has nothing to do sleeps.
const REST: Duration = Duration::from_micros(50);
/// Between two looks for an answer: a look holds the socket for a moment, and should seldom meet the server's send.
const GLANCE: Duration = Duration::from_micros(5);
const TOO_LONG: Duration = Duration::from_secs(10);

/// What nobody sends by chance: no two requests of a client are alike.
pub fn message(burst: u64, place: usize) -> [u8; MESSAGE] {
    let seed = (burst << 24 | place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; MESSAGE];
    for (number, part) in bytes.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&seed.rotate_left(7 * number as u32).to_le_bytes());
    }
    bytes
}

fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        hint::spin_loop();
    }
}

/// Lets a server that has nothing to do fall asleep.
pub fn rest() {
    spin(REST);
}

pub struct Client {
    connections: Vec<TcpStream>,
    bursts: u64,
}

impl Client {
    /// Connects so often, and has each connection's first echo before the next is made.
    pub fn connect(port: u16, count: usize) -> Result<Client> {
        let connect = |place| {
            let mut connection = TcpStream::connect(("127.0.0.1", port))?;
            connection.set_read_timeout(Some(TOO_LONG))?;
            let (sent, mut got) = (message(0, place), [0; MESSAGE]);
            connection.write_all(&sent)?;
            connection.read_exact(&mut got)?;
            ensure!(sent == got, "something else came back");
            connection.set_nonblocking(true)?;
            Ok(connection)
        };
        let connections = (0..count).map(connect).collect::<Result<_>>()?;
        Ok(Client {
            connections,
            bursts: 0,
        })
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether the server is stopped while a burst is laid out: one request is none.
    pub fn is_gated(&self) -> bool {
        self.len() > 1
    }

    pub fn connections(&mut self) -> &mut [TcpStream] {
        &mut self.connections
    }

    /// One request on each connection, all there before the server sees the first.
    pub fn burst(&mut self, server: u32, latencies: &mut Histogram<u64>) -> Result<()> {
        self.bursts += 1;
        rest();
        let gate = match self.is_gated() {
            true => Some(Gate::close(server)?),
            false => None,
        };
        let mut begin = Instant::now();
        for (place, connection) in self.connections.iter_mut().enumerate() {
            let sent = connection.write(&message(self.bursts, place))?;
            ensure!(sent == MESSAGE, "a message has room");
        }
        if gate.is_some() {
            begin = Instant::now();
        }
        drop(gate);
        for (place, connection) in self.connections.iter_mut().enumerate() {
            let got = look_for_answer(connection)?;
            ensure!(got == message(self.bursts, place), "something else came");
            latencies.record(begin.elapsed().as_nanos() as u64)?;
        }
        Ok(())
    }

    /// Closes all without leaving the ports waiting for a minute, as there are not many times ten thousand.
    pub fn abort(self) -> Result<()> {
        let at_once = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        for connection in &self.connections {
            setsockopt(connection, sockopt::Linger, &at_once)?;
        }
        Ok(())
    }
}

fn look_for_answer(connection: &mut TcpStream) -> Result<[u8; MESSAGE]> {
    let begin = Instant::now();
    let (mut bytes, mut got) = ([0; MESSAGE], 0);
    while got < MESSAGE {
        match connection.read(&mut bytes[got..]) {
            Ok(0) => bail!("the server closed it"),
            Ok(read) => got += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => spin(GLANCE),
            Err(error) => return Err(error).context("an answer"),
        }
        ensure!(begin.elapsed() < TOO_LONG, "no answer came");
    }
    Ok(bytes)
}
