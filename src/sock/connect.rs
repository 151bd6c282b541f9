//! Connecting.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Target;
use crate::error::LoopClosedError;
use crate::event_loop::{LoopHandle, Sleep};
use crate::reactor::{Direction, Waiting};
use crate::ready_io::{Outcome, poll_io, poll_once, poll_wait};
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

/// What one connect(2) has led to.
enum Begun {
    Connected,
    /// The poller announces the outcome as writability.
    InProgress,
    /// A Unix listener's queue is full.
    Full,
}

impl Outcome for Begun {}

fn begin(fd: BorrowedFd<'_>, to: &Address) -> io::Result<Begun> {
    match sys::connect(fd, to) {
        Ok(()) => Ok(Begun::Connected),
        Err(error) => match error.raw_os_error() {
            // An interrupted connect goes on like one that is in progress (connect(2)), and so does one that another call began.
            Some(libc::EINPROGRESS | libc::EINTR | libc::EALREADY) => Ok(Begun::InProgress),
            Some(libc::EAGAIN) => Ok(Begun::Full),
            _ => Err(error),
        },
    }
}

/// [`begin`] on a socket that an earlier `sock_connect` may have used. If that was dropped and its connection failed since, the
/// kernel reports so now: ECONNABORTED, if something else has read the error. That is not the outcome of this call.
fn begin_anew(fd: BorrowedFd<'_>, to: &Address, was_abandoned: bool) -> io::Result<Begun> {
    match begin(fd, to) {
        Err(error) if was_abandoned && error.raw_os_error() != Some(libc::EISCONN) => begin(fd, to),
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => begin(fd, to),
        begun => begun,
    }
}

/// The outcome of a connection that was in progress. If it still is, this fails with EAGAIN.
///
/// The error waits on the socket, but another task that reads from it may have taken it. A second connect(2) tells that from a
/// connection in progress, which is EALREADY.
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

enum State {
    Unbegun,
    InProgress,
    /// A Unix listener's queue was full: until the next try.
    Full(Sleep),
}

/// Connects a socket.
struct Connecting<'a, T: AsFd> {
    event_loop: LoopHandle,
    sock: &'a Socket<T>,
    to: Target,
    state: State,
    waiting: Waiting,
}

impl<T: AsFd> Connecting<'_, T> {
    fn poll_begin(&mut self, cx: &Context<'_>) -> Poll<io::Result<Begun>> {
        let (sock, to) = (self.sock, self.to.get()?);
        let attempt = |fd: BorrowedFd<'_>| begin_anew(fd, to, sock.set_connect_abandoned(false));
        poll_once(&self.event_loop, sock, cx, attempt)
    }

    /// The outcome is asked for only after an event: asking takes the error away, from whoever connects next too.
    fn poll_outcome(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let (event_loop, sock, waiting) = (&self.event_loop, self.sock, &mut self.waiting);
        let to = self.to.get()?;
        if !waiting.is_begun() {
            return poll_wait(event_loop, sock, Direction::Write, waiting, cx).map(Err);
        }
        let attempt = |fd: BorrowedFd<'_>| outcome(fd, to);
        poll_io(event_loop, sock, Direction::Write, waiting, cx, attempt)
    }
}

impl<T: AsFd> Future for Connecting<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let connected = loop {
            match &mut this.state {
                State::Unbegun => match ready!(this.poll_begin(cx)) {
                    Ok(Begun::Connected) => break Ok(()),
                    Ok(Begun::InProgress) => this.state = State::InProgress,
                    Ok(Begun::Full) if this.event_loop.is_closed() => {
                        break Err(LoopClosedError.into());
                    }
                    Ok(Begun::Full) => this.state = State::Full(this.event_loop.sleep(FULL)),
                    Err(error) => break Err(error),
                },
                State::InProgress => break ready!(this.poll_outcome(cx)),
                State::Full(sleep) => {
                    ready!(Pin::new(sleep).poll(cx));
                    this.state = State::Unbegun;
                }
            }
        };
        this.state = State::Unbegun;
        Poll::Ready(connected)
    }
}

impl<T: AsFd> Drop for Connecting<'_, T> {
    fn drop(&mut self) {
        if let State::InProgress = self.state {
            self.sock.set_connect_abandoned(true);
        }
    }
}

impl LoopHandle {
    /// Connects the socket to `addr`.
    ///
    /// `addr` is an address, not a name. Where a Unix listener's queue is full, it asks again until there is room; asyncio
    /// reports a connection there that does not exist.
    ///
    /// A call on a socket whose connection is in progress waits for that connection, as in asyncio. A call on a connected
    /// socket fails with EISCONN, but on Linux the first one after a connection that had to be waited for returns `Ok`, as
    /// connect(2) does. A TCP socket that connects to its own port is connected to itself, as TCP allows: compare
    /// `local_addr` and `peer_addr` if `addr` may be a port of this machine on which nothing listens.
    ///
    /// # Errors
    ///
    /// What the system says, as `ConnectionRefused`, `TimedOut`, `NotFound`; `InvalidInput` for a path that no socket can
    /// have, and where the socket belongs to another loop; [`LoopClosedError`] where it would have to wait on a
    /// closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it leaves the system connecting. The next call waits for that connection, whatever its
    /// address is; if it has failed by then, the call begins a new one.
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
    pub fn sock_connect<'a, T: Connect>(
        &self,
        sock: &'a Socket<T>,
        addr: &T::Addr,
    ) -> impl Future<Output = io::Result<()>> + use<'a, T> {
        Connecting {
            event_loop: self.clone(),
            sock,
            to: Target::new(T::address(addr)),
            state: State::Unbegun,
            waiting: Waiting::default(),
        }
    }
}
