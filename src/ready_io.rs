//! The steps that all socket operations share: make the system call, and wait after EAGAIN.
//!
//! An operation begins with its system call, as in asyncio. It waits only after its own call has
//! failed with EAGAIN. Then it makes no call until an event comes. So it never waits for an edge
//! that came earlier. The handling of EAGAIN and EINTR that operations share is here.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::error::LoopClosedError;
use crate::event_loop::{LoopHandle, Sleep};
use crate::reactor::{Direction, WaitGuard};
use crate::socket::Socket;
use crate::sys::socket as sys;
use crate::sys::uninterrupted;

/// The output of an operation.
pub(crate) trait IoOutput: Sized {
    /// Returns the number of bytes that the kernel moved.
    fn bytes(&self) -> usize {
        0
    }

    /// Returns the output of a read from a socket that is shut down for reading.
    ///
    /// For a datagram this is an error, because there is no sender to return.
    fn at_end() -> io::Result<Self> {
        let what = "cannot receive: the socket is shut down for reading";
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }
}

impl IoOutput for () {}

impl IoOutput for usize {
    fn bytes(&self) -> usize {
        *self
    }

    fn at_end() -> io::Result<usize> {
        Ok(0)
    }
}

impl IoOutput for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn at_end() -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// A datagram and its sender.
impl<B: IoOutput, A> IoOutput for (B, A) {
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The output of an accept: a connection and its peer.
impl<S: AsFd, A> IoOutput for (Socket<S>, A) {
    /// Returns the error of a blocking accept(2) on a listener that is shut down.
    fn at_end() -> io::Result<(Socket<S>, A)> {
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }
}

/// An operation on a socket. It borrows the socket and not the loop.
///
/// Futures hold it, so it has no direction, which would take eight bytes.
pub(crate) struct Operation<'a, T: AsFd> {
    pub(crate) event_loop: LoopHandle,
    pub(crate) socket: &'a Socket<T>,
    wait: WaitGuard,
}

impl<'a, T: AsFd> Operation<'a, T> {
    pub(crate) fn new(event_loop: &LoopHandle, socket: &'a Socket<T>) -> Operation<'a, T> {
        Operation { event_loop: event_loop.clone(), socket, wait: WaitGuard::default() }
    }

    /// Returns whether the operation has waited, so that it waits for the next event.
    pub(crate) fn is_parked(&self) -> bool {
        self.wait.is_parked()
    }

    /// Calls `attempt`, unless the operation waits for an event that has not come yet.
    ///
    /// If `attempt` fails with EAGAIN, the operation waits.
    pub(crate) fn poll_io<R: IoOutput>(
        &mut self,
        direction: Direction,
        cx: &Context<'_>,
        attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if self.is_parked() && !self.socket.may_be_ready(&self.event_loop, direction) {
            return self.poll_wait(direction, cx).map(Err);
        }
        self.poll_try(direction, cx, attempt)
    }

    /// Calls `attempt` at every poll; otherwise as [`poll_io`](Operation::poll_io).
    fn poll_try<R: IoOutput>(
        &mut self,
        direction: Direction,
        cx: &Context<'_>,
        attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let tried = ready!(self.poll_once(direction, cx, attempt));
        if is_would_block(&tried) {
            return self.poll_wait(direction, cx).map(Err);
        }
        self.wait.end();
        Poll::Ready(tried)
    }

    /// Calls `attempt` if the budget allows it. Consumes budget unless `attempt` fails with EAGAIN.
    fn poll_once<R: IoOutput>(
        &self,
        direction: Direction,
        cx: &Context<'_>,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        ready!(self.event_loop.poll_budget(cx));
        let fd = self.socket.as_fd();
        let mut attempt = || uninterrupted(|| attempt(fd));
        let mut tried = check_nonblocking(&self.event_loop, fd).and_then(|()| attempt());
        let is_read = direction == Direction::Read;
        if is_read && is_would_block(&tried) && self.socket.is_shut_for_reading() {
            // Data may have come between the attempt and the shutdown.
            tried = attempt();
            if is_would_block(&tried) {
                tried = R::at_end();
            }
        }
        if !is_would_block(&tried) {
            self.event_loop.consume_budget(tried.as_ref().map_or(0, R::bytes) as u64);
        }
        Poll::Ready(tried)
    }

    /// Calls `attempt`, and retries after `interval` if it fails with EAGAIN. No event comes then.
    pub(crate) fn poll_with_retries<R: IoOutput>(
        &self,
        cx: &mut Context<'_>,
        sleep: &mut Option<Sleep>,
        interval: Duration,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            if let Some(sleep) = sleep {
                ready!(Pin::new(sleep).poll(cx));
            }
            let tried = ready!(self.poll_once(Direction::Write, cx, &mut attempt));
            if !is_would_block(&tried) {
                return Poll::Ready(tried);
            }
            if self.event_loop.is_closed() {
                self.event_loop.consume_budget(0);
                return Poll::Ready(Err(LoopClosedError.into()));
            }
            *sleep = Some(self.event_loop.sleep(interval));
        }
    }

    /// Waits for the next edge after an EAGAIN.
    ///
    /// This is ready only if the loop cannot wait for the socket, and then with the error.
    pub(crate) fn poll_wait(&mut self, direction: Direction, cx: &Context<'_>) -> Poll<io::Error> {
        let attached = self.socket.attach(&self.event_loop);
        match attached.inspect_err(|_| self.event_loop.consume_budget(0)) {
            Ok(source) => {
                self.wait.park(source, direction, cx);
                Poll::Pending
            }
            Err(error) => Poll::Ready(error),
        }
    }
}

/// Polls an operation that has no future, so the socket holds its wait.
///
/// The poll may belong to a new operation, not to the one that waits. So it always tries.
pub(crate) fn poll_without_future<T: AsFd, R: IoOutput>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    cx: &Context<'_>,
    attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    let mut operation = Operation::new(event_loop, socket);
    // Nothing is borrowed during the poll, as the clone or drop of a waker may run foreign code.
    operation.wait = socket.poll_wait(direction).take();
    let polled = operation.poll_try(direction, cx, attempt);
    drop(socket.poll_wait(direction).replace(operation.wait));
    polled
}

fn is_would_block<R>(tried: &io::Result<R>) -> bool {
    matches!(tried, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Refuses a blocking socket in debug mode, because its calls could block the loop.
#[inline]
pub(crate) fn check_nonblocking(event_loop: &LoopHandle, socket: BorrowedFd<'_>) -> io::Result<()> {
    if event_loop.get_debug() && !sys::is_nonblocking(socket)? {
        let what = "the socket is blocking: some code changed that through a duplicate; \
                    use set_nonblocking(true)";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// Returns a read or an accept as a future.
///
/// The future of an `async fn` would be larger, because it keeps the arguments twice.
pub(crate) fn read_io<'a, T: AsFd, R: IoOutput, A: FnMut(BorrowedFd<'_>) -> io::Result<R>>(
    event_loop: &LoopHandle,
    socket: &'a Socket<T>,
    mut attempt: A,
) -> impl Future<Output = io::Result<R>> + use<'a, T, R, A> {
    let mut operation = Operation::new(event_loop, socket);
    poll_fn(move |cx| operation.poll_io(Direction::Read, cx, &mut attempt))
}
