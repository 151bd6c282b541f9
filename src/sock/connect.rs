//! Connecting one socket to one address.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{self as unix, UnixDatagram, UnixStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::address::{Address, SocketPath};
use super::{sealed, target};
use crate::event_loop::{LoopHandle, Sleep};
use crate::reactor::Direction;
use crate::ready_io::Operation;
use crate::socket::Socket;
use crate::sys::address::RawAddress;
use crate::sys::interest::poll_now;
use crate::sys::socket as sys;

/// A socket that can be connected to an address of type `A`.
///
/// | socket | addresses |
/// |---|---|
/// | `TcpStream`, `UdpSocket` | `std::net::SocketAddr` |
/// | `UnixStream`, `UnixDatagram` | `Path`, `PathBuf`, `str`, `String`, `OsStr`, `OsString` |
/// | `UnixStream`, `UnixDatagram` | `std::os::unix::net::SocketAddr`, also with an abstract name |
/// | `OwnedFd` | [`Address`] |
///
/// Convert another crate's socket first: `OwnedFd::from(socket)`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` does not connect to a `{A}`",
    note = "`sendloop::Connect` lists the addresses of each type of socket"
)]
pub trait Connect<A: ?Sized>: AsFd + sealed::Takes<A> {}

impl Connect<SocketAddr> for TcpStream {}
impl Connect<SocketAddr> for UdpSocket {}
impl Connect<unix::SocketAddr> for UnixStream {}
impl Connect<unix::SocketAddr> for UnixDatagram {}
impl<P: SocketPath + ?Sized> Connect<P> for UnixStream {}
impl<P: SocketPath + ?Sized> Connect<P> for UnixDatagram {}
impl Connect<Address> for OwnedFd {}

/// The time between two attempts if a Unix listener's queue is full, as no event reports room.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Connects a socket, or finds that it is already connecting.
///
/// It fails with EINPROGRESS if the poller will report the outcome as writability, and with EAGAIN
/// if a Unix listener's queue is full.
fn start_connect(fd: BorrowedFd<'_>, to: &RawAddress) -> io::Result<()> {
    let mut was_interrupted = false;
    loop {
        let result = sys::connect(fd, to);
        match result.as_ref().map_err(io::Error::raw_os_error) {
            // An interrupted connect continues (connect(2)). The next call reports its state.
            Err(Some(libc::EINTR)) => was_interrupted = true,
            Err(Some(libc::EISCONN)) if was_interrupted => return Ok(()),
            // An earlier call began the connection.
            Err(Some(libc::EALREADY)) => {
                return Err(io::Error::from_raw_os_error(libc::EINPROGRESS));
            }
            _ => return result,
        }
    }
}

/// Calls [`start_connect`] on a socket that an earlier `sock_connect` may have used.
///
/// If that call was dropped and its connection has failed since, the kernel reports the failure
/// now. If another call has already taken the error, the kernel reports ECONNABORTED. Neither error
/// is the outcome of this call, so it tries again.
fn restart_connect(fd: BorrowedFd<'_>, to: &RawAddress, was_abandoned: bool) -> io::Result<()> {
    let is_outdated = |error: &io::Error| match error.raw_os_error() {
        Some(libc::ECONNABORTED) => true,
        Some(libc::EISCONN | libc::EINPROGRESS | libc::EAGAIN) => false,
        _ => was_abandoned,
    };
    match start_connect(fd, to) {
        Err(error) if is_outdated(&error) => start_connect(fd, to),
        result => result,
    }
}

/// Returns the outcome of a connection attempt, or EAGAIN if the attempt is still in progress.
///
/// A second connect(2) would report the same outcome. But if the socket was shut down, connect(2)
/// would begin a new connection.
fn outcome(fd: BorrowedFd<'_>) -> io::Result<()> {
    if is_connected(fd)? {
        return Ok(());
    }
    // The attempt has succeeded, failed, or been shut down if poll(2) reports anything.
    if poll_now(fd, libc::POLLOUT)? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // The attempt may have succeeded after the first check.
    if is_connected(fd)? {
        return Ok(());
    }
    // The socket was shut down, or a task that reads from it has taken the error. A connect(2) that
    // blocks fails with this too.
    Err(io::Error::from_raw_os_error(libc::ECONNABORTED))
}

/// Returns whether the socket has a peer, or its pending error.
fn is_connected(fd: BorrowedFd<'_>) -> io::Result<bool> {
    sys::take_error(fd)?;
    Ok(sys::is_connected(fd))
}

