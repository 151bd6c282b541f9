//! Try, then wait: what every operation on a socket does, and the only place that handles EAGAIN and EINTR.
//!
//! The call comes first, so that what is ready costs no more than the call. Only an EAGAIN clears the readiness that the
//! reactor keeps, directly after the call, and only what is not ready is waited for. So an edge is never waited for that
//! came before, and a cleared one is never missed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::event_loop::LoopHandle;
use crate::reactor::{Direction, Waiting};
use crate::socket::Socket;
use crate::sys::socket as sys;

/// Has `attempt` made until it says something else than EAGAIN, or waits in `waiting` for the time to make it again.
pub(crate) fn poll_io<T: AsFd, R>(
    event_loop: &LoopHandle,
    socket: &Socket<T>,
    direction: Direction,
    waiting: &mut Waiting,
    cx: &Context<'_>,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    ready!(event_loop.poll_budget(cx));
    check_nonblocking(event_loop, socket)?;
    while socket.may_be_ready(event_loop, direction) {
        match attempt(socket.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.exhausted(direction);
                break;
            }
            result => {
                event_loop.spend_budget(0);
                waiting.end();
                return Poll::Ready(result);
            }
        }
    }
    poll_wait(event_loop, socket, direction, waiting, cx).map(Err)
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

/// [`poll_io`] as a future.
///
/// By hand: as an `async fn` it would hold what it was given twice, once as arguments and once to go on with.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Io<'a, T: AsFd, A> {
    event_loop: &'a LoopHandle,
    socket: &'a Socket<T>,
    direction: Direction,
    attempt: A,
    waiting: Waiting,
}

pub(crate) fn io<'a, T: AsFd, R, A>(
    event_loop: &'a LoopHandle,
    socket: &'a Socket<T>,
    direction: Direction,
    attempt: A,
) -> Io<'a, T, A>
where
    A: FnMut(BorrowedFd<'_>) -> io::Result<R>,
{
    Io {
        event_loop,
        socket,
        direction,
        attempt,
        waiting: Waiting::default(),
    }
}

impl<T: AsFd, R, A> Future for Io<'_, T, A>
where
    A: FnMut(BorrowedFd<'_>) -> io::Result<R> + Unpin,
{
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let io = &mut *self;
        let attempt = &mut io.attempt;
        poll_io(
            io.event_loop,
            io.socket,
            io.direction,
            &mut io.waiting,
            cx,
            attempt,
        )
    }
}
