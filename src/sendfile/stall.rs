//! The end of a transfer that does not move.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::error::LoopClosedError;
use crate::event_loop::{LoopHandle, Sleep};

/// Counts the time since the last byte moved.
///
/// Moving only notes the new deadline. The timer stays where it is, and finds out when it comes that there is time left: so a
/// transfer that moves sets one timer for each limit's length, however many steps it takes.
#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    deadline: Instant,
    alarm: Sleep,
}

impl Stall {
    pub(super) fn new(event_loop: &LoopHandle, limit: Duration) -> Stall {
        let deadline = event_loop.deadline(limit);
        Stall {
            limit,
            deadline,
            alarm: event_loop.sleep_until(deadline),
        }
    }

    /// A byte has moved.
    pub(super) fn moved(&mut self, event_loop: &LoopHandle) {
        self.deadline = event_loop.deadline(self.limit);
    }

    /// Ready with the error when none has moved for too long; else the task is woken when that may be so.
    pub(super) fn poll(
        &mut self,
        event_loop: &LoopHandle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Error> {
        loop {
            ready!(Pin::new(&mut self.alarm).poll(cx));
            if event_loop.is_closed() {
                return Poll::Ready(LoopClosedError.into());
            }
            if event_loop.time() >= self.deadline {
                let what = "no byte of the file moved for as long as was allowed";
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            self.alarm = event_loop.sleep_until(self.deadline);
        }
    }
}
