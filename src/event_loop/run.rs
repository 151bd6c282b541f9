//! Running the loop: until a future is complete, until it is stopped, or for one turn.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::turn::Driver;
use super::{Inner, Loop, LoopHandle};
use crate::error::INHERITED;
use crate::nesting::Fresh;
use crate::reactor::{REST, shorter};
use crate::ready::Runnable;
use crate::task::PromiseFuture;

thread_local! {
    /// Without a destructor, as a loop may run in that of another thread local. `Running` empties
    /// it.
    static RUNNING: RefCell<ManuallyDrop<Option<LoopHandle>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// The loop that runs on this thread: inside tasks and callbacks, the one that runs them.
///
/// In a forked child the parent's loop does not run, as in asyncio.
#[doc(alias = "try_current")]
pub fn get_running_loop() -> Option<LoopHandle> {
    let running = RUNNING.with(|running| (**running.borrow()).clone());
    running.filter(|handle| handle.inner.process.is_current())
}

/// Creates a loop, runs `main` on it, and closes it: asyncio's `run`.
///
/// After `main`, `run` cancels the tasks that are left and waits for executor work that has
/// begun. It drops work that is still queued because every thread is busy; the result of that work
/// is cancelled. asyncio runs the queue to its end, so unawaited work keeps a program alive.
///
/// # Ctrl-C
///
/// This holds if SIGINT has its default disposition when `run` begins. If the program handles or
/// ignores SIGINT, `run` leaves it alone. If the program installs a handler later, with
/// [`add_signal_handler`](LoopHandle::add_signal_handler) or sigaction(2), that handler takes over.
///
/// - The first Ctrl-C drops `main` and all tasks, and `run` fails with `Interrupted`. The loop does
///   this between two steps, so a `main` that never yields goes on.
/// - The second Ctrl-C ends the process, even if `main` never yields. The signal handler itself
///   restores the default disposition at the first one.
/// - If the first Ctrl-C comes after `main` has returned, it ends the wait for the executor. `run`
///   returns the output of `main`, and the executor's threads go on until the process ends. asyncio
///   raises `KeyboardInterrupt` there.
///
/// # Errors
///
/// What the system says where no loop can be made; `Interrupted` at Ctrl-C. What `main` returns
/// comes back inside `Ok`.
///
/// # Panics
///
/// If a loop is already running on this thread, if the loop is stopped before `main` is done, and
/// with what `main` panics with.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let answer = sendloop::run(async |event_loop| {
///     let half = event_loop.create_task(async { 21 });
///     2 * half.await.unwrap()
/// })?;
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<T>(main: impl AsyncFnOnce(LoopHandle) -> T) -> io::Result<T> {
    let event_loop = Loop::new()?;
    let mut interrupt = event_loop.interrupt()?;
    let output = event_loop.run_until_complete(async {
        let mut main = pin!(main(event_loop.handle()));
        poll_fn(|cx| {
            if let Poll::Ready(output) = main.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            poll_interrupt(&mut interrupt, cx).map(|()| Err(io::ErrorKind::Interrupted.into()))
        })
        .await
    });
    event_loop.inner.tasks.cancel_all();
    event_loop.inner.pool.close();
    event_loop.inner.pool.drop_queued();
    let mut ended = poll_fn(|cx| match poll_interrupt(&mut interrupt, cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => event_loop.inner.pool.poll_ended(cx),
    });
    // A `stop` that comes now has nothing to stop.
    while event_loop.try_run(&mut ended).is_none() {}
    output
}

/// Ready once, at the first Ctrl-C. Pending for ever if the program handles SIGINT itself.
fn poll_interrupt(interrupt: &mut Option<PromiseFuture<()>>, cx: &mut Context<'_>) -> Poll<()> {
    let Some(future) = interrupt else {
        return Poll::Pending;
    };
    let Poll::Ready(result) = Pin::new(future).poll(cx) else {
        return Poll::Pending;
    };
    *interrupt = None;
    match result {
        Ok(()) => Poll::Ready(()),
        // The program has added a handler of its own meanwhile.
        Err(_) => Poll::Pending,
    }
}

/// The time in which a loop is in one of its running methods.
struct Running<'a>(
    &'a Inner,
    #[expect(dead_code, reason = "its end is its use")] Fresh,
);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
        self.0.stopping.set(false);
        let handle = RUNNING.with(|running| running.borrow_mut().take());
        drop(handle);
    }
}

