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
use crate::sys::socket::{self as sys, Kind};

mod sealed {
    use std::io;

    use crate::sys::address::Address;
    use crate::sys::socket::Kind;

    pub trait Listen {
        const KIND: Kind;
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
    const KIND: Kind = Kind::Tcp;
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
    const KIND: Kind = Kind::Stream;
    type Addr = unix::SocketAddr;

    fn addr(address: Address) -> io::Result<unix::SocketAddr> {
        address.to_unix()
    }
}

/// A client that went away between connecting and being accepted is no error of the listener's: accept(2) has the next.
fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    loop {
        match sys::accept(fd) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result,
        }
    }
}

impl LoopHandle {
    /// Takes the next connection, waiting for one, and gives its socket and the peer's address.
    ///
    /// The socket is non-blocking and closed on exec by the same system call that took it. A client that gave up before it was
    /// accepted is passed over.
    ///
    /// # Errors
    ///
    /// What the system says, as for a socket that does not listen, or where there is no descriptor left: then the connection
    /// stays in the listener's queue, and this may be tried again later. `InvalidInput` where the listener belongs to
    /// another loop; [`LoopClosedError`](crate::LoopClosedError) where it would have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has taken no connection.
    pub async fn sock_accept<L: Listen>(
        &self,
        sock: &Socket<L>,
    ) -> io::Result<(Socket<L::Stream>, <L as Listen>::Addr)> {
        let (fd, peer) = io(self, sock, Direction::Read, accept).await?;
        let stream = Socket::adopt(L::Stream::from(fd), <L as sealed::Listen>::KIND);
        Ok((stream, <L as sealed::Listen>::addr(peer)?))
    }
}
