//! The lower bound: hand-written callbacks over mio. It registers a connection only if the request
//! has not arrived.

use std::io::{self, ErrorKind, Read, Write};
use std::net;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::MESSAGE;

const LISTENER: Token = Token(usize::MAX - 1);

struct Connection {
    stream: TcpStream,
    request: [u8; MESSAGE],
    read: usize,
}

impl Connection {
    /// Returns whether the connection is finished. A reply of 64 bytes always fits the socket's
    /// buffer.
    fn serve(&mut self) -> io::Result<bool> {
        while self.read < MESSAGE {
            match self.stream.read(&mut self.request[self.read..]) {
                Ok(0) => return Ok(true),
                Ok(read) => self.read += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.stream.write_all(&self.request)?;
        Ok(true)
    }
}

pub(super) fn run(listener: net::TcpListener) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::from_std(listener);
    let registry = poll.registry();
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut connections)?,
                Token(key) => serve(&mut connections, key),
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
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut connection = Connection { stream, request: [0; MESSAGE], read: 0 };
        if let Ok(false) = connection.serve() {
            let entry = connections.vacant_entry();
            let (stream, token) = (&mut connection.stream, Token(entry.key()));
            poll.registry().register(stream, token, Interest::READABLE)?;
            entry.insert(connection);
        }
    }
}

fn serve(connections: &mut Slab<Connection>, key: usize) {
    let is_open =
        connections.get_mut(key).is_some_and(|connection| matches!(connection.serve(), Ok(false)));
    if !is_open {
        connections.try_remove(key);
    }
}
