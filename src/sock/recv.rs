//! Receiving from a stream.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
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
    /// [`LoopClosedError`](crate::LoopClosedError) where it would have to wait on a closed one.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has received nothing.
    pub fn sock_recv<'a, T: AsFd>(
        &'a self,
        sock: &'a Socket<T>,
        most: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>> {
        io(self, sock, Direction::Read, move |fd| {
            let received = sys::recv_vec(fd, most)?;
            note_short(sock, received.len(), most);
            Ok(received)
        })
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
    pub fn sock_recv_into<'a, T: AsFd>(
        &'a self,
        sock: &'a Socket<T>,
        buffer: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> {
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
    pub fn poll_recv<T: AsFd>(
        &self,
        cx: &Context<'_>,
        sock: &Socket<T>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = |fd: BorrowedFd<'_>| recv(fd, sock, buffer);
        sock.with_polled(Direction::Read, |waiting| {
            poll_io(self, sock, Direction::Read, waiting, cx, attempt)
        })
    }
}

fn recv<T: AsFd>(fd: BorrowedFd<'_>, sock: &Socket<T>, buffer: &mut [u8]) -> io::Result<usize> {
    let received = sys::recv(fd, buffer)?;
    note_short(sock, received, buffer.len());
    Ok(received)
}

fn note_short<T: AsFd>(sock: &Socket<T>, received: usize, most: usize) {
    if 0 < received && received < most {
        sock.read_short();
    }
}
