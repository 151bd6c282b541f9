//! The methods that create work for the loop: callbacks, timers, tasks, promises, sleeps. The
//! handles of callbacks and timers.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::{LoopHandle, get_running_loop};
use crate::error::{LoopClosedError, TimeoutError};
use crate::remote::Remote;
use crate::run_queue::{Call, Callback};
use crate::slots::Key;
use crate::task::{Promise, PromiseFuture, Task, TaskGroup, promise};
use crate::timers::Due;

impl LoopHandle {
    /// Calls `callback` in the next iteration of the loop.
    ///
    /// Callbacks and steps of tasks run in the order in which they were queued. A callback that is
    /// queued during an iteration runs in the next one.
    ///
    /// If the callback panics, the loop calls the [exception
    /// handler](LoopHandle::set_exception_handler) and goes on. On a closed loop the callback is
    /// dropped, and the handle is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.call_soon(move || handle.stop());
    /// event_loop.run_forever();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        let callback: Rc<dyn Callback> = Rc::new(Call::new(callback));
        self.inner.run_queue.push(callback.clone());
        Handle { callback }
    }

    /// Calls `callback` after `delay`, never earlier.
    ///
    /// Callbacks with equal deadlines run in the order in which they were set. A delay that is too
    /// long for an [`Instant`] never ends. On a closed loop the callback is dropped, and the handle
    /// is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.call_later(Duration::from_millis(1), move || handle.stop());
    /// let never = event_loop.call_later(Duration::from_secs(60), || unreachable!());
    /// never.cancel();
    /// event_loop.run_forever();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.call_at(self.deadline(delay), callback)
    }

    /// Calls `callback` at `when` by the loop's [`time`](LoopHandle::time), never earlier.
    ///
    /// If the time is in the past, the callback runs in the next iteration. All other rules are
    /// those of [`call_later`](LoopHandle::call_later).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let when = event_loop.time() + Duration::from_millis(1);
    /// let handle = event_loop.handle();
    /// let timer = event_loop.call_at(when, move || handle.stop());
    /// assert_eq!(timer.when(), when);
    /// event_loop.run_forever();
    /// assert!(event_loop.time() >= when);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
        let callback: Rc<dyn Callback> = Rc::new(Call::new(callback));
        self.add_timer(when, callback.clone());
        TimerHandle { callback, when, event_loop: self.clone() }
    }

    fn add_timer(&self, when: Instant, callback: Rc<dyn Callback>) {
        if self.is_closed() {
            return callback.cancel();
        }
        self.inner.timers.add(when, Due::Callback(callback));
        self.inner.update_descriptor();
    }

    /// Runs a future on the loop as a task, from the next iteration on.
    ///
    /// The future need not be `Send`, but must not borrow local variables. If it panics, the panic
    /// is the task's result. On a closed loop the future is dropped, and the task is cancelled.
    /// `create_task` calls `into_future` itself, not in the task.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let one = event_loop.create_task(async { 1 });
    ///     let two = event_loop.create_task(async { 2 }); // Both run from now on.
    ///     assert_eq!(one.await.unwrap() + two.await.unwrap(), 3);
    /// })
    /// # }
    /// ```
    #[doc(alias("spawn", "spawn_local"))]
    #[track_caller]
    pub fn create_task<T: 'static>(
        &self,
        future: impl IntoFuture<Output = T> + 'static,
    ) -> Task<T> {
        self.inner.run_queue.create_task(future.into_future())
    }

    /// Creates an empty group of tasks that end together: asyncio's `TaskGroup`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let mut group = event_loop.task_group();
    ///     for number in 0..3 {
    ///         group.create_task(async move { number });
    ///     }
    ///     let mut sum = 0;
    ///     while let Some(result) = group.join_next().await {
    ///         sum += result.unwrap();
    ///     }
    ///     assert_eq!(sum, 3);
    /// })
    /// # }
    /// ```
    #[doc(alias = "JoinSet")]
    pub fn task_group<T>(&self) -> TaskGroup<T> {
        TaskGroup::new(self.inner.run_queue.clone())
    }

    /// Creates a promise, and the future that waits for its result: asyncio's `create_future`.
    ///
    /// The two halves may be dropped in any order. If the promise is dropped without a result, the
    /// future fails with a [`TaskError`](crate::TaskError) for which `is_cancelled` is true.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (promise, future) = event_loop.create_future();
    /// event_loop.call_soon(move || promise.set_result("done").unwrap());
    /// assert_eq!(event_loop.run_until_complete(future).unwrap(), "done");
    ///
    /// let (promise, future) = event_loop.create_future::<()>();
    /// drop(promise);
    /// assert!(event_loop.run_until_complete(future).unwrap_err().is_cancelled());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "oneshot")]
    pub fn create_future<T: 'static>(&self) -> (Promise<T>, PromiseFuture<T>) {
        promise()
    }

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
        Sleep(SleepState::Yield)
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
        let (event_loop, location) = (self.clone(), Location::caller());
        Sleep(SleepState::Wait(TimerWait { deadline, entry: None, event_loop, location }))
    }

    /// Awaits `future` for at most `timeout` by the loop's clock, counted from this call.
    ///
    /// If the future is ready when the time runs out, the method returns its output. With
    /// `Duration::ZERO` the future is polled once, and again only after the task has used up its
    /// budget. A closed loop has no timers, so there every timeout counts as zero.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`] if the time ran out or the loop is closed. In both cases the future is
    /// dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait drops `future` and the timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let never = std::future::pending::<()>();
    /// let waiting = event_loop.wait_for(never, Duration::from_millis(1));
    /// let result = event_loop.run_until_complete(waiting);
    /// assert_eq!(result, Err(sendloop::TimeoutError));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "timeout")]
    #[track_caller]
    pub fn wait_for<F: IntoFuture>(
        &self,
        future: F,
        timeout: Duration,
    ) -> impl Future<Output = Result<F::Output, TimeoutError>> + use<F> {
        let mut entry = self.sleep_until(self.deadline(timeout));
        let future = future.into_future();
        let event_loop = self.clone();
        async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let yields = event_loop.inner.yields.get();
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                let timed_out = match timeout.is_zero() {
                    false => Pin::new(&mut entry).poll(cx),
                    true if event_loop.inner.yields.get() == yields => event_loop.poll_proceed(cx),
                    // The future may be ready: it has only used its budget up.
                    true => Poll::Pending,
                };
                timed_out.map(|()| Err(TimeoutError))
            })
            .await
        }
    }

    /// Stops the loop after the current iteration.
    ///
    /// If the loop is stopped before a run, the run makes exactly one iteration, as in asyncio.
    /// From another thread, use [`Remote::stop`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.call_soon(move || handle.stop());
    /// event_loop.run_forever();
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self) {
        self.inner.stopping.set(true);
        self.inner.update_descriptor();
    }
}

