//! The time limit of clients, and whether the client or the loop was too slow.

use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sendloop::{LoopHandle, Socket};

/// The time in which the loop must report an event, on a busy machine.
const GRACE: Duration = Duration::from_secs(1);

/// The message of a time-out that should not have happened.
const READY: &str = "timed out although the socket is ready";

pub(super) struct TimeLimit {
    event_loop: LoopHandle,
    pub(super) time: Duration,
}

impl TimeLimit {
    pub(super) fn new(event_loop: LoopHandle, time: Duration) -> TimeLimit {
        TimeLimit { event_loop, time }
    }

    /// Runs an operation that waits for `side`, within the time limit.
    pub(super) async fn with<T>(
        &self,
        sock: &Socket<TcpStream>,
        side: PollFlags,
        operation: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut operation = pin!(operation);
        let in_time = self.event_loop.wait_for(operation.as_mut(), self.time);
        match in_time.await {
            Ok(result) => result,
            // The operation still waits, and no task polls it. A late event wakes it; a lost event
            // does not.
            Err(_) if is_ready(sock, side) && self.is_woken().await => {
                Err(io::ErrorKind::TimedOut.into())
            }
            Err(_) => Err(time_out_error(sock, side)),
        }
    }

    /// Returns whether another source has woken this task.
    async fn is_woken(&self) -> bool {
        let mut grace = pin!(self.event_loop.sleep(GRACE));
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            match grace.as_mut().poll(cx) {
                Poll::Pending if polls == 1 => Poll::Pending,
                polled => Poll::Ready(polled.is_pending()),
            }
        })
        .await
    }
}

/// Returns the error of a time-out.
///
/// If the socket is ready, the client was not slow: the loop has lost an event.
pub(super) fn time_out_error(sock: &Socket<TcpStream>, side: PollFlags) -> io::Error {
    match is_ready(sock, side) {
        false => io::ErrorKind::TimedOut.into(),
        true => io::Error::new(io::ErrorKind::TimedOut, READY),
    }
}

pub(super) fn was_ready(error: &io::Error) -> bool {
    error.to_string() == READY
}

pub(super) fn is_ready<T: AsFd>(sock: &Socket<T>, side: PollFlags) -> bool {
    let mut polled = [PollFd::new(sock.get_ref(), side)];
    !matches!(poll(&mut polled, Some(&Timespec::default())), Ok(0))
}
