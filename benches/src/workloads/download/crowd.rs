//! Many clients at once.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::libc::linger;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt,
};

use super::client::discard;
use crate::sides::send::Order;

/// The size of a packet. With loopback's 64 KiB a connection gets room for megabytes, and no server
/// ever waits for a reader.
#[derive(Clone, Copy)]
pub enum Segment {
    /// So large that a file fits the ten packets of TCP's initial window. Otherwise the slow start
    /// of each connection would dominate.
    Jumbo = 8948,
    /// Ethernet's size: small buffers, for clients that do not read.
    Ethernet = 1460,
}

/// The receive buffer of a connection. Larger ones would exceed the kernel's limit for all TCP
/// memory.
const RECEIVE_BUFFER: usize = 32 << 10;
/// The connections of a batch: the backlog of a listening socket is 4,096.
const BATCH: usize = 1000;
/// The size of the first file, which shows that the side has accepted the connection.
pub const GREETING: u64 = 4 << 10;
const TIMEOUT: Duration = Duration::from_secs(60);
const BUFFER: usize = 4 << 20;

pub struct Crowd {
    streams: Vec<TcpStream>,
    poll: Poll,
    buffer: Vec<u8>,
}

impl Crowd {
    pub fn connect(port: u16, count: usize, segment: Segment) -> Result<Crowd> {
        let mut crowd = Crowd { streams: Vec::new(), poll: Poll::new()?, buffer: vec![0; BUFFER] };
        while crowd.streams.len() < count {
            let before = crowd.streams.len();
            for number in before..count.min(before + BATCH) {
                crowd.add(port, segment).with_context(|| format!("connection {number}"))?;
            }
            order(&crowd.streams[before..], GREETING, 1)?;
            crowd.discard((crowd.streams.len() - before) as u64 * GREETING)?;
        }
        Ok(crowd)
    }

    fn add(&mut self, port: u16, segment: Segment) -> Result<()> {
        let stream = connected(port, segment)?;
        stream.set_nonblocking(true)?;
        let (token, number) = (Token(self.streams.len()), stream.as_raw_fd());
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&number), token, Interest::READABLE)?;
        self.streams.push(stream);
        Ok(())
    }

    /// Lets each client order a file a number of times.
    pub fn order(&self, size: u64, times: u64) -> Result<()> {
        order(&self.streams, size, times)
    }

    /// Does the same, discards the files and returns their bytes.
    pub fn fetch(&mut self, size: u64, times: u64) -> Result<u64> {
        self.order(size, times)?;
        let all = size * times * self.streams.len() as u64;
        self.discard(all)?;
        Ok(all)
    }

    fn discard(&mut self, all: u64) -> Result<()> {
        let mut left = all;
        let mut events = Events::with_capacity(1024);
        while left > 0 {
            self.poll.poll(&mut events, Some(TIMEOUT))?;
            ensure!(!events.is_empty(), "nothing came for a minute");
            for event in &events {
                let Token(number) = event.token();
                left -= take(&self.streams[number], &mut self.buffer)?;
            }
        }
        Ok(())
    }
}

fn order(streams: &[TcpStream], size: u64, times: u64) -> Result<()> {
    for mut stream in streams {
        stream.write_all(&Order { size, times }.bytes())?;
    }
    Ok(())
}

/// Discards the available bytes.
fn take(stream: &TcpStream, buffer: &mut [u8]) -> Result<u64> {
    let mut taken = 0;
    loop {
        match discard(stream, buffer) {
            Ok(0) => anyhow::bail!("the side closed the connection"),
            Ok(more) => taken += more as u64,
            Err(Errno::EAGAIN) => return Ok(taken),
            Err(error) => return Err(error.into()),
        }
    }
}

fn connected(port: u16, segment: Segment) -> Result<TcpStream> {
    let (family, kind) = (AddressFamily::Inet, SockType::Stream);
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::TcpMaxSeg, &(segment as u32))?;
    setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    // A close without TIME_WAIT, which would use up the ports.
    let reset = linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&fd, sockopt::Linger, &reset)?;
    let number: RawFd = fd.as_raw_fd();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    connect(number, &SockaddrIn::from(address))?;
    Ok(fd.into())
}
