//! The system calls and nothing else: one connection at a time.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::sys::sendfile::sendfile64;
use rustix::io::ReadWriteFlags;

use super::{Folder, ORDER, Order};

/// The largest count of a call: the most that sendfile(2) takes.
const MAX_COUNT: u64 = 0x7fff_f000;
const PAGE: u64 = 4096;
/// The size of the buffers of coreutils.
const BUFFER: usize = 256 << 10;

/// Reads the client's next order. `None` is the end of the connection.
fn order(client: &mut TcpStream) -> io::Result<Option<Order>> {
    let mut bytes = [0; ORDER];
    match client.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(Order::parse(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes one call at `sent`. `None` means that the socket is full.
pub(super) fn step(sock: &impl AsFd, file: &File, sent: u64, size: u64) -> io::Result<Option<u64>> {
    step_of(MAX_COUNT, sock, file, sent, size)
}

/// Makes one call of at most `most` bytes.
fn step_of(
    most: u64,
    sock: &impl AsFd,
    file: &File,
    sent: u64,
    size: u64,
) -> io::Result<Option<u64>> {
    let mut offset = sent as i64;
    let count = (size - sent).min(most) as usize;
    match sendfile64(sock, file, Some(&mut offset), count) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(moved) => Ok(Some(moved as u64)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The other system calls of each send.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Beside {
    Nothing,
    /// A page-cache probe.
    Probe,
    /// A seek to the end of the sent bytes, as in asyncio and sendloop.
    Position,
    /// A seek, and page-cache probes of the first page and of the last: the calls of sendloop.
    ProbeAndPosition,
}

/// The calls of a bare loop.
#[derive(Clone, Copy)]
pub(super) struct Calls {
    pub beside: Beside,
    /// The largest count of a call.
    pub most: u64,
}

impl Calls {
    pub(super) fn whole(beside: Beside) -> Calls {
        Calls { beside, most: MAX_COUNT }
    }

    pub(super) fn of(most: u64) -> Calls {
        let beside = Beside::Nothing;
        Calls { beside, most }
    }
}

pub(super) fn blocking(listener: &TcpListener, folder: &Folder, calls: Calls) -> io::Result<()> {
    loop {
        let (mut client, _) = listener.accept()?;
        while let Some(order) = order(&mut client)? {
            for (file, size) in folder.batch(order)?.files() {
                send_blocking(&client, file, *size, calls)?;
            }
        }
    }
}

fn send_blocking(client: &TcpStream, mut file: &File, size: u64, calls: Calls) -> io::Result<()> {
    let Calls { beside, most } = calls;
    if matches!(beside, Beside::Probe | Beside::ProbeAndPosition) {
        probe(file, 0)?;
        if size > PAGE {
            probe(file, size - 1)?;
        }
    }
    let mut sent = 0;
    while sent < size {
        sent += step_of(most, client, file, sent, size)?.unwrap_or(0);
    }
    if matches!(beside, Beside::Position | Beside::ProbeAndPosition) {
        file.seek(SeekFrom::Start(sent))?;
    }
    Ok(())
}

fn probe(file: &File, offset: u64) -> io::Result<()> {
    let mut byte = [0];
    let mut part = [IoSliceMut::new(&mut byte)];
    rustix::io::preadv2(file, &mut part, offset, ReadWriteFlags::NOWAIT)?;
    Ok(())
}

pub(super) fn epoll(listener: &TcpListener, folder: &Folder, calls: Calls) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(16);
    loop {
        let (mut client, _) = listener.accept()?;
        let number = client.as_raw_fd();
        let mut source = SourceFd(&number);
        poll.registry().register(&mut source, Token(0), Interest::WRITABLE)?;
        while let Some(order) = order(&mut client)? {
            let batch = folder.batch(order)?;
            client.set_nonblocking(true)?;
            for (file, size) in batch.files() {
                send_nonblocking(&client, (file, *size), calls.most, (&mut poll, &mut events))?;
            }
            client.set_nonblocking(false)?;
        }
        poll.registry().deregister(&mut source)?;
    }
}

/// Waits for an edge after EAGAIN.
fn send_nonblocking(
    client: &TcpStream,
    (file, size): (&File, u64),
    most: u64,
    (poll, events): (&mut Poll, &mut Events),
) -> io::Result<()> {
    let mut sent = 0;
    while sent < size {
        match step_of(most, client, file, sent, size)? {
            Some(moved) => sent += moved,
            None => poll.poll(events, None)?,
        }
    }
    Ok(())
}

pub(super) fn read_write(listener: &TcpListener, folder: &Folder) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (mut client, _) = listener.accept()?;
        while let Some(order) = order(&mut client)? {
            let file = folder.open(order.size)?;
            for _ in 0..order.times {
                let mut sent = 0;
                while sent < order.size {
                    let read = file.read_at(&mut buffer, sent)?;
                    client.write_all(&buffer[..read])?;
                    sent += read as u64;
                }
            }
        }
    }
}
