//! The loop itself: what it is made of, who owns it, and who may use it.
//!
//! [`Loop`] is the owner: it runs the loop, and its end closes it. [`LoopHandle`] is everybody else: tasks and callbacks keep
//! clones of it. As only the owner has the methods that run the loop, a task cannot run the loop that runs it. And as the owner
//! is one value, its end is one moment, at which everything that holds handles of the loop, in circles or not, is dropped.

#[cfg(all(test, sendloop_loom))]
mod interleavings;

mod builder;
mod debug;
mod embedding;
mod handles;
mod readiness;
mod run;
mod schedule;
mod signals;
mod sleep;
mod stats;
mod turn;
mod virtual_time;
mod watch;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

pub use builder::Builder;
pub use handles::{Handle, TimerHandle};
pub use readiness::Readiness;
pub use run::{get_running_loop, run};
pub use signals::Signal;
pub use sleep::Sleep;
pub(crate) use stats::Fallback;
pub use stats::{Fallbacks, Stats};

use crate::clock::Clock;
use crate::error::{LoopClosedError, inherited};
use crate::pool::Pool;
use crate::reactor::Reactor;
use crate::ready::Ready;
use crate::remote::{Door, Remote};
use crate::sys::fork::{Process, drop_inherited_poller};
use crate::task::Tasks;
use crate::timers::Timers;
use debug::Debug;
use embedding::Embedding;
use signals::Signals;
use stats::Counters;
use virtual_time::{NEVER, Standstill};
use watch::Watches;

/// How many operations a task may finish in one step before it must let others run: one that is always ready at once would
/// otherwise keep the loop for itself.
const BUDGET: u32 = 128;

/// How many bytes that the kernel moves cost as much as one more operation: a budget is 2 MiB.
const BYTES_PER_UNIT: u64 = 16 << 10;

/// The most bytes that one system call moves.
pub(crate) const MAX_PER_CALL: usize = 1 << 20;

/// The parts of a loop, shared by its handles.
pub(crate) struct Inner {
    ready: Rc<Ready>,
    timers: Timers,
    tasks: Rc<Tasks>,
    reactor: Rc<Reactor>,
    pool: Pool,
    door: Arc<Door>,
    clock: Clock,
    /// Makes the loop run an iteration, as a message of another thread does.
    watcher: Waker,
    standstill: Standstill,
    embedding: Embedding,
    /// The process that made the loop, the only one that may run it.
    process: Process,
    running: Cell<bool>,
    stopping: Cell<bool>,
    closed: Cell<bool>,
    budget: Cell<u32>,
    /// The budget that follows in the same step when this one is used up.
    next_budget: Cell<u32>,
    /// How often a step had used its share up.
    yields: Cell<u64>,
    counters: Counters,
    debug: Debug,
    watches: Watches,
    signals: Rc<Signals>,
}

impl Inner {
    /// Gives the next callback or step of a task its budget.
    fn renew_budget(&self) {
        self.budget.set(BUDGET);
        self.next_budget.set(BUDGET / 4);
    }

    /// Fails in a forked child.
    #[inline]
    fn check_process(&self) -> io::Result<()> {
        match self.process.is_current() {
            true => Ok(()),
            false => Err(inherited()),
        }
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        // New work is refused from here on, so that destructors which ask for more find an end.
        self.pool.close();
        let messages = self.door.close();
        // In a forked child a thread of the parent may have held the clock's lock.
        if self.process.is_current() {
            self.clock.unwatch(&self.watcher);
        }
        self.tasks.close();
        self.timers.close(self.ready.exceptions());
        self.ready.close();
        let exceptions = self.ready.exceptions();
        for message in messages {
            let dropped = || drop(message);
            exceptions.contain("panic while another thread's call was dropped", dropped);
        }
        self.watches.close(exceptions);
        self.signals.close(exceptions);
        self.reactor.close();
        self.embedding.close();
        exceptions.close();
    }
}

