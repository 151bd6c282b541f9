//! Receiving from a stream.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use super::call_size;
use crate::event_loop::{LoopHandle, MAX_PER_CALL};
use crate::reactor::Direction;
use crate::ready_io::{poll_without_future, read_io};
use crate::socket::Socket;
use crate::sys::socket as sys;

impl LoopHandle {
    /// Receives at most `most` bytes. An empty result is the end of the stream.
    ///
    /// The call waits until there is at least one byte. It receives at most 1 MiB from a stream,
    /// and one whole datagram from a datagram socket. The future holds no buffer while it waits.
    ///
    /// If `most` is 0, the call returns an empty result at once, without a system call, as in
    /// asyncio. A datagram socket that is shut down for reading also returns an empty result.
    ///
    /// # Errors
    ///
    /// - Any error of recv(2), for example ENOTCONN.
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
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let (near, far) = Socket::pair()?;
    /// event_loop.sock_sendall(&far, b"hello").await?;
    /// assert_eq!(event_loop.sock_recv(&near, 100).await?, b"hello");
    /// drop(far);
    /// assert_eq!(event_loop.sock_recv(&near, 100).await?, b"");
    /// # std::io::Result::Ok(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "read")]
    pub fn sock_recv<'a, T: AsFd>(
        &self,
        sock: &'a Socket<T>,
        most: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>> + use<'a, T> {
        read_io(self, sock, move |fd| match most {
            0 => Ok(Vec::new()),
            _ => sys::recv_vec(fd, call_size(sock, most, MAX_PER_CALL), None),
        })
    }

    /// Receives into `buffer`, and returns the number of bytes. 0 is the end of the stream.
    ///
    /// Like [`sock_recv`](LoopHandle::sock_recv), it receives at most 1 MiB from a stream. If
    /// `buffer` is empty, it returns 0 at once.
    ///
    /// # Errors
    ///
    /// The same as [`sock_recv`](LoopHandle::sock_recv).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, it has received nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let (near, far) = Socket::pair()?;
    /// event_loop.sock_sendall(&far, b"hello").await?;
    /// let mut buffer = [0; 100];
    /// let len = event_loop.sock_recv_into(&near, &mut buffer).await?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// # std::io::Result::Ok(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "read")]
    pub fn sock_recv_into<'a, T: AsFd>(
        &self,
        sock: &'a Socket<T>,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + use<'a, T> {
        read_io(self, sock, move |fd| recv(fd, sock, buffer))
    }

    /// Polls for bytes and receives them into `buffer`, for adapters to other crates' I/O traits.
    ///
    /// The method works like [`sock_recv_into`](LoopHandle::sock_recv_into). For each socket, the
    /// loop wakes only the task that polled last.
    ///
    /// # Errors
    ///
    /// The same as [`sock_recv`](LoopHandle::sock_recv).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let (near, far) = Socket::pair()?;
    /// event_loop.sock_sendall(&far, b"hello").await?;
    /// let mut buffer = [0; 100];
    /// let len = poll_fn(|cx| event_loop.poll_recv(cx, &near, &mut buffer)).await?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// # std::io::Result::Ok(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "poll_read")]
    pub fn poll_recv<T: AsFd>(
        &self,
        cx: &Context<'_>,
        sock: &Socket<T>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = |fd: BorrowedFd<'_>| recv(fd, sock, buffer);
        poll_without_future(self, sock, Direction::Read, cx, attempt)
    }
}

fn recv<T: AsFd>(fd: BorrowedFd<'_>, sock: &Socket<T>, buffer: &mut [u8]) -> io::Result<usize> {
    match buffer.len() {
        0 => Ok(0),
        most => sys::recv(fd, &mut buffer[..call_size(sock, most, MAX_PER_CALL)], None),
    }
}
