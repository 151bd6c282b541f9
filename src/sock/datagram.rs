//! Receiving and sending datagrams.

use std::io;
use std::net::{self, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{self as unix, UnixDatagram};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Target;
use crate::error::LoopClosedError;
use crate::event_loop::{LoopHandle, Sleep};
use crate::reactor::{Direction, Waiting};
use crate::ready_io::{io, poll_io, poll_once};
use crate::socket::Socket;
use crate::sys::address::Address;
use crate::sys::socket as sys;

mod sealed {
    use std::io;

    use crate::sys::address::Address;

    pub trait Datagram<A> {
        /// Whether a full receiver is announced as the socket's own writability.
        const ANNOUNCES_ROOM: bool;
        fn to_addr(address: Address) -> io::Result<A>;
        fn address(addr: &A) -> io::Result<Address>;
    }
}

/// A socket of datagrams: `UdpSocket` or `UnixDatagram`.
pub trait Datagram: AsFd + sealed::Datagram<Self::Addr> {
    /// What its peers' addresses are.
    type Addr;
}

impl Datagram for UdpSocket {
    type Addr = net::SocketAddr;
}

impl sealed::Datagram<net::SocketAddr> for UdpSocket {
    const ANNOUNCES_ROOM: bool = true;

    fn to_addr(address: Address) -> io::Result<net::SocketAddr> {
        address.to_internet()
    }

    fn address(addr: &net::SocketAddr) -> io::Result<Address> {
        Ok(Address::from(addr))
    }
}

impl Datagram for UnixDatagram {
    type Addr = unix::SocketAddr;
}

impl sealed::Datagram<unix::SocketAddr> for UnixDatagram {
    const ANNOUNCES_ROOM: bool = false;

    fn to_addr(address: Address) -> io::Result<unix::SocketAddr> {
        address.to_unix()
    }

    fn address(addr: &unix::SocketAddr) -> io::Result<Address> {
        Address::from_unix(addr)
    }
}

/// How long to wait before trying again where a Unix receiver is full: the poller looks only at a connected one.
const FULL: Duration = Duration::from_millis(1);

impl LoopHandle {
    /// Receives one datagram and its sender's address, waiting until there is one. What does not fit `most` bytes is lost; an
    /// empty datagram is an empty result. No memory is held while it waits.
    ///
    /// # Errors
    ///
    /// What the system says; `UnexpectedEof` if the socket is shut down for reading and no datagram is left; `OutOfMemory`
    /// where there is no memory for so much; `InvalidInput` where the socket belongs to another loop; [`LoopClosedError`] where it
    /// would have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has received nothing.
    #[doc(alias = "recv_from")]
    pub fn sock_recvfrom<'a, T: Datagram>(
        &self,
        sock: &'a Socket<T>,
        most: usize,
    ) -> impl Future<Output = io::Result<(Vec<u8>, T::Addr)>> + use<'a, T> {
        io(self, sock, Direction::Read, move |fd| {
            let (received, sender) = sys::recv_vec_from(fd, most)?;
            Ok((received, T::to_addr(sender)?))
        })
    }

    /// Receives one datagram into `buffer`, and says how many bytes and from whom. What does not fit is lost.
    ///
    /// # Errors
    ///
    /// As [`sock_recvfrom`](LoopHandle::sock_recvfrom).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has received nothing.
    #[doc(alias = "recv_from")]
    pub fn sock_recvfrom_into<'a, T: Datagram>(
        &self,
        sock: &'a Socket<T>,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, T::Addr)>> + use<'a, T> {
        io(self, sock, Direction::Read, move |fd| {
            let (received, sender) = sys::recv_from(fd, buffer)?;
            Ok((received, T::to_addr(sender)?))
        })
    }

    /// Sends one datagram to `addr`, waiting while there is no room, and says how many bytes. An empty one is sent too.
    ///
    /// # Errors
    ///
    /// What the system says, as for one that is too long; `InvalidInput` for a Unix address without a name, and where the socket
    /// belongs to another loop; [`LoopClosedError`] where it would have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has sent nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use sendloop::{Loop, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let here = Socket::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// let there = Socket::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// let addr = there.get_ref().local_addr()?;
    /// event_loop.run_until_complete(async {
    ///     assert_eq!(event_loop.sock_sendto(&here, b"hello", &addr).await?, 5);
    ///     let (text, sender) = event_loop.sock_recvfrom(&there, 100).await?;
    ///     assert_eq!((text.as_slice(), sender), (b"hello".as_slice(), here.get_ref().local_addr()?));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "send_to")]
    pub fn sock_sendto<'a, T: Datagram>(
        &self,
        sock: &'a Socket<T>,
        bytes: &'a [u8],
        addr: &T::Addr,
    ) -> impl Future<Output = io::Result<usize>> + use<'a, T> {
        SendTo {
            event_loop: self.clone(),
            sock,
            bytes,
            to: Target::new(T::address(addr)),
            waiting: Waiting::default(),
            full: None,
        }
    }
}

/// Sends one datagram.
struct SendTo<'a, T: AsFd> {
    event_loop: LoopHandle,
    sock: &'a Socket<T>,
    bytes: &'a [u8],
    to: Target,
    waiting: Waiting,
    /// Until the next try, if the poller does not announce room.
    full: Option<Sleep>,
}

impl<T: Datagram> Future for SendTo<'_, T> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let send = &mut *self;
        let (event_loop, sock, bytes) = (&send.event_loop, send.sock, send.bytes);
        let to = send.to.get()?;
        let attempt = |fd: BorrowedFd<'_>| sys::send_to(fd, bytes, to);
        if T::ANNOUNCES_ROOM {
            let waiting = &mut send.waiting;
            return poll_io(event_loop, sock, Direction::Write, waiting, cx, attempt);
        }
        loop {
            if let Some(full) = &mut send.full {
                ready!(Pin::new(full).poll(cx));
            }
            match ready!(poll_once(event_loop, sock, cx, attempt)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if event_loop.is_closed() {
                        return Poll::Ready(Err(LoopClosedError.into()));
                    }
                    send.full = Some(event_loop.sleep(FULL));
                }
                result => return Poll::Ready(result),
            }
        }
    }
}