/// An event loop: the owner, which runs it, and whose end closes it.
///
/// It dereferences to [`LoopHandle`], which has the methods that make work for the loop. A loop is of one thread: neither it
/// nor its handle is `Send`; other threads reach it by [`remote`](LoopHandle::remote).
///
/// Dropping the loop drops every task, callback and timer, also where they hold handles of this loop. On a closed loop
/// nothing panics and nothing waits for ever: `call_soon`, `call_later` and `create_task` drop what they are given, operations
/// that would have to wait fail with [`LoopClosedError`]. Threads of the executor are not waited for.
///
/// # Forked child
///
/// A process that is forked inherits the loops of its parent. In the child such a loop is closed:
///
/// - `run_until_complete` and `run_forever` panic, and [`run_once`](Loop::run_once) fails. So does
///   the run in whose callback or task the process was forked, after that callback or step: the
///   rest of the iteration is the parent's.
/// - Dropping the loop, a socket, a task or a callback runs its destructor and closes the child's
///   descriptors. The parent's loop keeps its registrations.
/// - Wakers, handles and [`Remote`]s do not reach the parent's loop. Executor work is cancelled.
/// - A signal that only the parent's loop handles does in the child what it did before, if that was
///   its default.
///
/// A new loop in the child works, and may use the sockets that the child has inherited. Nothing in
/// the child waits for a lock or a thread of the parent.
///
/// On Linux since 4.14 a fork by the raw system call is noticed too. Elsewhere only `fork` of the C
/// library is.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sendloop::Loop;
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::new()?;
/// let answer = event_loop.run_until_complete(async {
///     event_loop.sleep(Duration::from_millis(1)).await;
///     42
/// });
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
///
/// Only the owner can run a loop; a task holds a handle, and with that this does not compile:
///
/// ```compile_fail
/// # let event_loop = sendloop::Loop::new().unwrap();
/// let handle = event_loop.handle();
/// event_loop.create_task(async move { handle.run_until_complete(async {}) });
/// ```
#[doc(alias("Runtime", "LocalExecutor", "LocalSet"))]
pub struct Loop {
    handle: LoopHandle,
    /// The poller's descriptor, for [`AsFd`]. There until the loop is dropped.
    descriptor: Option<OwnedFd>,
}

impl Loop {
    /// Creates a loop with the default settings.
    ///
    /// This also sets SIGPIPE to ignored if it is at its default, for the whole process:
    /// sendfile(2) to a peer that went away would kill it. Rust's own runtime does the same before
    /// `main`. Nothing sets it back. If the program sets SIGPIPE to its default later, a sendfile
    /// to such a peer kills the process, until another loop is created.
    ///
    /// # Errors
    ///
    /// Any OS error, as when no descriptor is left for a poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// assert_eq!(event_loop.run_until_complete(async { 42 }), 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> io::Result<Loop> {
        Loop::builder().build()
    }

    /// Returns a builder for a loop with other settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::builder().executor_threads(4).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns a handle of this loop, for tasks and callbacks to keep.
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
    pub fn handle(&self) -> LoopHandle {
        self.handle.clone()
    }

    /// Closes the loop, as dropping it does.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.close();
    /// assert!(handle.is_closed());
    /// assert!(handle.call_soon(|| {}).cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(self) {}
}

impl Deref for Loop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.handle.inner.close();
        if !self.handle.inner.process.is_current() {
            drop_inherited_poller(self.descriptor.take());
        }
    }
}

/// A descriptor that is readable when an iteration is due; for [embedding](Loop::run_once).
impl AsFd for Loop {
    /// Returns the loop's descriptor, for another loop to poll for readability.
    ///
    /// From the first call on, the descriptor is readable while
    ///
    /// - an event waits, or a call or a wake-up of another thread;
    /// - work is queued, also if that happens between two iterations: a task that was created,
    ///   woken or cancelled, a callback, a [`stop`](LoopHandle::stop);
    /// - a timer is due, or a [manual clock](crate::Clock::manual) was advanced;
    /// - a [paused clock](crate::Clock::paused) would jump.
    ///
    /// An iteration that does all of this makes it unreadable again. The other loop needs no
    /// timeout of its own. With a paused clock call `run_once(event_loop.next_timeout())`, which
    /// jumps.
    ///
    /// The first call creates a timerfd. If that fails, the loop logs a warning, and retries in
    /// each iteration. Until it succeeds, the descriptor is readable while the loop has timers.
    ///
    /// # Platform
    ///
    /// The timer needs Linux. Elsewhere a timer that falls due does not make the descriptor
    /// readable: wait at most [`next_timeout`](Loop::next_timeout), and ask for it right before
    /// each wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustix::event::{PollFd, PollFlags, poll};
    /// use sendloop::Loop;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let task = event_loop.create_task(event_loop.sleep(Duration::from_millis(5)));
    /// while !task.done() {
    ///     # #[cfg(target_os = "linux")]
    ///     poll(&mut [PollFd::new(&event_loop, PollFlags::IN)], None)?;
    ///     event_loop.run_once(Some(Duration::ZERO))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.embed();
        let descriptor = self.descriptor.as_ref();
        descriptor.expect("there until it is dropped").as_fd()
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loop").field(&self.handle).finish()
    }
}

