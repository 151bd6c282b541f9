//! Waiting for a time: `sleep` and `sleep_until`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{LoopHandle, get_running_loop};
use crate::slots::Key;

enum SleepState {
    /// Waits for one iteration, without a timer.
    Yield,
    Wait(TimerWait),
    Over,
}

/// A wait for a deadline. The first poll adds the timer entry.
struct TimerWait {
    deadline: Instant,
    entry: Option<Key>,
    event_loop: LoopHandle,
    /// The location that called `sleep`, for logs.
    location: &'static Location<'static>,
}

impl TimerWait {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.event_loop.is_closed() {
            if is_left_running(&self.event_loop) {
                return Poll::Pending;
            }
            return self.event_loop.poll_proceed(cx);
        }
        let timers = &self.event_loop.inner.timers;
        match self.entry {
            Some(entry) if timers.has_fired(entry, cx.waker()) => return Poll::Ready(()),
            Some(_) => {}
            None => {
                let waker = cx.waker().clone();
                self.entry = Some(timers.add_waker(self.deadline, waker, self.location));
                self.event_loop.update_descriptor();
            }
        }
        Poll::Pending
    }
}

impl Drop for TimerWait {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.event_loop.inner.timers.remove_waker(entry);
            self.event_loop.update_descriptor();
        }
    }
}

/// Returns whether this is a forked child in which a task of the parent's loop goes on.
///
/// A sleep on a closed loop does not wait. But this sleep must wait, so that the task returns to
/// the parent's loop, which then panics.
#[cold]
fn is_left_running(event_loop: &LoopHandle) -> bool {
    event_loop.inner.running.get() && get_running_loop().is_none()
}

/// The future of [`LoopHandle::sleep`] and [`LoopHandle::sleep_until`].
#[must_use = "a sleep does nothing unless it is awaited"]
#[doc(alias = "Timer")]
pub struct Sleep {
    state: SleepState,
}

impl LoopHandle {
    /// Waits for `delay`, counted from this call.
    ///
    /// `Duration::ZERO` lets other tasks run for one iteration. On a closed loop, any other sleep
    /// does not wait.
    ///
    /// The difference from asyncio: a sleep has no result, and its time counts from the call, not
    /// from the first await.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes its timer at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     event_loop.sleep(Duration::from_millis(1)).await;
    /// })
    /// # }
    /// ```
    #[doc(alias("Timer", "yield_now"))]
    #[inline]
    #[track_caller]
    pub fn sleep(&self, delay: Duration) -> Sleep {
        if !delay.is_zero() {
            return self.sleep_until(self.deadline(delay));
        }
        Sleep { state: SleepState::Yield }
    }

    /// Waits until `deadline` by the loop's [`time`](LoopHandle::time), never shorter.
    ///
    /// A deadline in the past lets other tasks run for one iteration. On a closed loop it does not
    /// wait. asyncio has no such function.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes its timer at once.
    ///
    /// # Examples
    ///
    /// A periodic task that does not drift, however long each step takes:
    ///
    /// ```
    /// use std::time::Duration;
    /// use sendloop::{Clock, Loop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// Loop::builder().clock(Clock::paused()).run(async |event_loop| {
    ///     let start = event_loop.time();
    ///     let mut next = start;
    ///     for _ in 0..3 {
    ///         next += Duration::from_secs(10);
    ///         event_loop.sleep(Duration::from_secs(7)).await;
    ///         event_loop.sleep_until(next).await;
    ///     }
    ///     assert_eq!(event_loop.time() - start, Duration::from_secs(30));
    /// })
    /// # }
    /// ```
    #[doc(alias = "Timer")]
    #[track_caller]
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        let state = SleepState::Wait(TimerWait {
            deadline,
            entry: None,
            event_loop: self.clone(),
            location: Location::caller(),
        });
        Sleep { state }
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            SleepState::Yield => {
                self.state = SleepState::Over;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            SleepState::Over => Poll::Ready(()),
            SleepState::Wait(wait) => {
                let polled = wait.poll(cx);
                if polled.is_ready() {
                    self.state = SleepState::Over;
                }
                polled
            }
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            SleepState::Yield => "yields",
            SleepState::Wait(TimerWait { entry: None, .. }) => "not begun",
            SleepState::Wait(_) => "waits",
            SleepState::Over => "over",
        };
        f.debug_tuple("Sleep").field(&state).finish()
    }
}
