//! Waiting for a time: `sleep` and `sleep_until`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
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
        let event_loop = &self.event_loop;
        if event_loop.is_closed() {
            // In a forked child, a task of the parent's loop may go on. A sleep on a closed loop
            // does not wait. But this sleep must wait, so that the task returns to the parent's
            // loop, which then panics.
            let is_left_running = event_loop.inner.running.get() && get_running_loop().is_none();
            return if is_left_running { Poll::Pending } else { event_loop.poll_proceed(cx) };
        }
        let timers = &event_loop.inner.timers;
        if let Some(entry) = self.entry {
            return timers.poll_fired(entry, cx.waker());
        }
        self.entry = Some(timers.add_waker(self.deadline, cx.waker().clone(), self.location));
        event_loop.update_descriptor();
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
                return Poll::Pending;
            }
            SleepState::Wait(wait) => ready!(wait.poll(cx)),
            SleepState::Over => {}
        }
        self.state = SleepState::Over;
        Poll::Ready(())
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