impl Remote {
    /// Calls `callback` on the loop's thread after `delay`, never earlier.
    ///
    /// The delay counts by the loop's clock from the next iteration, in which the loop gets the
    /// call. asyncio has no such method.
    ///
    /// The method returns no handle that could cancel the call. If you need one, or want to start a
    /// task, use [`call_soon_threadsafe`](Remote::call_soon_threadsafe) with a closure that gets
    /// the loop from [`get_running_loop`].
    ///
    /// # Errors
    ///
    /// [`LoopClosedError`] if the loop is closed. The callback is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use sendloop::{Loop, get_running_loop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let remote = event_loop.remote();
    /// let thread = thread::spawn(move || {
    ///     remote.call_later_threadsafe(Duration::from_millis(5), || {
    ///         get_running_loop().unwrap().stop();
    ///     })
    /// });
    /// event_loop.run_forever();
    /// thread.join().unwrap().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn call_later_threadsafe(
        &self,
        delay: Duration,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<(), LoopClosedError> {
        let location = Location::caller();
        self.call_soon_threadsafe(move || {
            if let Some(event_loop) = get_running_loop() {
                let callback = Rc::new(Call::with_location(location, callback));
                event_loop.add_timer(event_loop.deadline(delay), callback);
            }
        })
    }
}

