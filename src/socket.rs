//! A descriptor that a loop may wait for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::event_loop::LoopHandle;
use crate::reactor::{Attachment, Direction, Source, Waiting};
use crate::sys::fork::Process;
use crate::sys::socket::{self as sys, Kind};
use crate::turns::Turns;

/// A socket that a loop can wait for: it owns `T`, which is non-blocking from here on.
///
/// `T` is a socket of `std`, an `OwnedFd`, or any type of another crate that is `AsFd`. The operations are methods of
/// [`LoopHandle`]; they borrow the socket, so that it cannot be closed under one that waits.
///
/// A type of another crate receives and sends as it is. To accept, to connect or to exchange
/// datagrams, make it an `OwnedFd` first: `Socket::new(OwnedFd::from(other))`. Its addresses are
/// then [`Address`](crate::Address)es, of any family.
///
/// The socket is put into the poller the first time that an operation has to wait, for both directions, and stays there until
/// it is dropped: waiting costs no system call after that. It belongs to the loop that waited first. Another loop that would
/// have to wait gets an error of kind `InvalidInput`, until the first is closed.
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
    /// Before `io`, as fields are dropped in this order: out of the poller first, then closed.
    link: Link,
    io: T,
}

/// What the library knows of a socket, beside the socket.
#[derive(Default)]
struct Link {
    attachment: RefCell<Option<Attachment>>,
    turns: Turns,
    /// The process that the writers belong to.
    process: Cell<Process>,
    kind: Cell<Option<Kind>>,
    /// Whether a `sock_connect` ended while the connection may have been in progress.
    connect_abandoned: Cell<bool>,
    /// The waiting of `poll_recv` and `poll_send`, which have no future to keep it in.
    polled: [RefCell<Waiting>; 2],
}

