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
use crate::ready_io::{poll_without_future, read_io};
use crate::socket::Socket;
use crate::sys::address::RawAddress;
use crate::sys::socket::{self as sys, SocketKind};

/// A listening socket: `TcpListener`, `UnixListener`, or any listener as an `OwnedFd`.
///
/// Convert another crate's listener first: `OwnedFd::from(listener)`.
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

/// The most disconnected clients in a row that one call skips.
///
/// On the BSDs, each accept of a listener that is shut down fails with ECONNABORTED. Without a
/// maximum, the retries would block the loop.
const MAX_ABORTED: usize = 128;

/// Accepts one connection, and skips clients that have already disconnected.
fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddress)> {
    for _ in 0..MAX_ABORTED {
        match sys::accept(fd) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result,
        }
    }
    sys::accept(fd)
}

/// Accepts one connection of `sock`, or fails with EAGAIN if there is none.
fn try_accept<L: Listen>(fd: BorrowedFd<'_>, sock: &Socket<L>) -> io::Result<Accepted<L>> {
    // A connection has its listener's kind, which the socket remembers.
    let kind = sock.kind().ok();
    let has_other_family = || sys::local_address(fd).is_some_and(|name| !name.is_internet());
    if L::Addr::IP_ONLY && kind != Some(SocketKind::Tcp) && has_other_family() {
        let what = "cannot accept: the TcpListener holds a socket of another family; use \
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
    /// One `accept4` makes the new socket non-blocking and close-on-exec. The call skips clients
    /// that disconnected before it accepted them.
    ///
    /// Several tasks may accept from one listener. Each connection wakes only one of them.
    ///
    /// For a listener of another crate, or of a family that `std` lacks, use a `Socket<OwnedFd>`.
    /// Its connections are `Socket<OwnedFd>` too, and its addresses have the type [`Address`].
    ///
    /// # Errors
    ///
    /// - Any error of accept(2). If the process is out of descriptors (EMFILE), the connection
    ///   stays in the listener's queue. Wait a little, then accept again.
    /// - `InvalidInput` (EINVAL) if the listener is shut down.
    /// - `InvalidInput` if the listener belongs to another loop, or if a `TcpListener` holds a
    ///   socket of another family.
    /// - [`LoopClosedError`](crate::LoopClosedError) if the call would have to wait on a closed
    ///   loop.
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
        read_io(self, sock, move |fd| try_accept(fd, sock))
    }

    /// Polls for the next connection, for adapters to other crates' traits.
    ///
    /// The method works like [`sock_accept`](LoopHandle::sock_accept). For each listener, the loop
    /// wakes only the task that polled last. Tasks that wait in `sock_accept` wake independently of
    /// that task.
    ///
    /// # Errors
    ///
    /// The same as [`sock_accept`](LoopHandle::sock_accept). After an error, a later poll retries.
    /// After EMFILE, wait before you poll again: a poll at once would keep the processor busy.
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
        poll_without_future(self, sock, Direction::Read, cx, attempt)
    }
}

type Accepted<L> = (Socket<<L as Listen>::Stream>, <L as Listen>::Addr);
