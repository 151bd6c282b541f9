//! Connecting.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::LoopClosedError;
use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::io;
use crate::socket::Socket;
use crate::sys::address::Address;
use crate::sys::socket as sys;

mod sealed {
    use std::io;

    use crate::sys::address::Address;

    pub trait Connect<A: ?Sized> {
        fn address(addr: &A) -> io::Result<Address>;
    }
}

/// A stream that can be connected: `TcpStream` to a `SocketAddr`, `UnixStream` to a `Path`.
pub trait Connect: AsFd + sealed::Connect<Self::Addr> {
    /// What it connects to.
    type Addr: ?Sized;
}

impl Connect for TcpStream {
    type Addr = SocketAddr;
}

impl sealed::Connect<SocketAddr> for TcpStream {
    fn address(addr: &SocketAddr) -> io::Result<Address> {
        Ok(Address::from(addr))
    }
}

impl Connect for UnixStream {
    type Addr = Path;
}

impl sealed::Connect<Path> for UnixStream {
    fn address(addr: &Path) -> io::Result<Address> {
        Address::from_path(addr)
    }
}

/// How long to wait before asking a Unix listener again whose queue was full: it gives no event when there is room.
const FULL: Duration = Duration::from_millis(5);

/// What became of a connection that was begun: it stands, it failed, or it is still in progress, which is EAGAIN.
///
/// The error waits on the socket, but whoever reads from it meanwhile may have taken it. Asking for the connection once more
/// tells the two apart: EALREADY is what is in progress.
fn outcome(fd: BorrowedFd<'_>, to: &Address) -> io::Result<()> {
    if let Some(error) = sys::take_error(fd)? {
        return Err(error);
    }
    if sys::is_connected(fd) {
        return Ok(());
    }
    match sys::connect(fd, to) {
        Err(error) => match error.raw_os_error() {
            Some(libc::EISCONN) => Ok(()),
            Some(libc::EALREADY | libc::EINPROGRESS | libc::EINTR) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            _ => Err(error),
        },
        connected => connected,
    }
}

impl LoopHandle {
    /// Connects the socket to `addr`.
    ///
    /// `addr` is an address, not a name. Where a Unix listener's queue is full, it asks again until there is room.
    ///
    /// # Errors
    ///
    /// What the system says, as `ConnectionRefused`, `TimedOut`, `NotFound`; `InvalidInput` for a path that no socket can
    /// have, and where the socket belongs to another loop; [`LoopClosedError`] where it would have to wait on a
    /// closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it leaves the system connecting: the socket is of no use but to be closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use sendloop::{Loop, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addr = listener.local_addr()?;
    /// let sock = Socket::tcp(&addr)?;
    /// event_loop.run_until_complete(event_loop.sock_connect(&sock, &addr))?;
    /// assert_eq!(sock.get_ref().peer_addr()?, addr);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sock_connect<T: Connect>(
        &self,
        sock: &Socket<T>,
        addr: &T::Addr,
    ) -> io::Result<()> {
        let to = T::address(addr)?;
        self.share().await;
        while let Err(error) = sys::connect(sock.as_fd(), &to) {
            match error.raw_os_error() {
                // An interrupted connect goes on like one that is in progress (connect(2)).
                Some(libc::EINPROGRESS | libc::EINTR) => {
                    sock.exhausted(Direction::Write);
                    return io(self, sock, Direction::Write, |fd| outcome(fd, &to)).await;
                }
                Some(libc::EAGAIN) if self.is_closed() => return Err(LoopClosedError.into()),
                Some(libc::EAGAIN) => self.sleep(FULL).await,
                _ => return Err(error),
            }
        }
        Ok(())
    }
}
