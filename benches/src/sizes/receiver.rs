//! The receiving end, which counts how often it had to be woken.

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
const PATIENCE: Duration = Duration::from_secs(60);

/// What receiving took.
pub struct Received {
    /// How often the thread slept: each time the kernel had to wake it.
    pub sleeps: u64,
    pub calls: u64,
    pub cpu: Duration,
}

pub fn connect(address: SocketAddr, count: u64) -> Result<Vec<TcpStream>> {
    let connect = |_| Ok(TcpStream::connect_timeout(&address, PATIENCE)?);
    (0..count).map(connect).collect()
}

/// Takes so many bytes from the streams together: one is read blocking, several by epoll.
pub fn receive(streams: &[TcpStream], bytes: u64, copies: bool) -> Result<Received> {
    let flags = match copies {
        true => MsgFlags::empty(),
        // The kernel drops what is taken, without a copy.
        false => MsgFlags::MSG_TRUNC,
    };
    let before = usage()?;
    let calls = match streams {
        [stream] => blocking(stream, bytes, flags)?,
        _ => polling(streams, bytes, flags)?,
    };
    let after = usage()?;
    Ok(Received {
        sleeps: (after.0 - before.0) as u64,
        calls,
        cpu: after.1 - before.1,
    })
}

/// How often this thread slept, and its CPU time.
fn usage() -> Result<(i64, Duration)> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok((usage.voluntary_context_switches(), cpu.into()))
}

fn blocking(stream: &TcpStream, mut left: u64, flags: MsgFlags) -> Result<u64> {
    stream.set_read_timeout(Some(PATIENCE))?;
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
        poll.poll(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "nothing came for a minute");
        for event in &events {
            let fd = streams[event.token().0].as_raw_fd();
            loop {
                calls += 1;
                match recv(fd, &mut buffer, flags) {
                    // The end of this one; others may have more.
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
