//! Accepting connections.

use std::io;
use std::net::{self, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{self as unix, UnixListener, UnixStream};
use std::task::{Context, Poll};

use super::address::{Address, FromRaw};
use super::sealed::Sealed;
use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::{io, poll_try};
use crate::socket::Socket;
use crate::sys::address::RawAddress;
use crate::sys::socket::{self as sys, SocketKind};

/// A listening socket: `TcpListener`, `UnixListener`, or any listener as an `OwnedFd`.
///
/// Another crate's listener becomes an `OwnedFd` first: `OwnedFd::from(socket)`.
pub trait Listen: AsFd + Sealed {
    /// The type of its connections.
    type Stream: AsFd + From<OwnedFd>;
    /// The type of its peers' addresses.
    type Addr: FromRaw;
}

impl Listen for TcpListener {
    type Stream = TcpStream;
    type Addr = net::SocketAddr;
}

impl Listen for UnixListener {
    type Stream = UnixStream;
    type Addr = unix::SocketAddr;
}

impl Listen for OwnedFd {
    type Stream = OwnedFd;
    type Addr = Address;
}

/// The most clients in a row that one call skips. Without a bound a BSD listener that is shut down
/// would hold the loop: each of its accepts fails with ECONNABORTED.
const MAX_ABORTED: usize = 128;

/// Accepts one connection. A client that disconnected before is no error of the listener.
fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddress)> {
    for _ in 0..MAX_ABORTED {
        match sys::accept(fd) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result,
        }
    }
    sys::accept(fd)
}

/// Accepts one connection of `sock`, if there is one.
fn try_accept<L: Listen>(fd: BorrowedFd<'_>, sock: &Socket<L>) -> io::Result<Accepted<L>> {
    // A connection is of its listener's kind, which the socket remembers.
    let kind = sock.kind().ok();
    if L::Addr::IP_ONLY && kind != Some(SocketKind::Tcp) && sys::is_of_another_family(fd) {
        let what = "cannot accept: a TcpListener holds a socket of another family; use \
             Socket<OwnedFd>";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let (stream, peer) = accept(fd)?;
    let addr = L::Addr::from_raw(stream.as_fd(), peer)?;
    Ok((Socket::adopt(L::Stream::from(stream), kind), addr))
}

impl LoopHandle {
    /// Accepts the next connection, and returns its socket and the peer's address.
    ///
    /// The socket is non-blocking and close-on-exec: one `accept4` does all three. The loop skips a
    /// client that disconnected before it was accepted.
    ///
    /// Several tasks may accept from one listener: a connection wakes one of them, and more only if
    /// there are more.
    ///
    /// A listener of another crate, or of a family that `std` lacks, is a `Socket<OwnedFd>`. Its
    /// connections are `Socket<OwnedFd>` too, and its addresses are [`Address`].
    ///
    /// # Errors
    ///
    /// Any error of accept(2). If the process is out of descriptors (EMFILE), the connection stays
    /// in the listener's queue: wait a little, then accept again. `InvalidInput` (EINVAL) if the
    /// listener is shut down. `InvalidInput` if it belongs to another loop, or if a `TcpListener`
    /// holds a socket of another family. [`LoopClosedError`](crate::LoopClosedError) if the call
    /// would have to wait on a closed loop.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, it has accepted no connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// let listener = Socket::new(listener)?;
    /// let (stream, peer) = event_loop.sock_accept(&listener).await?;
    /// assert_eq!(peer, client.local_addr()?);
    /// event_loop.sock_sendall(&stream, b"hello").await?;
    /// # Ok(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "accept")]
    pub fn sock_accept<'a, L: Listen>(
        &self,
        sock: &'a Socket<L>,
    ) -> impl Future<Output = io::Result<Accepted<L>>> + use<'a, L> {
        io(self, sock, Direction::Read, move |fd| try_accept(fd, sock))
    }

    /// Accepts the next connection, as a poll, for adapters to another crate's traits.
    ///
    /// It does what [`sock_accept`](LoopHandle::sock_accept) does. One task at a time may wait by
    /// it on one listener: the loop wakes the task that polled last. Tasks that wait by
    /// `sock_accept` are woken beside it.
    ///
    /// # Errors
    ///
    /// As [`sock_accept`](LoopHandle::sock_accept). An error does not end the listener: a later
    /// poll tries again. A loop that polls at once after EMFILE keeps the processor busy.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::net::{TcpListener, TcpStream};
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// let listener = Socket::new(listener)?;
    /// let accepted = poll_fn(|cx| event_loop.poll_accept(cx, &listener)).await;
    /// assert_eq!(accepted?.1, client.local_addr()?);
    /// # Ok(())
    /// # })?
    /// # }
    /// ```
    pub fn poll_accept<L: Listen>(
        &self,
        cx: &Context<'_>,
        sock: &Socket<L>,
    ) -> Poll<io::Result<Accepted<L>>> {
        let attempt = |fd: BorrowedFd<'_>| try_accept(fd, sock);
        sock.with_poll_wait(Direction::Read, |wait| {
            poll_try(self, sock, Direction::Read, wait, cx, attempt)
        })
    }
}

type Accepted<L> = (Socket<<L as Listen>::Stream>, <L as Listen>::Addr);
