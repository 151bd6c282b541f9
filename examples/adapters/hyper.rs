//! `Read` and `Write` of hyper over a [`Socket`]. Copy this file into your program.
//!
//! It needs `hyper` with what you use of it. hyper reads and writes one connection in one task.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use sendloop::{LoopHandle, Socket};

/// The most bytes that one call receives, into a buffer on the stack.
const MAX_RECEIVED: usize = 8 << 10;

/// A stream socket and the loop that waits for it. There is no buffer, so a caller can take the
/// socket out at any time.
#[derive(Debug)]
pub(crate) struct Stream<T: AsFd> {
    pub(crate) event_loop: LoopHandle,
    pub(crate) socket: Socket<T>,
}

impl<T: AsFd> Stream<T> {
    pub(crate) fn new(event_loop: &LoopHandle, socket: Socket<T>) -> Stream<T> {
        let event_loop = event_loop.clone();
        Stream { event_loop, socket }
    }
}

impl<T: AsFd> Read for Stream<T> {
    /// Copies the bytes once, because a slice of hyper's uninitialized buffer needs `unsafe`.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = [0; MAX_RECEIVED];
        let len = cursor.remaining().min(MAX_RECEIVED);
        let received = ready!(self.event_loop.poll_recv(cx, &self.socket, &mut buffer[..len]))?;
        cursor.put_slice(&buffer[..received]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsFd> Write for Stream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.event_loop.poll_send(cx, &self.socket, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Half-closes: the peer reads the end of the stream, and may still send.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.socket.shutdown(Shutdown::Write) {
            // The connection has already ended, for example by a reset.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}
