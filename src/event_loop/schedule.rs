//! Making work for the loop: callbacks, timers, tasks, promises.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Handle, LoopHandle, Sleep, TimerHandle};
use crate::error::TimeoutError;
use crate::ready::{Call, Callback};
use crate::task::{Promise, PromiseFuture, Task, TaskGroup, promise};

impl LoopHandle {
    /// Has the loop call `callback` in its next turn. Callbacks run in the order in which they were queued, tasks' steps among
    /// them; one that is queued during a turn runs in the next.
    ///
    /// A panic in it is logged and ends nothing else. On a closed loop it is dropped, and the handle says cancelled.
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
        self.inner.ready.push(callback.clone());
        Handle::new(callback)
    }

    /// Has the loop call `callback` after `delay`, never earlier. Equal deadlines run in the order in which they were made.
    ///
    /// A delay longer than the clock can say never ends. On a closed loop the callback is dropped, and the handle says
    /// cancelled.
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.call_at(self.deadline(delay), callback)
    }

    /// Has the loop call `callback` at `when` by the loop's [`time`](LoopHandle::time), never earlier; a time in the past is the
    /// next turn.
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
        let callback: Rc<dyn Callback> = Rc::new(Call::new(callback));
        if self.is_closed() {
            callback.cancel();
        } else {
            self.inner.timers.add(when, callback.clone());
        }
        TimerHandle::new(callback, when, self.clone())
    }

    /// Runs a future on the loop as a task of its own, from the next iteration on.
    ///
    /// The future need not be `Send`, but owns what it uses. Its panic becomes the task's result. On
    /// a closed loop the future is dropped, and the task ends as cancelled. Whatever converts into a
    /// future is converted in this call.
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
        self.inner.tasks.create(future.into_future())
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
        TaskGroup::new(&self.inner.tasks)
    }

    /// A result that is set by hand, and the future that waits for it: asyncio's `create_future`, in two halves. They may be
    /// dropped in any order. If the promise is dropped without a result, the future fails with a
    /// [`TaskError`](crate::TaskError) that is cancelled.
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

    /// Waits for `delay`, counted from this call. `Duration::ZERO` lets the others run for one turn.
    ///
    /// The difference from asyncio: it gives no result, and the time runs from the call, not from the first await. On a closed
    /// loop it does not wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping it takes its timer away at once.
    #[doc(alias("Timer", "yield_now"))]
    #[inline]
    pub fn sleep(&self, delay: Duration) -> Sleep {
        Sleep::new(self, delay)
    }

    /// [`sleep`](LoopHandle::sleep) with a time instead of a delay.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::until(self, deadline)
    }

    /// Awaits `future` for at most `timeout`, counted from this call.
    ///
    /// A future that is ready when its time runs out has not timed out. With `Duration::ZERO` it is polled once.
    /// A closed loop has no timers, so it polls the future once, whatever the timeout.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`]: the time ran out or the loop is closed, and the future was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let never = std::future::pending::<()>();
    /// let result = event_loop.run_until_complete(event_loop.wait_for(never, Duration::from_millis(1)));
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
        let mut alarm = self.sleep_until(self.deadline(timeout));
        let future = future.into_future();
        let event_loop = self.clone();
        async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let yields = event_loop.inner.yields.get();
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => return Poll::Ready(Ok(output)),
                    Poll::Pending if !timeout.is_zero() => {}
                    // It has not said what it has to say: it let others run first.
                    Poll::Pending if event_loop.inner.yields.get() != yields => {
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Ready(Err(TimeoutError)),
                }
                Pin::new(&mut alarm).poll(cx).map(|()| Err(TimeoutError))
            })
            .await
        }
    }

    /// Ends the loop's run after the turn that it is in. Made before the loop runs, it lets exactly one turn run.
    pub fn stop(&self) {
        self.inner.stopping.set(true);
    }
}
