//! Waiting for a time.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{LoopHandle, get_running_loop};
use crate::slots::Key;

enum State {
    /// One turn is to pass, and no time.
    Yield,
    Wait(Wait),
    Over,
}

/// Waiting for a time. The first poll sets the alarm.
struct Wait {
    deadline: Instant,
    alarm: Option<Key>,
    event_loop: LoopHandle,
    /// What asked for it.
    place: &'static Location<'static>,
}

impl Wait {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.event_loop.is_closed() {
            return match is_left_running(&self.event_loop) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            };
        }
        let timers = &self.event_loop.inner.timers;
        match self.alarm {
            Some(alarm) if timers.has_rung(alarm, cx.waker()) => return Poll::Ready(()),
            Some(_) => {}
            None => {
                let waker = cx.waker().clone();
                self.alarm = Some(timers.set_alarm(self.deadline, waker, self.place));
                self.event_loop.update_descriptor();
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm {
            self.event_loop.inner.timers.forget(alarm);
            self.event_loop.update_descriptor();
        }
    }
}

/// Returns whether this is a forked child in which a task of the parent's loop goes on. A closed
/// loop does not wait. But this task must, so that it returns to the parent's loop, which panics
/// then.
#[cold]
fn is_left_running(event_loop: &LoopHandle) -> bool {
    event_loop.inner.running.get() && get_running_loop().is_none()
}

/// The future of [`LoopHandle::sleep`] and [`LoopHandle::sleep_until`].
#[must_use = "a sleep does nothing unless it is awaited"]
#[doc(alias = "Timer")]
pub struct Sleep {
    state: State,
}

impl Sleep {
    #[inline]
    #[track_caller]
    pub(super) fn new(event_loop: &LoopHandle, delay: Duration) -> Sleep {
        if !delay.is_zero() {
            return Sleep::until(event_loop, event_loop.deadline(delay));
        }
        let state = match event_loop.is_closed() && !is_left_running(event_loop) {
            true => State::Over,
            false => State::Yield,
        };
        Sleep { state }
    }

    #[track_caller]
    pub(super) fn until(event_loop: &LoopHandle, deadline: Instant) -> Sleep {
        let state = State::Wait(Wait {
            deadline,
            alarm: None,
            event_loop: event_loop.clone(),
            place: Location::caller(),
        });
        Sleep { state }
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Yield => {
                self.state = State::Over;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            State::Over => Poll::Ready(()),
            State::Wait(wait) => {
                let polled = wait.poll(cx);
                if polled.is_ready() {
                    self.state = State::Over;
                }
                polled
            }
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Yield => "yields",
            State::Wait(Wait { alarm: None, .. }) => "not begun",
            State::Wait(_) => "waits",
            State::Over => "over",
        };
        f.debug_tuple("Sleep").field(&state).finish()
    }
}
