//! The receiver, which counts its wake-ups.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Result, ensure};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{MsgFlags, recv};
use nix::time::{ClockId, clock_gettime};

const BUFFER: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// The cost of receiving.
pub struct Received {
    /// The number of sleeps: after each one the kernel had to wake the thread.
    pub sleeps: u64,
    pub calls: u64,
    pub cpu: Duration,
}

pub fn connect(address: SocketAddr, count: u64) -> Result<Vec<TcpStream>> {
    let connect = |_| Ok(TcpStream::connect_timeout(&address, TIMEOUT)?);
    (0..count).map(connect).collect()
}

/// Receives a number of bytes from all streams: one by blocking reads, several by epoll.
pub fn receive(streams: &[TcpStream], bytes: u64, copies: bool) -> Result<Received> {
    let flags = match copies {
        true => MsgFlags::empty(),
        // The kernel drops the bytes without a copy.
        false => MsgFlags::MSG_TRUNC,
    };
    let before = usage()?;
    let calls = match streams {
        [stream] => blocking(stream, bytes, flags)?,
        _ => polling(streams, bytes, flags)?,
    };
    let after = usage()?;
    Ok(Received { sleeps: (after.0 - before.0) as u64, calls, cpu: after.1 - before.1 })
}

/// Returns the number of sleeps of this thread and its CPU time.
fn usage() -> Result<(i64, Duration)> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok((usage.voluntary_context_switches(), cpu.into()))
}

fn blocking(stream: &TcpStream, mut left: u64, flags: MsgFlags) -> Result<u64> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    let (mut buffer, mut calls) = (vec![0; BUFFER], 0);
    while left > 0 {
        let taken = recv(stream.as_raw_fd(), &mut buffer, flags)?;
        ensure!(taken > 0, "the side closed the connection");
        left -= taken as u64;
        calls += 1;
    }
    Ok(calls)
}

fn polling(streams: &[TcpStream], mut left: u64, flags: MsgFlags) -> Result<u64> {
    let (mut buffer, mut calls) = (vec![0; BUFFER], 0);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    for (number, stream) in streams.iter().enumerate() {
        stream.set_nonblocking(true)?;
        let fd = stream.as_raw_fd();
        let registry = poll.registry();
        registry.register(&mut SourceFd(&fd), Token(number), Interest::READABLE)?;
    }
    while left > 0 {
        poll.poll(&mut events, Some(TIMEOUT))?;
        ensure!(!events.is_empty(), "nothing came for a minute");
        for event in &events {
            let fd = streams[event.token().0].as_raw_fd();
            loop {
                calls += 1;
                match recv(fd, &mut buffer, flags) {
                    // The end of this stream.
                    Ok(0) => break,
                    Ok(taken) => left -= taken as u64,
                    Err(Errno::EAGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(calls)
}
