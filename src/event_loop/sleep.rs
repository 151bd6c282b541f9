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
    /// The first poll sets the timer.
    Unset(Instant),
    Set(Rc<Alarm>),
    Over,
}

/// The future of [`LoopHandle::sleep`].
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    state: State,
    event_loop: LoopHandle,
    place: &'static Location<'static>,
}

impl Sleep {
    #[track_caller]
    pub(super) fn new(event_loop: LoopHandle, delay: Duration) -> Sleep {
        if delay.is_zero() {
            return Sleep {
                state: State::Yield,
                event_loop,
                place: Location::caller(),
            };
        }
        let deadline = event_loop.deadline(delay);
        Sleep::until(event_loop, deadline)
    }

    #[track_caller]
    pub(super) fn until(event_loop: LoopHandle, deadline: Instant) -> Sleep {
        Sleep {
            state: State::Unset(deadline),
            event_loop,
            place: Location::caller(),
        }
    }

    fn begin(&mut self, deadline: Instant, cx: &Context<'_>) -> Poll<()> {
        let alarm = Rc::new(Alarm {
            waker: Cell::new(Some(cx.waker().clone())),
            rung: Cell::new(false),
            cancelled: Cell::new(false),
            place: self.place,
        });
        self.event_loop.inner.timers.add(deadline, alarm.clone());
        self.state = State::Set(alarm);
        Poll::Pending
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            _ if self.event_loop.is_closed() => {}
            State::Yield => {
                self.state = State::Over;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Unset(deadline) => {
                let deadline = *deadline;
                return self.begin(deadline, cx);
            }
            State::Set(alarm) if alarm.rung.get() => {}
            State::Set(alarm) => {
                let before = alarm.waker.replace(Some(cx.waker().clone()));
                drop(before);
                return Poll::Pending;
            }
            State::Over => {}
        }
        self.state = State::Over;
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let State::Set(alarm) = &self.state {
            if !alarm.rung.get() {
                drop(alarm.waker.take());
                self.event_loop.inner.timers.cancel(&**alarm);
            }
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Yield => "yields",
            State::Unset(_) => "not begun",
            State::Set(_) => "waits",
            State::Over => "over",
        };
        f.debug_tuple("Sleep").field(&state).finish()
    }
}
