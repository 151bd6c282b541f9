//! The steps that all operations on sockets share: try, then wait.
//!
//! An operation begins with its system call, as asyncio's does. It waits only after its own call
//! failed with EAGAIN. After that it skips tries until an event comes. So it never waits for an
//! edge that came before. All handling of EAGAIN and EINTR is here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::event_loop::LoopHandle;
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
    /// For a datagram it is an error, as the end has no sender.
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
impl<A> IoOutput for (Vec<u8>, A) {
    fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl<A> IoOutput for (usize, A) {
    fn bytes(&self) -> usize {
        self.0
    }
}

/// The output of an accept: a connection and its peer.
impl<S: AsFd, A> IoOutput for (Socket<S>, A) {
    /// The error of a blocking accept(2) on such a listener.
    fn at_end() -> io::Result<(Socket<S>, A)> {
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }
}

/// Calls `attempt`, unless the operation waits for an event that has not come.
///
/// If `attempt` fails with EAGAIN, the operation waits in `wait`.
pub(crate) fn poll_io<T: AsFd, R: IoOutput>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    wait: &mut WaitGuard,
    cx: &Context<'_>,
    attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    if wait.is_parked() && !socket.may_be_ready(event_loop, direction) {
        return poll_wait(event_loop, socket, direction, wait, cx).map(Err);
    }
    poll_try(event_loop, socket, direction, wait, cx, attempt)
}

/// [`poll_io`] for an operation that tries at every poll.
pub(crate) fn poll_try<T: AsFd, R: IoOutput>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    wait: &mut WaitGuard,
    cx: &Context<'_>,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    let tried = ready!(poll_once(event_loop, socket, cx, &mut attempt));
    if !is_would_block(&tried) {
        wait.end();
        return Poll::Ready(tried);
    }
    if direction == Direction::Read && socket.is_shut_for_reading() {
        // Data may have come between the try and the end.
        let tried = uninterrupted(|| attempt(socket.as_fd()));
        let ended = if is_would_block(&tried) {
            R::at_end()
        } else {
            tried
        };
        consume_budget(event_loop, &ended);
        wait.end();
        return Poll::Ready(ended);
    }
    socket.clear_ready(direction);
    poll_wait(event_loop, socket, direction, wait, cx).map(Err)
}

/// Calls `attempt` if the budget allows it, and consumes budget unless it fails with EAGAIN.
pub(crate) fn poll_once<T: AsFd, R: IoOutput>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    cx: &Context<'_>,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    ready!(event_loop.poll_budget(cx));
    check_nonblocking(event_loop, socket)?;
    let tried = uninterrupted(|| attempt(socket.as_fd()));
    if !is_would_block(&tried) {
        consume_budget(event_loop, &tried);
    }
    Poll::Ready(tried)
}

fn consume_budget<R: IoOutput>(event_loop: &LoopHandle, outcome: &io::Result<R>) {
    let moved = outcome.as_ref().map_or(0, R::bytes);
    event_loop.consume_budget(moved as u64);
}

fn is_would_block<R>(tried: &io::Result<R>) -> bool {
    let error = tried.as_ref().err();
    error.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Waits for the next edge after an EAGAIN.
///
/// It is ready only with an error, if the loop cannot wait for the socket.
pub(crate) fn poll_wait<T: AsFd>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    wait: &mut WaitGuard,
    cx: &Context<'_>,
) -> Poll<io::Error> {
    match socket.attach(event_loop) {
        Ok(source) => {
            // A new registration begins as ready. The EAGAIN before this call shows that it is not.
            source.state(direction).clear_ready();
            wait.park(source, direction, cx);
            Poll::Pending
        }
        Err(error) => Poll::Ready(error),
    }
}

/// Refuses a blocking socket in debug mode, as its calls would hold the loop.
pub(crate) fn check_nonblocking<T: AsFd>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
) -> io::Result<()> {
    if event_loop.get_debug() && !sys::is_nonblocking(socket.as_fd())? {
        let what = "the socket is blocking: some code changed that through a duplicate; \
                    use set_nonblocking(true)";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// [`poll_io`] as a future, which borrows the socket and not the loop.
///
/// An `async fn` would be larger, as it keeps its arguments twice.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Io<'a, T: AsFd, A> {
    event_loop: LoopHandle,
    socket: &'a Socket<T>,
    direction: Direction,
    attempt: A,
    wait: WaitGuard,
}

pub(crate) fn io<'a, T: AsFd, R, A>(
    event_loop: &LoopHandle,
    socket: &'a Socket<T>,
    direction: Direction,
    attempt: A,
) -> Io<'a, T, A>
where
    A: FnMut(BorrowedFd<'_>) -> io::Result<R>,
{
    Io {
        event_loop: event_loop.clone(),
        socket,
        direction,
        attempt,
        wait: WaitGuard::default(),
    }
}

impl<T: AsFd, R: IoOutput, A> Future for Io<'_, T, A>
where
    A: FnMut(BorrowedFd<'_>) -> io::Result<R> + Unpin,
{
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let io = &mut *self;
        let attempt = &mut io.attempt;
        poll_io(
            &io.event_loop,
            io.socket,
            io.direction,
            &mut io.wait,
            cx,
            attempt,
        )
    }
}