/// A handle to a callback that [`call_soon`](LoopHandle::call_soon) has queued.
///
/// Dropping the handle does not cancel the callback.
#[derive(Clone)]
pub struct Handle {
    callback: Rc<dyn Callback>,
}

impl Handle {
    /// Cancels the callback and drops it at once. If the callback has run, this has no effect.
    ///
    /// The callback's destructor may cancel another callback, and so on. If such calls are nested
    /// more than 32 levels deep, the outermost call drops the deeper callbacks before it returns,
    /// as [`Task::cancel`](crate::Task::cancel) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.call_soon(|| panic!("it is cancelled"));
    /// handle.cancel();
    /// event_loop.run_until_idle()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.callback.cancel();
    }

    /// Returns true if [`cancel`](Handle::cancel) or a closed loop cancelled the callback.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.call_soon(|| {});
    /// assert!(!handle.cancelled());
    /// drop(event_loop);
    /// assert!(handle.cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }
}

/// A handle to a callback with a deadline.
///
/// [`call_later`](LoopHandle::call_later) and [`call_at`](LoopHandle::call_at) return it. Dropping
/// the handle does not cancel the callback.
#[derive(Clone)]
pub struct TimerHandle {
    callback: Rc<dyn Callback>,
    when: Instant,
    event_loop: LoopHandle,
}

impl TimerHandle {
    /// Cancels the callback and drops it at once. If the callback has run, this has no effect.
    ///
    /// For nested calls, the rule of [`Handle::cancel`] applies.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let event_loop = sendloop::Loop::new()?;
    /// let timer = event_loop.call_later(Duration::from_secs(60), || {});
    /// timer.cancel();
    /// assert_eq!(event_loop.next_timeout(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.event_loop.inner.timers.cancel(&*self.callback);
        self.event_loop.inner.update_descriptor();
    }

    /// Returns true if [`cancel`](TimerHandle::cancel) or a closed loop cancelled the callback.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let event_loop = sendloop::Loop::new()?;
    /// let timer = event_loop.call_later(Duration::from_secs(60), || {});
    /// timer.cancel();
    /// assert!(timer.cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }

    /// Returns the deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let event_loop = sendloop::Loop::new()?;
    /// let deadline = event_loop.time() + Duration::from_secs(60);
    /// assert_eq!(event_loop.call_at(deadline, || {}).when(), deadline);
    /// # Ok(())
    /// # }
    /// ```
    pub fn when(&self) -> Instant {
        self.when
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("location", &format_args!("{}", self.callback.location()))
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("location", &format_args!("{}", self.callback.location()))
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

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
        event_loop.inner.update_descriptor();
        Poll::Pending
    }
}

impl Drop for TimerWait {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.event_loop.inner.timers.remove_waker(entry);
            self.event_loop.inner.update_descriptor();
        }
    }
}

/// The future of [`LoopHandle::sleep`] and [`LoopHandle::sleep_until`].
#[must_use = "a sleep does nothing unless it is awaited"]
#[doc(alias = "Timer")]
pub struct Sleep(SleepState);

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            SleepState::Yield => {
                self.0 = SleepState::Over;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            SleepState::Wait(wait) => ready!(wait.poll(cx)),
            SleepState::Over => {}
        }
        self.0 = SleepState::Over;
        Poll::Ready(())
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            SleepState::Yield => "yields",
            SleepState::Wait(TimerWait { entry: None, .. }) => "not begun",
            SleepState::Wait(_) => "waits",
            SleepState::Over => "over",
        };
        f.debug_tuple("Sleep").field(&state).finish()
    }
}
