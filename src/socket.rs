//! [`Socket`], a socket that a loop can wait for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::event_loop::LoopHandle;
use crate::reactor::{Attachment, Direction, Source, WaitGuard};
use crate::sys::fork::Process;
use crate::sys::socket::{self as sys, SocketKind};
use crate::write_lock::WriteLock;

/// A non-blocking socket that a loop can wait for. It owns `T`.
///
/// `T` is a socket of `std`, an `OwnedFd`, or any type of another crate that is `AsFd`. The
/// operations are methods of [`LoopHandle`]. They borrow the socket, so you cannot close it while
/// one waits.
///
/// A type of another crate can receive and send directly. To accept, connect or exchange datagrams,
/// convert it first: `Socket::new(OwnedFd::from(other))`. Its addresses are then
/// [`Address`](crate::Address)es, of any family.
///
/// The first operation that has to wait registers the socket with its loop's poller, for both
/// directions. The socket stays registered until it is dropped, so later waits cost no system call.
///
/// The socket belongs to the loop that waited first. If an operation would have to wait on another
/// loop, it fails with `InvalidInput` until the first loop is closed.
///
/// # Examples
///
/// ```
/// use sendloop::{Loop, Socket};
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::new()?;
/// let (one, other) = Socket::pair()?;
/// let received = event_loop.run_until_complete(async {
///     event_loop.sock_sendall(&one, b"hello").await?;
///     event_loop.sock_recv(&other, 100).await
/// })?;
/// assert_eq!(received, b"hello");
/// # Ok(())
/// # }
/// ```
#[doc(alias("Async", "AsyncFd", "TcpStream", "UdpSocket"))]
pub struct Socket<T: AsFd> {
    /// Rust drops the fields in this order, so the socket is deregistered before it is closed.
    ///
    /// The box keeps a socket small. Sockets move, and an `async fn` stores its arguments twice.
    state: Box<SocketState>,
    io: T,
}

/// The library's state of a socket.
#[derive(Default)]
struct SocketState {
    attachment: RefCell<Option<Attachment>>,
    write_lock: WriteLock,
    /// The process of the writers.
    process: Cell<Process>,
    kind: Cell<Option<SocketKind>>,
    /// True if a `sock_connect` ended while the connection may have been in progress.
    connect_abandoned: Cell<bool>,
    /// The waits of `poll_recv`, `poll_accept` and `poll_send`, which have no future to hold them.
    poll_waits: [RefCell<WaitGuard>; 2],
}

impl<T: AsFd> Socket<T> {
    /// Creates a socket from `io`, and makes it non-blocking.
    ///
    /// Non-blocking mode belongs to the open file description, so duplicates of the descriptor
    /// become non-blocking too.
    ///
    /// The call fails for a pipe, a terminal and any other descriptor that is not a socket. To wait
    /// for such a descriptor, use [`readable`](LoopHandle::readable) and
    /// [`writable`](LoopHandle::writable).
    ///
    /// # Errors
    ///
    /// - `InvalidInput` if `io` is not a socket.
    /// - Any OS error of the switch to non-blocking mode.
    ///
    /// After an error, `io` is dropped and its mode is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = Socket::new(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    /// assert!(socket.get_ref().local_addr()?.port() > 0);
    ///
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// let error = Socket::new(file).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(io: T) -> io::Result<Socket<T>> {
        let is_stream = sys::socket_type(io.as_fd())? == libc::SOCK_STREAM;
        sys::set_nonblocking(io.as_fd())?;
        // To find the kind of a stream takes more calls, and few operations need the kind.
        let kind = (!is_stream).then_some(SocketKind::Datagram);
        Ok(Socket::adopt(io, kind))
    }

    /// Creates a socket from a non-blocking `io`, with its kind if the caller knows it.
    pub(crate) fn adopt(io: T, kind: Option<SocketKind>) -> Socket<T> {
        let state = Box::<SocketState>::default();
        state.kind.set(kind);
        Socket { state, io }
    }

    /// Returns the inner socket, for its own methods.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::net::TcpListener;
    /// use sendloop::Socket;
    ///
    /// let listener = Socket::new(TcpListener::bind("127.0.0.1:0")?)?;
    /// println!("listening on {}", listener.get_ref().local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Shuts down one direction of the connection, or both.
    ///
    /// After `Shutdown::Write` the peer reads the end of the stream, and may still send. The method
    /// works for every `T`, even if `T` itself has no such method.
    ///
    /// The shutdown ends waits for that direction. On a Unix socket, Linux ends a wait to send only
    /// when the peer reads or closes.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is no connection, or if a reset has ended it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::Shutdown;
    /// use sendloop::{Loop, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let (one, other) = Socket::pair()?;
    /// one.shutdown(Shutdown::Write)?;
    /// let received = event_loop.run_until_complete(event_loop.sock_recv(&other, 100))?;
    /// assert!(received.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        sys::shutdown(self.as_fd(), how)
    }

    /// Deregisters the socket from its loop, and returns the inner socket.
    ///
    /// The inner socket stays non-blocking.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use sendloop::Socket;
    ///
    /// let (near, _far) = Socket::pair()?;
    /// let stream: std::os::unix::net::UnixStream = near.into_inner();
    /// stream.set_nonblocking(false)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_inner(self) -> T {
        self.io
    }

    /// Returns the kind of the socket, and remembers it.
    ///
    /// It remembers no error, because a kernel without memory may succeed later.
    pub(crate) fn kind(&self) -> io::Result<SocketKind> {
        if let Some(kind) = self.state.kind.get() {
            return Ok(kind);
        }
        sys::kind(self.as_fd()).inspect(|kind| self.state.kind.set(Some(*kind)))
    }

    pub(crate) fn write_lock(&self) -> &WriteLock {
        if !self.state.process.get().is_current() {
            self.state.process.set(Process::current());
            self.state.write_lock.reset();
        }
        &self.state.write_lock
    }

    /// Returns the wait of `poll_recv` and `poll_accept`, or of `poll_send`.
    pub(crate) fn poll_wait(&self, direction: Direction) -> &RefCell<WaitGuard> {
        &self.state.poll_waits[direction as usize]
    }

    /// Returns whether an operation that waits should try again.
    ///
    /// It returns true if the socket is not registered with this loop.
    pub(crate) fn may_be_ready(&self, event_loop: &LoopHandle, direction: Direction) -> bool {
        let attachment = self.state.attachment.borrow();
        let is_of_loop = |it: &&Attachment| Rc::ptr_eq(it.reactor(), event_loop.reactor());
        let attachment = attachment.as_ref().filter(is_of_loop);
        attachment.is_none_or(|it| it.source().may_be_ready(direction))
    }

    /// Marks a direction as not ready, after a call failed with EAGAIN.
    pub(crate) fn clear_ready(&self, direction: Direction) {
        if let Some(attachment) = &*self.state.attachment.borrow() {
            attachment.source().state(direction).clear_ready();
        }
    }

    /// Returns whether the socket is shut down for reading.
    ///
    /// It makes a system call only if an event has reported the end.
    pub(crate) fn is_shut_for_reading(&self) -> bool {
        let attachment = self.state.attachment.borrow();
        let confirm = || sys::is_shut_for_reading(self.as_fd());
        attachment.as_ref().is_some_and(|it| it.source().has_read_ended(confirm))
    }

    /// Sets whether a dropped `sock_connect` may have left a connection in progress.
    ///
    /// The method returns the former value.
    pub(crate) fn set_connect_abandoned(&self, is_abandoned: bool) -> bool {
        self.state.connect_abandoned.replace(is_abandoned)
    }

    /// Registers the socket with the loop's poller if it is not registered yet.
    pub(crate) fn attach(&self, event_loop: &LoopHandle) -> io::Result<Rc<Source>> {
        self.state.attachment.borrow_mut().take_if(|attachment| attachment.reactor().is_closed());
        if let Some(attachment) = &*self.state.attachment.borrow() {
            if !Rc::ptr_eq(attachment.reactor(), event_loop.reactor()) {
                let what = "the socket belongs to another loop, which is not closed";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            attachment.source().check()?;
            return Ok(attachment.source().clone());
        }
        let attachment = event_loop.reactor().attach(self.io.as_fd())?;
        let source = attachment.source().clone();
        drop(self.state.attachment.replace(Some(attachment)));
        Ok(source)
    }
}