/// The use of a [`Loop`]: everything but running it. `Clone`, of one thread, and usable after the loop is closed, when it does
/// nothing.
#[derive(Clone)]
pub struct LoopHandle {
    inner: Rc<Inner>,
}

impl LoopHandle {
    /// Returns whether the loop is in one of its running methods.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// assert!(!event_loop.is_running());
    /// assert!(event_loop.run_until_complete(async { event_loop.is_running() }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_running(&self) -> bool {
        self.inner.running.get() && self.inner.process.is_current()
    }

    /// Returns whether the loop is closed, by [`Loop::close`] or because it was dropped.
    ///
    /// A loop that a forked child has inherited is closed there.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// assert!(!handle.is_closed());
    /// drop(event_loop);
    /// assert!(handle.is_closed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_closed(&self) -> bool {
        self.inner.closed.get() || !self.inner.process.is_current()
    }

    /// The reason for which a loop that [is closed](LoopHandle::is_closed) takes no work.
    pub(crate) fn closed_error(&self) -> io::Error {
        match self.inner.process.is_current() {
            true => LoopClosedError.into(),
            false => inherited(),
        }
    }

    /// Returns the present time of the loop's [clock](crate::Clock).
    ///
    /// asyncio counts seconds from an arbitrary start; here it is an `Instant`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let start = event_loop.time();
    /// event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(1)));
    /// assert!(event_loop.time() - start >= Duration::from_millis(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn time(&self) -> Instant {
        self.inner.clock.now()
    }

    /// Returns a handle of this loop for other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let remote = event_loop.remote();
    /// let thread = std::thread::spawn(move || remote.stop());
    /// event_loop.run_forever();
    /// thread.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn remote(&self) -> Remote {
        Remote::new(self.inner.door.clone())
    }

    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.inner.reactor
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Asked before an operation. If the running step has used its budget up, this wakes the task and is pending.
    ///
    /// That one operation pays for all: the next ones get a smaller budget, a quarter of the last. So no operation is passed
    /// over for ever if a task polls many of them, though together they move little more than one budget. And if the step is
    /// not one of this loop's, nobody else would renew the budget.
    #[inline]
    pub(crate) fn poll_budget(&self, cx: &Context<'_>) -> Poll<()> {
        if self.inner.budget.get() > 0 {
            return Poll::Ready(());
        }
        self.renew_budget(cx);
        Poll::Pending
    }

    #[cold]
    fn renew_budget(&self, cx: &Context<'_>) {
        let next = self.inner.next_budget.get().max(1);
        self.inner.budget.set(next);
        self.inner.next_budget.set(next / 4);
        self.inner.yields.set(self.inner.yields.get() + 1);
        cx.waker().wake_by_ref();
    }

    /// Counts an operation that was ready, and moved so many bytes. One that waits lets others run as it is.
    #[inline]
    pub(crate) fn spend_budget(&self, bytes: u64) {
        let cost = 1 + (bytes / BYTES_PER_UNIT).min(u64::from(BUDGET)) as u32;
        let left = self.inner.budget.get().saturating_sub(cost);
        self.inner.budget.set(left);
    }

    /// The most bytes that the next call may send: what is left of the budget, and [`MAX_PER_CALL`].
    pub(crate) fn sendable(&self) -> usize {
        let left = u64::from(self.inner.budget.get()) * BYTES_PER_UNIT;
        left.min(MAX_PER_CALL as u64) as usize
    }

    /// `after` from now; a time that no `Instant` can say is one that never comes.
    pub(crate) fn deadline(&self, after: Duration) -> Instant {
        let now = self.time();
        now.checked_add(after).unwrap_or_else(|| now + NEVER * 10)
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .field("tasks", &self.inner.tasks.len())
            .finish()
    }
}
