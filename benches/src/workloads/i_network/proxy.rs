//! A TCP proxy between an origin and a client that both run on the counterpart's core.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::runner::before::with_before;
use crate::runner::results;
use crate::runner::rounds::{Peer, Plan};
use crate::runner::side::Side;
use crate::servers::content;
use crate::workloads::{Scale, discard};

const PEERS: [&str; 6] = ["mio", "sendloop", "tokio", "mio_64k", "sendloop_64k", "tokio_64k"];
const MIB: u64 = 1 << 20;
/// The size of a body.
const SIZE: u64 = 512 * MIB;
const CHECKED: u64 = 3 * MIB;

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let origin = origin()?.to_string();
    let mut peers = Vec::new();
    for name in with_before(&PEERS) {
        let side = Side::own(&format!("proxy-{name}"), &[&origin])?;
        check(side.port).with_context(|| format!("the bytes that {name} forwards"))?;
        peers.push(Peer::new(name, side));
    }
    let plan = Plan {
        key: "I proxy",
        title: "a body of 512 MiB through a TCP proxy",
        unit: "MiB",
        rounds: scale.rounds,
    };
    let bytes = scale.units(SIZE);
    let mut buffer = vec![0; 4 << 20];
    let table = plan.run(&mut peers, |peer| {
        let stream = order(peer.side.port, bytes)?;
        let mut left = bytes;
        while left > 0 {
            let taken = discard(&stream, &mut buffer)? as u64;
            ensure!(taken > 0 && taken <= left, "a body of the wrong length");
            left -= taken;
        }
        Ok(bytes as f64 / MIB as f64)
    })?;
    results::save(options, &table)
}

/// Connects to a proxy and orders a body.
fn order(port: u16, bytes: u64) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(&bytes.to_le_bytes())?;
    Ok(stream)
}

/// Compares every byte of a body with the origin's, and checks the end of the connection.
fn check(port: u16) -> Result<()> {
    let mut stream = order(port, CHECKED)?;
    let mut body = vec![0; CHECKED as usize];
    stream.read_exact(&mut body)?;
    ensure!(body == bodies(CHECKED), "a changed body");
    stream.shutdown(std::net::Shutdown::Write)?;
    ensure!(stream.read(&mut [0])? == 0, "bytes after the body");
    Ok(())
}

/// Returns the first bytes of the origin's endless repetition of 1 MiB.
fn bodies(len: u64) -> Vec<u8> {
    content(0, MIB).into_iter().cycle().take(len as usize).collect()
}

/// Starts the origin and returns its port. It sends as many bytes as a connection orders.
fn origin() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        let part = content(0, MIB);
        for stream in listener.incoming().flatten() {
            // A client that disconnects ends only its own body.
            let _ = serve(stream, &part);
        }
    });
    Ok(port)
}

fn serve(mut stream: TcpStream, part: &[u8]) -> Result<()> {
    let mut order = [0; 8];
    while stream.read_exact(&mut order).is_ok() {
        let mut left = u64::from_le_bytes(order);
        while left > 0 {
            let len = left.min(part.len() as u64);
            stream.write_all(&part[..len as usize])?;
            left -= len;
        }
    }
    Ok(())
}
