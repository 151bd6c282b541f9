//! Sending on a stream.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::call_size;
use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::{Operation, poll_without_future};
use crate::socket::Socket;
use crate::sys::socket as sys;
use crate::write_lock::Writer;

/// The future of [`LoopHandle::sock_sendall`].
struct SendAll<'a, T: AsFd> {
    operation: Operation<'a, T>,
    rest: &'a [u8],
    writer: Writer<'a>,
}

impl<T: AsFd> Future for SendAll<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let SendAll { operation, rest, writer } = &mut *self;
        ready!(writer.poll(cx));
        let result = loop {
            let len = call_size(operation.socket, rest.len(), operation.event_loop.sendable());
            let attempt = |fd: BorrowedFd<'_>| sys::send(fd, &rest[..len], false);
            match ready!(operation.poll_io(Direction::Write, cx, attempt)) {
                Ok(0) if !rest.is_empty() => break Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => *rest = &rest[sent..],
                Err(error) => break Err(error),
            }
            if rest.is_empty() {
                break Ok(());
            }
        };
        // The next writer begins now, not when this future is dropped.
        writer.end();
        Poll::Ready(result)
    }
}

impl LoopHandle {
    /// Sends all of `bytes`.
    ///
    /// If several tasks send on one socket, each sends all its bytes before the next one, in the
    /// order in which they began. One system call sends at most 1 MiB. After about 2 MiB, other
    /// tasks run.
    ///
    /// If `bytes` is empty, the call makes one send(2), as in asyncio. It fails with `BrokenPipe`
    /// if the kernel knows that the peer has closed.
    ///
    /// If the socket is shut down for writing while the call waits, the call fails with
    /// `BrokenPipe`. On a Unix socket, Linux reports the shutdown only when the peer reads or
    /// closes. asyncio has the same limit.
    ///
    /// # Errors
    ///
    /// - Any error of send(2). If the peer has closed, that is `BrokenPipe` or `ConnectionReset`,
    ///   and never SIGPIPE. The kernel may have taken a part of the bytes.
    /// - `InvalidInput` if the socket belongs to another loop.
    /// - [`LoopClosedError`](crate::LoopClosedError) if the call would have to wait on a closed
    ///   loop.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe. If you drop the future before it is ready, it may have sent any part of the
    /// bytes, and does not report how many. Other tasks can then send on the socket.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::Socket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # sendloop::run(async |event_loop| {
    /// let (near, far) = Socket::pair()?;
    /// event_loop.sock_sendall(&near, b"hello").await?;
    /// assert_eq!(event_loop.sock_recv(&far, 100).await?, b"hello");
    /// drop(far);
    /// let error = event_loop.sock_sendall(&near, b"hello").await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    /// # std::io::Result::Ok(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "write_all")]
    pub fn sock_sendall<'a, T: AsFd>(
        &self,
        sock: &'a Socket<T>,
        bytes: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + use<'a, T> {
        SendAll {
            operation: Operation::new(self, sock),
            rest: bytes,
            writer: Writer::new(sock.write_lock()),
        }
    }

    /// Polls to send bytes, and returns how many it sent, for adapters to I/O traits.
    ///
    /// The poll may send only a part of `bytes`. For each socket, the loop wakes only the task that
    /// polled last. While a [`sock_sendall`](LoopHandle::sock_sendall) or
    /// [`sock_sendfile`](LoopHandle::sock_sendfile) sends on the socket, the poll is pending.
    ///
    /// # Errors
    ///
    /// The same as [`sock_sendall`](LoopHandle::sock_sendall).
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
    /// let sent = poll_fn(|cx| event_loop.poll_send(cx, &near, b"hello")).await?;
    /// assert_eq!(event_loop.sock_recv(&far, 100).await?, b"hello"[..sent]);
    /// # std::io::Result::Ok(())
    /// # })?
    /// # }
    /// ```
    #[doc(alias = "poll_write")]
    pub fn poll_send<T: AsFd>(
        &self,
        cx: &Context<'_>,
        sock: &Socket<T>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(sock.write_lock().poll_free(cx));
        let part = &bytes[..call_size(sock, bytes.len(), self.sendable())];
        poll_without_future(self, sock, Direction::Write, cx, |fd| sys::send(fd, part, false))
    }
}