impl Socket<TcpStream> {
    /// Creates an unconnected TCP socket of the address's family.
    ///
    /// Connect it with [`sock_connect`](LoopHandle::sock_connect). To connect to a host by its
    /// name, use [`connect`](LoopHandle::connect).
    ///
    /// # Errors
    ///
    /// Any error of socket(2), for example if the process is out of descriptors, or if the system
    /// lacks the family.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::net::TcpListener;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addr = listener.local_addr()?;
    /// let socket = Socket::tcp(&addr)?;
    /// event_loop.run_until_complete(event_loop.sock_connect(&socket, &addr))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tcp(addr: &SocketAddr) -> io::Result<Socket<TcpStream>> {
        let family = if addr.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
        let io = sys::stream(family)?.into();
        Ok(Socket::adopt(io, Some(SocketKind::Tcp)))
    }
}

impl Socket<UnixStream> {
    /// Creates an unconnected Unix stream socket.
    ///
    /// Connect it with [`sock_connect`](LoopHandle::sock_connect), whose second example creates
    /// one.
    ///
    /// # Errors
    ///
    /// Any error of socket(2), for example if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let socket = Socket::unix()?;
    /// let error = event_loop
    ///     .run_until_complete(event_loop.sock_connect(&socket, "/no/such/socket"))
    ///     .unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # Ok(())
    /// # }
    /// ```
    pub fn unix() -> io::Result<Socket<UnixStream>> {
        let io = sys::stream(libc::AF_UNIX)?.into();
        Ok(Socket::adopt(io, Some(SocketKind::Stream)))
    }

    /// Creates two Unix stream sockets that are connected to each other.
    ///
    /// The example of [`Socket`] creates such a pair.
    ///
    /// # Errors
    ///
    /// Any error of socketpair(2), for example if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (one, other) = Socket::pair()?;
    /// event_loop.run_until_complete(event_loop.sock_sendall(&one, b"hello"))?;
    /// assert_eq!(event_loop.run_until_complete(event_loop.sock_recv(&other, 100))?, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn pair() -> io::Result<(Socket<UnixStream>, Socket<UnixStream>)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Socket::new(one)?, Socket::new(other)?))
    }
}

impl<T: AsFd> AsFd for Socket<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: AsFd + Into<OwnedFd>> From<Socket<T>> for OwnedFd {
    fn from(socket: Socket<T>) -> OwnedFd {
        socket.into_inner().into()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("io", &self.io)
            .field("in_poller", &self.state.attachment.borrow().is_some())
            .finish()
    }
}
