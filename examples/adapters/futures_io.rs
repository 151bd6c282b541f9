//! `AsyncRead` and `AsyncWrite` of futures-io over a [`Socket`]. Copy this file into your program.
//!
//! It needs `futures-io`, here by way of `futures-util`. Tasks may read and write at the same
//! time, each with one half of `split()`. Of two tasks that wait to read, only the last is woken.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use sendloop::{LoopHandle, Socket};

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

impl<T: AsFd> AsyncRead for Stream<T> {
    /// Returns 0 at the end of the stream, and at once if the buffer is empty.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.event_loop.poll_recv(cx, &self.socket, buffer)
    }
}

impl<T: AsFd> AsyncWrite for Stream<T> {
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
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.socket.shutdown(Shutdown::Write) {
            // The connection has already ended, for example by a reset.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}
