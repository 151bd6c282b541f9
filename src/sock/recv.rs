//! Receiving from a stream.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::{io, poll_io};
use crate::socket::Socket;
use crate::sys::socket as sys;

impl LoopHandle {
    /// Receives at most `most` bytes, waiting until there are any; an empty result is the end. No memory is held while it waits.
    ///
    /// # Errors
    ///
    /// What the system says, as for a socket that is not connected; `OutOfMemory` where there is no memory for so much;
    /// `InvalidInput` where it belongs to another loop;
    /// [`LoopClosed`](crate::LoopClosed) where it would have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has received nothing.
    pub async fn sock_recv<T: AsFd>(&self, sock: &Socket<T>, most: usize) -> io::Result<Vec<u8>> {
        let received = io(self, sock, Direction::Read, |fd| sys::recv_vec(fd, most)).await?;
        note_short(sock, received.len(), most);
        Ok(received)
    }

    /// Receives into `buffer`, waiting until there is something, and says how many bytes; 0 is the end.
    ///
    /// # Errors
    ///
    /// As [`sock_recv`](LoopHandle::sock_recv).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has received nothing.
    pub async fn sock_recv_into<T: AsFd>(
        &self,
        sock: &Socket<T>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let received = io(self, sock, Direction::Read, |fd| sys::recv(fd, buffer)).await?;
        note_short(sock, received, buffer.len());
        Ok(received)
    }

    /// [`sock_recv_into`](LoopHandle::sock_recv_into) as a poll, for adapters to another crate's I/O traits. One task may wait
    /// by it at a time: the last that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`sock_recv`](LoopHandle::sock_recv).
    pub fn poll_recv<T: AsFd>(
        &self,
        cx: &Context<'_>,
        sock: &Socket<T>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let waiting = &mut sock.polled(Direction::Read).borrow_mut();
        let most = buffer.len();
        let attempt = |fd: std::os::fd::BorrowedFd<'_>| sys::recv(fd, buffer);
        let polled = poll_io(self, sock, Direction::Read, waiting, cx, attempt);
        if let Poll::Ready(Ok(received)) = polled {
            note_short(sock, received, most);
        }
        polled
    }
}

fn note_short<T: AsFd>(sock: &Socket<T>, received: usize, most: usize) {
    if 0 < received && received < most {
        sock.read_short();
    }
}
