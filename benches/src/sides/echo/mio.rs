//! The lower bound: hand-written callbacks over mio, the poller of sendloop.

use std::io::{self, ErrorKind, Read, Write};
use std::net;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::BUFFER;

const LISTENER: Token = Token(usize::MAX - 1);

struct Connection {
    stream: TcpStream,
    /// Bytes that the socket had no room for.
    rest: Vec<u8>,
}

/// The outcome of an event.
enum Next {
    Keep,
    Close,
}

pub(super) fn run(listener: net::TcpListener) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::from_std(listener);
    let registry = poll.registry();
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections = Slab::new();
    let mut buffer = [0; BUFFER];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut connections)?,
                token => serve(&mut connections, token, event, &mut buffer),
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let place = connections.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(place.key()), both)?;
        let rest = Vec::new();
        place.insert(Connection { stream, rest });
    }
}

fn serve(
    connections: &mut Slab<Connection>,
    Token(key): Token,
    event: &Event,
    buffer: &mut [u8; BUFFER],
) {
    let Some(connection) = connections.get_mut(key) else {
        return;
    };
    let mut next = Ok(Next::Keep);
    if event.is_writable() && !connection.rest.is_empty() {
        next = connection.flush();
    }
    // The server reads on after its reply has gone.
    if connection.rest.is_empty() && matches!(next, Ok(Next::Keep)) {
        next = connection.echo(buffer);
    }
    if !matches!(next, Ok(Next::Keep)) {
        // Closing the only descriptor removes it from the poller.
        connections.remove(key);
    }
}

impl Connection {
    fn echo(&mut self, buffer: &mut [u8; BUFFER]) -> io::Result<Next> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(Next::Close),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Keep),
                Err(error) => return Err(error),
            };
            self.send(&buffer[..read])?;
            // A short read has emptied the socket, and new bytes are a new edge (epoll(7)).
            if read < BUFFER || !self.rest.is_empty() {
                return Ok(Next::Keep);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.rest.extend_from_slice(&bytes[sent..]);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<Next> {
        let rest = std::mem::take(&mut self.rest);
        self.send(&rest)?;
        Ok(Next::Keep)
    }
}