impl<T: AsFd> Socket<T> {
    /// Makes `io` non-blocking and takes it.
    ///
    /// Non-blocking mode belongs to the open file description: a duplicate of the descriptor has it too.
    ///
    /// A pipe, a terminal or another descriptor that is not a socket is refused. Wait for it with
    /// [`readable`](LoopHandle::readable) and [`writable`](LoopHandle::writable).
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `io` is not a socket. Any OS error if it cannot be made non-blocking. `io`
    /// is dropped then, and its mode is unchanged.
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
        // The kind of a stream takes more calls, and few operations need it.
        Ok(Socket::adopt(io, (!is_stream).then_some(Kind::Datagram)))
    }

    /// Takes what is non-blocking already, and of this kind if that is known.
    pub(crate) fn adopt(io: T, kind: Option<Kind>) -> Socket<T> {
        let link = Link::default();
        link.kind.set(kind);
        Socket { link, io }
    }

    /// What is inside, for its own methods.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Shuts down one direction of the connection, or both.
    ///
    /// After `Shutdown::Write` the peer reads the end of the stream, and may still send. It works
    /// for any `T`, also for one without such a method. A wait for that direction ends; on a Unix
    /// socket Linux ends a wait to send only when the peer reads or goes away.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is no connection, or if it has ended by a reset.
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

    /// Takes the socket out of its loop and gives back what is inside, which stays non-blocking.
    pub fn into_inner(self) -> T {
        let Socket { link, io } = self;
        drop(link);
        io
    }

    /// Asked for once; an error is not kept, as that of a kernel that has no memory for the answer.
    pub(crate) fn kind(&self) -> io::Result<Kind> {
        if let Some(kind) = self.link.kind.get() {
            return Ok(kind);
        }
        let kind = sys::kind(self.as_fd())?;
        self.link.kind.set(Some(kind));
        Ok(kind)
    }

    pub(crate) fn turns(&self) -> &Turns {
        if !self.link.process.get().is_current() {
            self.link.process.set(Process::current());
            self.link.turns.reset();
        }
        &self.link.turns
    }

    /// Calls `poll` with what `poll_recv` or `poll_send` waits by. It is not borrowed meanwhile: a foreign waker may come back to it
    /// where it is cloned or dropped.
    pub(crate) fn with_polled<R>(
        &self,
        direction: Direction,
        poll: impl FnOnce(&mut Waiting) -> R,
    ) -> R {
        let place = &self.link.polled[direction as usize];
        let mut waiting = place.take();
        let result = poll(&mut waiting);
        drop(place.replace(waiting));
        result
    }

    /// Returns whether an operation that waits should try again. Another loop may not have been told yet what it knows.
    pub(crate) fn may_be_ready(&self, event_loop: &LoopHandle, direction: Direction) -> bool {
        match &*self.link.attachment.borrow() {
            Some(attachment) if attachment.is_of(event_loop.reactor()) => {
                attachment.source().may_be_ready(direction)
            }
            _ => true,
        }
    }

    /// A call in this direction has just said EAGAIN.
    pub(crate) fn exhausted(&self, direction: Direction) {
        if let Some(attachment) = &*self.link.attachment.borrow() {
            attachment.source().side(direction).exhausted();
        }
    }

    /// Returns whether the socket is shut down for reading, if an event has announced that: only then is the kernel asked.
    pub(crate) fn is_shut_for_reading(&self) -> bool {
        let attachment = self.link.attachment.borrow();
        let Some(attachment) = &*attachment else {
            return false;
        };
        let side = attachment.source().side(Direction::Read);
        if !side.has_ended() {
            return false;
        }
        let is_shut = sys::is_shut_for_reading(self.as_fd());
        if !is_shut {
            side.goes_on();
        }
        is_shut
    }

    /// Sets whether a connection may be left in progress, and returns whether one was.
    pub(crate) fn set_connect_abandoned(&self, is_abandoned: bool) -> bool {
        self.link.connect_abandoned.replace(is_abandoned)
    }

    /// Puts the socket into the loop's poller, where it is not yet.
    pub(crate) fn attach(&self, event_loop: &LoopHandle) -> io::Result<Rc<Source>> {
        let mut place = self.link.attachment.borrow_mut();
        match &*place {
            Some(attachment) if attachment.is_dead() => *place = None,
            Some(attachment) if attachment.is_of(event_loop.reactor()) => {
                attachment.source().check()?;
                return Ok(attachment.source().clone());
            }
            Some(_) => {
                let what = "this socket belongs to another loop, which is not closed";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            None => {}
        }
        drop(place);
        let attachment = event_loop.reactor().attach(self.io.as_fd())?;
        let source = attachment.source().clone();
        let before = self.link.attachment.replace(Some(attachment));
        drop(before);
        Ok(source)
    }
}

impl Socket<TcpStream> {
    /// Creates an unconnected TCP socket of the address's family.
    ///
    /// It is for [`sock_connect`](LoopHandle::sock_connect), whose example creates one. To connect to
    /// a host by its name, use [`connect`](LoopHandle::connect).
    ///
    /// # Errors
    ///
    /// Any error of socket(2): the process is out of descriptors, or the system lacks the family.
    pub fn tcp(addr: &SocketAddr) -> io::Result<Socket<TcpStream>> {
        let family = match addr {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        };
        Ok(Socket::adopt(sys::stream(family)?.into(), Some(Kind::Tcp)))
    }
}

impl Socket<UnixStream> {
    /// Creates an unconnected Unix stream socket.
    ///
    /// It is for [`sock_connect`](LoopHandle::sock_connect), whose second example creates one.
    ///
    /// # Errors
    ///
    /// Any error of socket(2), for example if the process is out of descriptors.
    pub fn unix() -> io::Result<Socket<UnixStream>> {
        Ok(Socket::adopt(
            sys::stream(libc::AF_UNIX)?.into(),
            Some(Kind::Stream),
        ))
    }

    /// Creates two Unix stream sockets that are connected to each other.
    ///
    /// The example of [`Socket`] creates such a pair.
    ///
    /// # Errors
    ///
    /// Any error of socketpair(2), for example if the process is out of descriptors.
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
            .field("in_poller", &self.link.attachment.borrow().is_some())
            .finish()
    }
}
