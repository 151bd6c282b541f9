//! Loom's versions of the names in [`sync`](super), and helpers for models.
//!
//! A model runs the real code: loops with their pollers, tasks and executors. Only locks,
//! conditions, atomics and the poller's wait are modelled. The poller's only event is another
//! thread's notification.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use loom::model::Builder;
use loom::thread;
use mio::{Events, Poll, Registry, Token};

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, RwLock};

/// The stack size of a thread. A loop needs more than loom's default.
const STACK_SIZE: usize = 1 << 18;

macro_rules! shared_static {
    ($(#[$doc:meta])* static $name:ident: $of:ty = $value:expr;) => {
        loom::lazy_static! {
            $(#[$doc])*
            static ref $name: $of = $value;
        }
    };
}
pub(crate) use shared_static;

/// Accepts `const`, which loom's macro does not.
macro_rules! model_local {
    ($(#[$doc:meta])* static $name:ident: $of:ty = const { $value:expr };) => {
        loom::thread_local! {
            $(#[$doc])*
            static $name: $of = $value;
        }
    };
}
pub(crate) use model_local as thread_local;

std::thread_local! {
    /// The number of thread starts that succeed, and of those after them that fail.
    ///
    /// All threads of a model run on one system thread.
    static STARTS: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
    /// The same for wakes of a poller.
    static WAKES: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
}

/// Lets `started` threads start, and refuses the next `refused` ones.
pub(crate) fn refuse_threads(started: usize, refused: usize) {
    STARTS.set((started, refused));
}

/// Lets `succeeded` wakes of a poller succeed, and fails the next `failed` ones.
pub(crate) fn fail_wakes(succeeded: usize, failed: usize) {
    WAKES.set((succeeded, failed));
}

/// Counts one attempt, and fails if it is one of those that must fail.
fn attempt(left: &Cell<(usize, usize)>) -> io::Result<()> {
    match left.get() {
        (0, 0) => Ok(()),
        (0, failures) => {
            left.set((0, failures - 1));
            Err(io::Error::from_raw_os_error(libc::EAGAIN))
        }
        (successes, failures) => {
            left.set((successes - 1, failures));
            Ok(())
        }
    }
}

pub(crate) fn start_thread(main: impl FnOnce() + Send + 'static) -> io::Result<()> {
    STARTS.with(attempt)?;
    spawn("sendloop-worker", main).map(drop)
}

fn spawn<T: Send + 'static>(
    name: &str,
    main: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.stack_size(STACK_SIZE).spawn(main)
}

/// Starts a thread of the model.
pub(crate) fn thread<T: Send + 'static>(
    main: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    spawn("model", main).expect("a thread")
}

/// Runs `case` once for every interleaving of its threads.
///
/// `preemptions` limits how often the model interrupts a thread that could go on.
pub(crate) fn explore(preemptions: Option<usize>, case: fn()) {
    let mut builder = Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = runs.clone();
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        STARTS.set((usize::MAX, 0));
        WAKES.set((usize::MAX, 0));
        thread(case).join().expect("it ends");
    });
    println!("{runs:?} interleavings");
}

shared_static! {
    /// True if the poller was woken. A model has one loop at a time.
    static POLLER: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
}

/// Wakes a loop that waits in its poller.
pub(crate) struct PollWaker(mio::Waker);

impl PollWaker {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<PollWaker> {
        mio::Waker::new(registry, token).map(PollWaker)
    }

    pub(crate) fn wake(&self) -> io::Result<()> {
        WAKES.with(attempt)?;
        let (woken, condition) = &*POLLER;
        let mut woken = woken.lock().expect("whole");
        self.0.wake()?;
        *woken = true;
        condition.notify_all();
        Ok(())
    }
}

/// Waits in the poller. No time passes in a model, so only a timeout of zero ends the wait.
pub(crate) fn poll(
    poll: &mut Poll,
    events: &mut Events,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let (woken, condition) = &*POLLER;
    let mut woken = woken.lock().expect("whole");
    while !*woken && timeout != Some(Duration::ZERO) {
        woken = condition.wait(woken).expect("whole");
    }
    *woken = false;
    poll.poll(events, Some(Duration::ZERO))
}

/// A flag that a waker sets and a thread waits for.
#[derive(Default)]
pub(crate) struct Flag {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    pub(crate) fn set(&self) {
        *self.set.lock().expect("whole") = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self) {
        let mut set = self.set.lock().expect("whole");
        while !*set {
            set = self.changed.wait(set).expect("whole");
        }
        *set = false;
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}

/// Polls a future until it is ready. If a wake-up is lost, all threads wait, which fails the model.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => flag.wait(),
        }
    }
}
