//! The names of [`sync`](super) in a model, and what a model needs beside them.
//!
//! A model runs the real code: loops with their pollers, tasks, executors. Only the waiting is modelled: a lock, a condition,
//! an atomic, and a poller in which nothing but other threads' notifications comes.

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

/// What a loop and its tasks need; loom's own is smaller.
const STACK: usize = 1 << 18;

macro_rules! shared_static {
    ($(#[$doc:meta])* static $name:ident: $of:ty = $value:expr;) => {
        loom::lazy_static! {
            $(#[$doc])*
            static ref $name: $of = $value;
        }
    };
}
pub(crate) use shared_static;

/// Loom's takes no `const`.
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
    /// How many threads still start, and how many are refused then. All threads of a model run on one thread of the system.
    static STARTS: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
    /// The same of what wakes a poller.
    static WAKES: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
}

/// Refuses `refused` threads after the next `started` ones.
pub(crate) fn refuse_threads(started: usize, refused: usize) {
    STARTS.set((started, refused));
}

/// Fails `failed` wakes of a poller after the next `heard` ones.
pub(crate) fn fail_wakes(heard: usize, failed: usize) {
    WAKES.set((heard, failed));
}

fn next(plan: &Cell<(usize, usize)>) -> io::Result<()> {
    match plan.get() {
        (0, 0) => Ok(()),
        (0, refused) => {
            plan.set((0, refused - 1));
            Err(io::Error::from_raw_os_error(libc::EAGAIN))
        }
        (good, refused) => {
            plan.set((good - 1, refused));
            Ok(())
        }
    }
}

pub(crate) fn start_thread(name: &str, life: impl FnOnce() + Send + 'static) -> io::Result<()> {
    STARTS.with(next)?;
    spawn(name, life).map(drop)
}

fn spawn<T: Send + 'static>(
    name: &str,
    life: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.stack_size(STACK).spawn(life)
}

/// A thread of the model's own.
pub(crate) fn thread<T: Send + 'static>(
    life: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    spawn("model", life).expect("a thread")
}

/// Runs `case` for every order in which its threads can take their steps; with `preemptions`, for those orders in which
/// threads lose the processor at most so often before they wait.
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
    println!("{runs:?} orders");
}

shared_static! {
    /// Whether the poller was woken: a model has one loop at a time.
    static POLLER: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
}

/// Wakes a loop that waits in its poller.
pub(crate) struct PollWaker(mio::Waker);

impl PollWaker {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<PollWaker> {
        mio::Waker::new(registry, token).map(PollWaker)
    }

    pub(crate) fn wake(&self) -> io::Result<()> {
        WAKES.with(next)?;
        let (woken, condition) = &*POLLER;
        let mut woken = woken.lock().expect("whole");
        self.0.wake()?;
        *woken = true;
        condition.notify_all();
        Ok(())
    }
}

/// Waits in the poller. Time does not pass in a model: only a timeout of zero ends the wait.
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

/// A flag that a thread waits for, as a waker sets it.
#[derive(Default)]
pub(crate) struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
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

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}

/// What a loop is for one future. A lost wake-up leaves the model without a thread that can go on, which fails it.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(signal.clone());
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => signal.wait(),
        }
    }
}
