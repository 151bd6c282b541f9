//! `AsyncRead` and `AsyncWrite` of tokio over a [`Socket`]. Copy this file into your program.
//!
//! It needs `tokio` without any feature. Tasks may read and write at the same time, each with one
//! half of `tokio::io::split`. Of two tasks that wait to read, only the last is woken.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sendloop::{LoopHandle, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that one call receives. It zeroes tokio's buffer first, so a larger limit costs
/// more.
const MAX_RECEIVED: usize = 64 << 10;

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
    /// Adds nothing at the end of the stream, or if there is no room.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = buffer.remaining().min(MAX_RECEIVED);
        let room = buffer.initialize_unfilled_to(len);
        let received = ready!(self.event_loop.poll_recv(cx, &self.socket, room))?;
        buffer.advance(received);
        Poll::Ready(Ok(()))
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
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.socket.shutdown(Shutdown::Write) {
            // The connection has already ended, for example by a reset.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}
