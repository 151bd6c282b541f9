//! Receiving from a stream.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use super::call_size;
use crate::event_loop::{LoopHandle, MAX_PER_CALL};
use crate::reactor::Direction;
use crate::ready_io::{io, poll_try};
use crate::socket::Socket;
use crate::sys::socket as sys;

impl LoopHandle {
    /// Receives at most `most` bytes, waiting until there are any; an empty result is the end. No memory is held while it waits.
    ///
    /// One call receives at most 1 MiB from a stream; a datagram is received whole. A `most` of 0 returns an empty result at
    /// once, without a system call, as in asyncio. A datagram socket that is shut down for reading has an end too.
    ///
    /// # Errors
    ///
    /// What the system says, as for a socket that is not connected; `OutOfMemory` where there is no memory for so much;
    /// `InvalidInput` where it belongs to another loop;
    /// [`LoopClosedError`](crate::LoopClosedError) where it would have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has received nothing.
    #[doc(alias = "read")]
    pub fn sock_recv<'a, T: AsFd>(
        &self,
        sock: &'a Socket<T>,
        most: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>> + use<'a, T> {
        io(self, sock, Direction::Read, move |fd| match most {
            0 => Ok(Vec::new()),
            _ => sys::recv_vec(fd, call_size(sock, most, MAX_PER_CALL)),
        })
    }

    /// Receives into `buffer`, waiting until there is something, and says how many bytes; 0 is the end.
    ///
    /// As [`sock_recv`](LoopHandle::sock_recv), it receives at most 1 MiB from a stream, and returns 0 at once if `buffer` is
    /// empty.
    ///
    /// # Errors
    ///
    /// As [`sock_recv`](LoopHandle::sock_recv).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has received nothing.
    #[doc(alias = "read")]
    pub fn sock_recv_into<'a, T: AsFd>(
        &self,
        sock: &'a Socket<T>,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + use<'a, T> {
        io(self, sock, Direction::Read, move |fd| {
            recv(fd, sock, buffer)
        })
    }

    /// [`sock_recv_into`](LoopHandle::sock_recv_into) as a poll, for adapters to another crate's I/O traits. One task may wait
    /// by it at a time: the last that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`sock_recv`](LoopHandle::sock_recv).
    #[doc(alias = "poll_read")]
    pub fn poll_recv<T: AsFd>(
        &self,
        cx: &Context<'_>,
        sock: &Socket<T>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = |fd: BorrowedFd<'_>| recv(fd, sock, buffer);
        // It may be the first poll of another operation than the one that waits: only a try can tell.
        sock.with_polled(Direction::Read, |waiting| {
            poll_try(self, sock, Direction::Read, waiting, cx, attempt)
        })
    }
}

fn recv<T: AsFd>(fd: BorrowedFd<'_>, sock: &Socket<T>, buffer: &mut [u8]) -> io::Result<usize> {
    match buffer.len() {
        0 => Ok(0),
        most => sys::recv(fd, &mut buffer[..call_size(sock, most, MAX_PER_CALL)]),
    }
}
