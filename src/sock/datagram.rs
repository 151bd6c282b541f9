//! Receiving and sending datagrams.

use std::future::poll_fn;
use std::io;
use std::net::{self, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{self as unix, UnixDatagram};
use std::time::Duration;

use super::address::{Address, FromRaw, ToRaw};
use super::sealed::Sealed;
use super::target;
use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::{Operation, read_io};
use crate::socket::Socket;
use crate::sys::address::RawAddress;
use crate::sys::socket as sys;

/// A datagram socket: `UdpSocket`, `UnixDatagram`, or any socket as an `OwnedFd`.
///
/// Convert another crate's socket first: `OwnedFd::from(socket)`.
pub trait Datagram: AsFd + Sealed {
    /// The type of its peers' addresses.
    type Addr: FromRaw;
}

impl Datagram for UdpSocket {
    type Addr = net::SocketAddr;
}

impl Datagram for UnixDatagram {
    type Addr = unix::SocketAddr;
}

impl Datagram for OwnedFd {
    type Addr = Address;
}

/// The time between two attempts if a Unix receiver's queue is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

impl LoopHandle {
    /// Receives one datagram of at most `most` bytes, and returns it with its sender's address.
    ///
    /// The kernel discards the rest of a longer datagram. For an empty datagram, the result is
    /// empty. The future holds no buffer while it waits. The address of a `Socket<OwnedFd>` is an
    /// [`Address`].
    ///
    /// # Errors
    ///
    /// - Any error of recvfrom(2).
    /// - `UnexpectedEof` if the socket is shut down for reading and no datagram is left.
    /// - `OutOfMemory` if there is no memory for `most` bytes.
    /// - `InvalidInput` if the socket belongs to another loop.
    /// - [`LoopClosedError`](crate::LoopClosedError) if the call would have to wait on a closed
    ///   loop.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, it has received nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::net::UdpSocket;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let sender = UdpSocket::bind("127.0.0.1:0")?;
    /// let receiver = Socket::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// sender.send_to(b"hello", receiver.get_ref().local_addr()?)?;
    /// let received = event_loop.run_until_complete(event_loop.sock_recvfrom(&receiver, 100))?;
    /// assert_eq!(received, (b"hello".to_vec(), sender.local_addr()?));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "recv_from")]
    pub fn sock_recvfrom<'a, T: Datagram>(
        &self,
        sock: &'a Socket<T>,
        most: usize,
    ) -> impl Future<Output = io::Result<(Vec<u8>, T::Addr)>> + use<'a, T> {
        read_io(self, sock, move |fd| {
            let mut sender = RawAddress::empty();
            let received = sys::recv_vec(fd, most, Some(&mut sender))?;
            Ok((received, T::Addr::from_raw(fd, sender)?))
        })
    }

    /// Receives one datagram into `buffer`, and returns its length and its sender's address.
    ///
    /// The kernel discards the bytes that do not fit into `buffer`.
    ///
    /// # Errors
    ///
    /// The same as [`sock_recvfrom`](LoopHandle::sock_recvfrom).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, it has received nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let sender = UdpSocket::bind("127.0.0.1:0")?;
    /// let receiver = Socket::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// sender.send_to(b"hello", receiver.get_ref().local_addr()?)?;
    /// let mut buffer = [0; 100];
    /// let (len, from) = event_loop.sock_recvfrom_into(&receiver, &mut buffer).await?;
    /// assert_eq!((&buffer[..len], from), (&b"hello"[..], sender.local_addr()?));
    /// # std::io::Result::Ok(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "recv_from")]
    pub fn sock_recvfrom_into<'a, T: Datagram>(
        &self,
        sock: &'a Socket<T>,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, T::Addr)>> + use<'a, T> {
        read_io(self, sock, move |fd| {
            let mut sender = RawAddress::empty();
            let received = sys::recv(fd, buffer, Some(&mut sender))?;
            Ok((received, T::Addr::from_raw(fd, sender)?))
        })
    }

    /// Sends one datagram to `addr`, and returns the number of bytes sent.
    ///
    /// The call waits until the socket has room. If the queue of a Unix receiver is full, the loop
    /// retries every millisecond, by its [`Clock`](crate::Clock). If `bytes` is empty, the call
    /// sends an empty datagram. For a `Socket<OwnedFd>`, pass an [`Address`].
    ///
    /// # Errors
    ///
    /// - Any error of sendto(2), for example EMSGSIZE for a datagram that is too long.
    /// - `InvalidInput` for a Unix address without a name.
    /// - `InvalidInput` if the socket belongs to another loop.
    /// - [`LoopClosedError`](crate::LoopClosedError) if the call would have to wait on a closed
    ///   loop.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, it has sent nothing.
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
    ///     assert_eq!((text, sender), (b"hello".to_vec(), here.get_ref().local_addr()?));
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
        let mut operation = Operation::new(self, sock);
        let to = addr.to_raw();
        // The sleep before the next attempt, if a Unix receiver's queue is full.
        let mut full = None;
        poll_fn(move |cx| {
            let attempt = |fd: BorrowedFd<'_>| sys::send_to(fd, bytes, target(&to)?);
            // The poller reports room in a Unix receiver only to a connected sender.
            match to.as_ref().is_ok_and(RawAddress::is_unix) {
                true => operation.poll_with_retries(cx, &mut full, RETRY_INTERVAL, attempt),
                false => operation.poll_io(Direction::Write, cx, attempt),
            }
        })
    }
}
