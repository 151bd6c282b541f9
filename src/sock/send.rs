//! Sending on a stream.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::{io, poll_io};
use crate::socket::Socket;
use crate::sys::socket as sys;
use crate::turns::Turn;

impl LoopHandle {
    /// Sends all of `bytes`.
    ///
    /// Operations that write to one socket take turns in the order in which they began: what each sends goes out whole. Empty
    /// `bytes` are ready when the turn comes.
    ///
    /// # Errors
    ///
    /// What the system says, `BrokenPipe` and `ConnectionReset` where the peer is gone; never SIGPIPE. Part of the bytes may
    /// have been sent. `InvalidInput` where the socket belongs to another loop; [`LoopClosed`](crate::LoopClosed) where it would
    /// have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped before it is ready, it may have sent any part of the bytes, and does not say which. The next
    /// writer gets the turn.
    pub async fn sock_sendall<T: AsFd>(&self, sock: &Socket<T>, bytes: &[u8]) -> io::Result<()> {
        let mut turn = Turn::new(sock.turns());
        poll_fn(|cx| turn.poll(cx)).await;
        if bytes.is_empty() {
            self.share().await;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match io(self, sock, Direction::Write, |fd| sys::send(fd, rest)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => rest = &rest[sent..],
            }
        }
        Ok(())
    }

    /// Sends some of `bytes` and says how many, as a poll, for adapters to another crate's I/O traits. One task may wait by it
    /// at a time: the last that polled is woken. It waits while a [`sock_sendall`](LoopHandle::sock_sendall) or
    /// [`sock_sendfile`](LoopHandle::sock_sendfile) is under way.
    ///
    /// # Errors
    ///
    /// As [`sock_sendall`](LoopHandle::sock_sendall).
    pub fn poll_send<T: AsFd>(
        &self,
        cx: &Context<'_>,
        sock: &Socket<T>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(sock.turns().poll_free(cx));
        let waiting = &mut sock.polled(Direction::Write).borrow_mut();
        let attempt = |fd: BorrowedFd<'_>| sys::send(fd, bytes);
        poll_io(self, sock, Direction::Write, waiting, cx, attempt)
    }
}
