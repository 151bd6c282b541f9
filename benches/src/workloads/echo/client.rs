//! Connections that all send at once.

use std::hint;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use nix::sys::socket::{setsockopt, sockopt};

use super::Bursts;
use super::gate::Gate;

pub const MESSAGE: usize = 64;

/// The time after which an idle server sleeps.
const REST: Duration = Duration::from_micros(50);
/// The time between two reads: a read locks the socket for a moment, and should seldom meet the
/// server's send.
const READ_INTERVAL: Duration = Duration::from_micros(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the bytes of a request. No two requests of a client are alike.
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

/// Lets an idle server fall asleep.
pub fn rest() {
    spin(REST);
}

pub struct Client {
    connections: Vec<TcpStream>,
    bursts: u64,
}

impl Client {
    /// Makes `count` connections, each with one echo before the next.
    pub fn connect(port: u16, count: usize) -> Result<Client> {
        let connect = |place| {
            let mut connection = TcpStream::connect(("127.0.0.1", port))?;
            connection.set_read_timeout(Some(TIMEOUT))?;
            let (sent, mut got) = (message(0, place), [0; MESSAGE]);
            connection.write_all(&sent)?;
            connection.read_exact(&mut got)?;
            ensure!(sent == got, "something else came back");
            connection.set_nonblocking(true)?;
            Ok(connection)
        };
        let connections = (0..count).map(connect).collect::<Result<_>>()?;
        Ok(Client { connections, bursts: 0 })
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn connections(&mut self) -> &mut [TcpStream] {
        &mut self.connections
    }

    /// Closes all connections without TIME_WAIT, which would use up the ports.
    pub fn abort(self) -> Result<()> {
        self.connections.iter().try_for_each(abort)
    }
}

impl Bursts for Client {
    fn requests(&self) -> usize {
        self.len()
    }

    fn is_gated(&self) -> bool {
        self.len() > 1
    }

    /// Sends one request on each connection. All are there before the server sees the first.
    fn burst(&mut self, server: u32, latencies: &mut Histogram<u64>) -> Result<()> {
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
            let got = read_reply(connection)?;
            ensure!(got == message(self.bursts, place), "something else came");
            latencies.record(begin.elapsed().as_nanos() as u64)?;
        }
        Ok(())
    }
}

/// Closes a connection without TIME_WAIT, which would use up the ports.
pub fn abort(connection: &TcpStream) -> Result<()> {
    let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(setsockopt(connection, sockopt::Linger, &at_once)?)
}

/// Reads a reply without sleeping.
pub fn read_reply(connection: &mut TcpStream) -> Result<[u8; MESSAGE]> {
    let (mut bytes, mut got) = ([0; MESSAGE], 0);
    while got < MESSAGE {
        match spin_for(|| connection.read(&mut bytes[got..]))? {
            0 => bail!("the server closed the connection"),
            read => got += read,
        }
    }
    Ok(bytes)
}

/// Repeats a call that would block until it does not.
pub fn spin_for<T>(mut call: impl FnMut() -> io::Result<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => spin(READ_INTERVAL),
            result => return result.context("a reply"),
        }
        ensure!(begin.elapsed() < TIMEOUT, "no reply came");
    }
}
