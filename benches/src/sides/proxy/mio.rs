//! The lower bound: hand-written callbacks over mio.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, Shutdown, SocketAddr};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX - 1);

/// The event that a direction waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Its source is readable.
    Read,
    /// Its target is writable.
    Write,
    /// Nothing: the direction has ended.
    End,
}

/// One direction: bytes that were read and not written yet.
struct Pipe {
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    wait: Wait,
}

impl Pipe {
    fn new(buffer: usize) -> Pipe {
        Pipe { buffer: vec![0; buffer], begin: 0, end: 0, wait: Wait::Read }
    }

    /// Copies if the event is the one that this direction waits for.
    fn on_event(
        &mut self,
        is_source: bool,
        event: &Event,
        pair: [&TcpStream; 2],
    ) -> io::Result<()> {
        let is_due = match self.wait {
            Wait::Read => is_source && event.is_readable(),
            Wait::Write => !is_source && event.is_writable(),
            Wait::End => false,
        };
        if !is_due {
            return Ok(());
        }
        match self.copy(pair) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            // The connect is still under way.
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// Copies until one of the sockets would block or the direction ends.
    fn copy(&mut self, [mut from, mut to]: [&TcpStream; 2]) -> io::Result<()> {
        loop {
            self.wait = Wait::Write;
            while self.begin < self.end {
                self.begin += to.write(&self.buffer[self.begin..self.end])?;
            }
            // A short read has emptied the socket, and new bytes are a new edge (epoll(7)).
            let is_short = self.end > 0 && self.end < self.buffer.len();
            (self.begin, self.end) = (0, 0);
            self.wait = Wait::Read;
            if is_short {
                return Ok(());
            }
            self.end = from.read(&mut self.buffer)?;
            if self.end == 0 {
                self.wait = Wait::End;
                return to.shutdown(Shutdown::Write);
            }
        }
    }
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
    up: Pipe,
    down: Pipe,
}

impl Pair {
    /// Returns whether both directions have ended.
    fn on_event(&mut self, is_client: bool, event: &Event) -> io::Result<bool> {
        let (client, server) = (&self.client, &self.server);
        self.up.on_event(is_client, event, [client, server])?;
        self.down.on_event(!is_client, event, [server, client])?;
        Ok(self.up.wait == Wait::End && self.down.wait == Wait::End)
    }
}

pub(super) fn run(listener: net::TcpListener, origin: SocketAddr, buffer: usize) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::from_std(listener);
    let registry = poll.registry();
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut pairs: Slab<Pair> = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, (origin, buffer), &mut pairs)?,
                // The two sockets of a pair have two tokens: the client's is even.
                Token(number) => {
                    let (key, is_client) = (number / 2, number % 2 == 0);
                    let is_open = pairs
                        .get_mut(key)
                        .is_some_and(|pair| matches!(pair.on_event(is_client, event), Ok(false)));
                    if !is_open {
                        pairs.try_remove(key);
                    }
                }
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    (origin, buffer): (SocketAddr, usize),
    pairs: &mut Slab<Pair>,
) -> io::Result<()> {
    loop {
        let mut client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut server = TcpStream::connect(origin)?;
        let entry = pairs.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        let (registry, key) = (poll.registry(), entry.key());
        registry.register(&mut client, Token(2 * key), both)?;
        registry.register(&mut server, Token(2 * key + 1), both)?;
        entry.insert(Pair { client, server, up: Pipe::new(buffer), down: Pipe::new(buffer) });
    }
}