/// The place of the future that is run until it is complete; its end makes late wake-ups reach nobody.
struct Root<'a> {
    inner: &'a Inner,
    task: Runnable,
}

impl Drop for Root<'_> {
    fn drop(&mut self) {
        self.inner.tasks.remove_root(&self.task);
    }
}

impl Loop {
    /// Runs the loop until `future` is complete, and returns its output.
    ///
    /// The future may borrow what is around this call, and need not be `Send`. As in asyncio, what it has queued when it
    /// completes still runs; tasks that are not done stay, and go on when the loop runs again.
    ///
    /// # Panics
    ///
    /// If a loop is already running on this thread; in a forked child, if the loop is its parent's;
    /// if the loop is [stopped](LoopHandle::stop) before the future is complete;
    /// and with the future's own panic. The loop stays usable.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let words = vec!["borrowed", "not", "moved"];
    /// let count = event_loop.run_until_complete(async { words.len() });
    /// assert_eq!(count, words.len());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "block_on")]
    #[track_caller]
    pub fn run_until_complete<F: IntoFuture>(&self, future: F) -> F::Output {
        match self.try_run(future.into_future()) {
            Some(output) => output,
            None => panic!("the loop was stopped before the future was complete"),
        }
    }

    /// [`run_until_complete`](Loop::run_until_complete), but gives nothing where the loop was stopped before.
    #[track_caller]
    fn try_run<F: Future>(&self, future: F) -> Option<F::Output> {
        let running = self.enter();
        let inner = running.0;
        let root = Root {
            inner,
            task: inner.tasks.create_root(),
        };
        let mut future = pin!(future);
        let mut output = None;
        let mut step = |waker: &Waker| {
            // Complete since an earlier turn: what was queued then has had its turn now.
            if output.is_some() {
                return inner.stopping.set(true);
            }
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                output = Some(value);
                waker.wake_by_ref();
            }
        };
        inner.run_until_stopped(&mut step);
        drop(root);
        output
    }

    /// Runs the loop until it is [stopped](LoopHandle::stop). It may run again afterwards.
    ///
    /// # Panics
    ///
    /// If a loop is already running on this thread, and in a forked child, if the loop is its
    /// parent's.
    #[track_caller]
    pub fn run_forever(&self) {
        let running = self.enter();
        running.0.run_until_stopped(&mut |_| {});
    }

    /// Takes one turn: waits until there is something to do, at most `timeout`, and does it.
    ///
    /// This is for embedding the loop in another: poll this loop's descriptor ([`AsFd`](std::os::fd::AsFd)) for readability with
    /// [`next_timeout`](Loop::next_timeout) as the timeout, then call `run_once(Some(Duration::ZERO))`.
    ///
    /// # Errors
    ///
    /// What the poller says; an interrupted wait is no error. In a forked child it fails if the
    /// loop is its parent's.
    ///
    /// # Panics
    ///
    /// If a loop is already running on this thread.
    #[doc(alias = "tick")]
    #[track_caller]
    pub fn run_once(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.check_process()?;
        let running = self.enter();
        running.0.turn(Driver::Embedder(timeout), &mut |_| {})
    }

    /// How long from now until a turn is due for what the loop knows of: zero where something is queued, the time until the
    /// next timer, `None` where only an event can make one. To be asked right before waiting.
    pub fn next_timeout(&self) -> Option<Duration> {
        let own = shorter(self.inner.patience(), self.inner.reactor.patience());
        shorter(own, self.inner.pool.retry_timeout())
    }

    #[track_caller]
    fn enter(&self) -> Running<'_> {
        assert!(self.inner.process.is_current(), "{INHERITED}");
        let before = get_running_loop().is_some();
        assert!(!before, "a loop is already running on this thread");
        let handle = Some(self.handle());
        let inherited = RUNNING.with(|running| mem::replace(&mut **running.borrow_mut(), handle));
        drop(inherited);
        self.inner.running.set(true);
        Running(&self.inner, Fresh::enter())
    }
}

impl Inner {
    #[track_caller]
    fn run_until_stopped(&self, root: &mut dyn FnMut(&Waker)) {
        loop {
            if let Err(error) = self.turn(Driver::Loop, root) {
                assert!(self.process.is_current(), "{INHERITED}");
                // The poller fails only for want of memory. Timers and other threads must still be served, but not at full speed.
                log::error!("the poller failed: {error}");
                thread::sleep(REST);
            }
            if self.stopping.get() {
                break;
            }
        }
    }
}
