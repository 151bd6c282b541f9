//! A [`Socket`] as what hyper reads from and writes to.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use sendloop::{LoopHandle, Socket};

/// A connection for hyper: a socket, and the loop that waits for it.
pub(crate) struct Connection {
    event_loop: LoopHandle,
    socket: Socket<TcpStream>,
}

impl Connection {
    pub(crate) fn new(event_loop: LoopHandle, socket: Socket<TcpStream>) -> Connection {
        Connection { event_loop, socket }
    }
}

impl Read for Connection {
    /// By way of a buffer: hyper's own may be uninitialized, and is not to be had as a slice without `unsafe`.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = [0; 8192];
        let most = cursor.remaining().min(buffer.len());
        let buffer = &mut buffer[..most];
        let received = ready!(self.event_loop.poll_recv(cx, &self.socket, buffer))?;
        cursor.put_slice(&buffer[..received]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Connection {
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

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.get_ref().shutdown(Shutdown::Write))
    }
}
