//! Waiting for a time.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::LoopHandle;
use crate::ready::Callback;

/// The timer of a [`Sleep`]: it wakes instead of calling.
struct Alarm {
    waker: Cell<Option<Waker>>,
    rung: Cell<bool>,
    cancelled: Cell<bool>,
    place: &'static Location<'static>,
}

impl Callback for Alarm {
    fn run(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Where the loop is closed, whoever waits must learn it; where the sleep was dropped, it took its waker with it.
    fn cancel(&self) {
        self.cancelled.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn place(&self) -> &'static Location<'static> {
        self.place
    }
}

enum State {
    /// One turn is to pass, and no time.
    Yield,
    Wait(Wait),
    Over,
}

/// Waiting for a time. The first poll sets the timer.
struct Wait {
    deadline: Instant,
    alarm: Option<Rc<Alarm>>,
    event_loop: LoopHandle,
    place: &'static Location<'static>,
}

impl Wait {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.event_loop.is_closed() {
            return Poll::Ready(());
        }
        let waker = Some(cx.waker().clone());
        match &self.alarm {
            Some(alarm) if alarm.rung.get() => return Poll::Ready(()),
            Some(alarm) => {
                let before = alarm.waker.replace(waker);
                drop(before);
            }
            None => {
                let alarm = Rc::new(Alarm {
                    waker: Cell::new(waker),
                    rung: Cell::new(false),
                    cancelled: Cell::new(false),
                    place: self.place,
                });
                let timers = &self.event_loop.inner.timers;
                timers.add(self.deadline, alarm.clone());
                self.alarm = Some(alarm);
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take().filter(|alarm| !alarm.rung.get()) {
            drop(alarm.waker.take());
            self.event_loop.inner.timers.cancel(&*alarm);
        }
    }
}

/// The future of [`LoopHandle::sleep`].
#[must_use = "a sleep does nothing unless it is awaited"]
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
        let state = match event_loop.is_closed() {
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
