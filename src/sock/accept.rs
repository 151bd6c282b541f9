//! Taking connections.

use std::io;
use std::net::{self, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{self as unix, UnixListener, UnixStream};

use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::io;
use crate::socket::Socket;
use crate::sys::address::Address;
use crate::sys::socket as sys;

mod sealed {
    use std::io;

    use crate::sys::address::Address;

    pub trait Listen {
        type Addr;
        fn addr(address: Address) -> io::Result<Self::Addr>;
    }
}

/// A listening socket: `TcpListener` or `UnixListener`.
pub trait Listen: AsFd + sealed::Listen<Addr = <Self as Listen>::Addr> {
    /// What its connections are.
    type Stream: AsFd + From<OwnedFd>;
    /// What its peers' addresses are.
    type Addr;
}

impl Listen for TcpListener {
    type Stream = TcpStream;
    type Addr = net::SocketAddr;
}

impl sealed::Listen for TcpListener {
    type Addr = net::SocketAddr;

    fn addr(address: Address) -> io::Result<net::SocketAddr> {
        address.to_internet()
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;
    type Addr = unix::SocketAddr;
}

impl sealed::Listen for UnixListener {
    type Addr = unix::SocketAddr;

    fn addr(address: Address) -> io::Result<unix::SocketAddr> {
        address.to_unix()
    }
}

/// How many clients in a row may have gone away. Without a bound a BSD listener that is shut down would hold the loop: each
/// of its accepts fails with ECONNABORTED.
const MAX_ABORTED: usize = 128;

/// A client that went away between connecting and being accepted is no error of the listener's: accept(2) has the next.
fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    for _ in 0..MAX_ABORTED {
        match sys::accept(fd) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result,
        }
    }
    sys::accept(fd)
}

impl LoopHandle {
    /// Takes the next connection, waiting for one, and gives its socket and the peer's address.
    ///
    /// The socket is non-blocking and closed on exec by the same system call that took it. A client that gave up before it was
    /// accepted is passed over.
    ///
    /// Several tasks may accept from one listener: a connection wakes one of them, and more only if there are more.
    ///
    /// # Errors
    ///
    /// What the system says, as for a socket that does not listen; `InvalidInput` (EINVAL) if the listener is shut down; or where there is no descriptor left: then the connection
    /// stays in the listener's queue, and this may be tried again later. `InvalidInput` where the listener belongs to
    /// another loop; [`LoopClosedError`](crate::LoopClosedError) where it would have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has taken no connection.
    #[doc(alias = "accept")]
    pub fn sock_accept<'a, L: Listen>(
        &self,
        sock: &'a Socket<L>,
    ) -> impl Future<Output = io::Result<Accepted<L>>> + use<'a, L> {
        io(self, sock, Direction::Read, move |fd| {
            let (fd, peer) = accept(fd)?;
            // A connection is of its listener's kind, which is asked for once.
            let stream = Socket::adopt(L::Stream::from(fd), sock.kind().ok());
            Ok((stream, <L as sealed::Listen>::addr(peer)?))
        })
    }
}

type Accepted<L> = (Socket<<L as Listen>::Stream>, <L as Listen>::Addr);
