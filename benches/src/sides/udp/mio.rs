//! The lower bound: a hand-written loop over mio.

use std::io::{self, ErrorKind};
use std::net;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::BUFFER;

pub(super) fn run(socket: net::UdpSocket) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(16);
    let mut socket = UdpSocket::from_std(socket);
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut socket, Token(0), both)?;
    let mut buffer = [0; BUFFER];
    // A datagram that found no room in the socket's buffer.
    let mut kept = None;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        match echo(&socket, &mut buffer, &mut kept) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => other?,
        }
    }
}

/// Echoes until the socket has nothing to read or no room to write, which is a `WouldBlock`.
fn echo(
    socket: &UdpSocket,
    buffer: &mut [u8; BUFFER],
    kept: &mut Option<(usize, net::SocketAddr)>,
) -> io::Result<()> {
    loop {
        let (len, sender) = match kept.take() {
            Some(datagram) => datagram,
            None => socket.recv_from(buffer)?,
        };
        if let Err(error) = socket.send_to(&buffer[..len], sender) {
            *kept = Some((len, sender));
            return Err(error);
        }
    }
}