/// The future of [`LoopHandle::sock_connect`].
struct Connecting<'a, T: AsFd> {
    operation: Operation<'a, T>,
    to: io::Result<RawAddress>,
    in_progress: bool,
    /// The sleep before the next try, if a Unix listener's queue was full.
    full: Option<Sleep>,
}

impl<T: AsFd> Future for Connecting<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Connecting { operation, to, in_progress, full } = &mut *self;
        let sock = operation.socket;
        if !*in_progress {
            let attempt = |fd: BorrowedFd<'_>| {
                restart_connect(fd, target(to)?, sock.set_connect_abandoned(false))
            };
            match ready!(operation.poll_with_retries(cx, full, RETRY_INTERVAL, attempt)) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                    *in_progress = true;
                }
                result => return Poll::Ready(result),
            }
        }
        // It checks only after an event, because the check clears the socket's error.
        let outcome = match operation.is_parked() {
            true => ready!(operation.poll_io(Direction::Write, cx, outcome)),
            false => ready!(operation.poll_wait(Direction::Write, cx).map(Err)),
        };
        *in_progress = false;
        // The loop may have failed while the connection is still in progress.
        sock.set_connect_abandoned(outcome.is_err());
        Poll::Ready(outcome)
    }
}

impl<T: AsFd> Drop for Connecting<'_, T> {
    fn drop(&mut self) {
        if self.in_progress {
            self.operation.socket.set_connect_abandoned(true);
        }
    }
}

impl LoopHandle {
    /// Connects a socket to an address.
    ///
    /// To connect to a host by name, use [`connect`](LoopHandle::connect). [`Connect`] lists the
    /// types of `addr` for each type of socket. The call copies `addr`.
    ///
    /// You can also connect a datagram socket, and later connect it to another address. `sock_recv`
    /// and `sock_sendall` then use only that peer.
    ///
    /// If a Unix listener's queue is full, the loop retries every 5 ms until there is room, by its
    /// [`Clock`](crate::Clock). asyncio reports success without a connection.
    ///
    /// If a connection is already in progress, the call waits for it, as in asyncio. If a stream is
    /// already connected, the call fails with EISCONN. On Linux, the first call after a connection
    /// that had to wait returns `Ok`, as connect(2) does.
    ///
    /// TCP connects a socket to itself if the kernel chooses the port of `addr` as the socket's own
    /// port. That can happen if `addr` is a port of this machine on which no program listens. To
    /// detect it, compare `local_addr` and `peer_addr`.
    ///
    /// # Errors
    ///
    /// - Any error of connect(2), for example `ConnectionRefused`, `TimedOut`, `NotFound`.
    /// - `ConnectionReset` or `ConnectionAborted` if the socket is shut down during the call.
    /// - `ConnectionAborted` if a read of another task has taken the error of the connection.
    /// - `InvalidInput` for a path that is empty, is too long or has a zero byte, and for a Unix
    ///   address without a name.
    /// - `InvalidInput` if the socket belongs to another loop.
    /// - [`LoopClosedError`](crate::LoopClosedError) if the call would have to wait on a closed
    ///   loop.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future before it is ready, the kernel continues to connect. The next
    /// `sock_connect` of this socket waits for that connection, whatever address you pass. If that
    /// connection has failed by then, the call begins a new one.
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
    ///
    /// A Unix path, and a socket of another crate:
    ///
    /// ```
    /// use std::os::fd::OwnedFd;
    /// use std::os::unix::net::UnixListener;
    /// use sendloop::{Address, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # sendloop::run(async |event_loop| {
    /// let path = dir.path().join("listener");
    /// let listener = UnixListener::bind(&path)?;
    /// let sock = Socket::unix()?;
    /// event_loop.sock_connect(&sock, &path).await?;
    ///
    /// let other = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    /// let other = Socket::new(OwnedFd::from(other))?;
    /// event_loop.sock_connect(&other, &Address::from(listener.local_addr()?)).await?;
    /// # std::io::Result::Ok(())
    /// # })?
    /// # }
    /// ```
    pub fn sock_connect<'a, T: Connect<A>, A: ?Sized>(
        &self,
        sock: &'a Socket<T>,
        addr: &A,
    ) -> impl Future<Output = io::Result<()>> + use<'a, T, A> {
        Connecting {
            operation: Operation::new(self, sock),
            to: T::to_raw(addr),
            in_progress: false,
            full: None,
        }
    }
}
