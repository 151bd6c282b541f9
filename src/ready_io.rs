//! Try, then wait: what every operation on a socket does, and the only place that handles EAGAIN and EINTR.
//!
//! An operation begins with its system call, as asyncio's does. Only after an EAGAIN of its own does it wait, and only then may
//! it skip a try while no event has come. So it never waits for an edge that came before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::event_loop::LoopHandle;
use crate::reactor::{Direction, Waiting};
use crate::socket::Socket;
use crate::sys::socket as sys;
use crate::sys::uninterrupted;

/// What an operation returns.
pub(crate) trait Outcome: Sized {
    /// How many bytes the kernel has moved.
    fn bytes(&self) -> usize {
        0
    }

    /// The outcome of an operation that reads from a socket that is shut down for reading. A datagram is an error then: the
    /// end has no sender.
    fn at_end() -> io::Result<Self> {
        let what = "cannot receive: the socket is shut down for reading";
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }
}

impl Outcome for () {}

impl Outcome for usize {
    fn bytes(&self) -> usize {
        *self
    }

    fn at_end() -> io::Result<usize> {
        Ok(0)
    }
}

impl Outcome for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn at_end() -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// A datagram and its sender.
impl<A> Outcome for (Vec<u8>, A) {
    fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl<A> Outcome for (usize, A) {
    fn bytes(&self) -> usize {
        self.0
    }
}

/// A connection and its peer.
impl<S: AsFd, A> Outcome for (Socket<S>, A) {
    /// The error of a blocking accept(2) on such a listener.
    fn at_end() -> io::Result<(Socket<S>, A)> {
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }
}

/// Calls `attempt` unless this operation waits for an event that has not come. Waits in `waiting` if it fails with EAGAIN.
pub(crate) fn poll_io<T: AsFd, R: Outcome>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    waiting: &mut Waiting,
    cx: &Context<'_>,
    attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    if waiting.is_begun() && !socket.may_be_ready(event_loop, direction) {
        return poll_wait(event_loop, socket, direction, waiting, cx).map(Err);
    }
    poll_try(event_loop, socket, direction, waiting, cx, attempt)
}

/// [`poll_io`] for an operation that tries at every poll.
pub(crate) fn poll_try<T: AsFd, R: Outcome>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    waiting: &mut Waiting,
    cx: &Context<'_>,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    let tried = ready!(poll_once(event_loop, socket, cx, &mut attempt));
    if !is_would_block(&tried) {
        waiting.end();
        return Poll::Ready(tried);
    }
    if direction == Direction::Read && socket.is_shut_for_reading() {
        // Data may have come before the end and after the try.
        let tried = uninterrupted(|| attempt(socket.as_fd()));
        let ended = if is_would_block(&tried) {
            R::at_end()
        } else {
            tried
        };
        spend(event_loop, &ended);
        waiting.end();
        return Poll::Ready(ended);
    }
    socket.exhausted(direction);
    poll_wait(event_loop, socket, direction, waiting, cx).map(Err)
}

/// Calls `attempt` once the budget allows it, and pays for it unless it fails with EAGAIN.
pub(crate) fn poll_once<T: AsFd, R: Outcome>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    cx: &Context<'_>,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    ready!(event_loop.poll_budget(cx));
    check_nonblocking(event_loop, socket)?;
    let tried = uninterrupted(|| attempt(socket.as_fd()));
    if !is_would_block(&tried) {
        spend(event_loop, &tried);
    }
    Poll::Ready(tried)
}

fn spend<R: Outcome>(event_loop: &LoopHandle, outcome: &io::Result<R>) {
    let moved = outcome.as_ref().map_or(0, R::bytes);
    event_loop.consume_budget(moved as u64);
}

fn is_would_block<R>(tried: &io::Result<R>) -> bool {
    let error = tried.as_ref().err();
    error.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Waits for the next edge after an EAGAIN. Ready only with an error: the socket cannot be waited for.
pub(crate) fn poll_wait<T: AsFd>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    waiting: &mut Waiting,
    cx: &Context<'_>,
) -> Poll<io::Error> {
    match socket.attach(event_loop) {
        Ok(source) => {
            // What has just been put into the poller starts out as ready; the EAGAIN that led here says that it is not.
            source.side(direction).exhausted();
            waiting.park(source, direction, cx);
            Poll::Pending
        }
        Err(error) => Poll::Ready(error),
    }
}

/// In debug mode: refuses a socket that somebody made blocking through a duplicate, and which would hold the loop.
pub(crate) fn check_nonblocking<T: AsFd>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
) -> io::Result<()> {
    if event_loop.get_debug() && !sys::is_nonblocking(socket.as_fd())? {
        let what = "the socket is blocking: something has changed that through a duplicate";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// [`poll_io`] as a future, which borrows the socket and not the loop.
///
/// By hand: as an `async fn` it would hold what it was given twice, once as arguments and once to go on with.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Io<'a, T: AsFd, A> {
    event_loop: LoopHandle,
    socket: &'a Socket<T>,
    direction: Direction,
    attempt: A,
    waiting: Waiting,
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
        waiting: Waiting::default(),
    }
}

impl<T: AsFd, R: Outcome, A> Future for Io<'_, T, A>
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
            &mut io.waiting,
            cx,
            attempt,
        )
    }
}
