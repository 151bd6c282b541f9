//! The scene of a step: a loop, a file, and the list of errors that its operations returned.

use std::cell::RefCell;
use std::env;
use std::error::Error;
use std::fs::File;
use std::future::pending;
use std::io::{self, BufRead, Seek, Write};
use std::os::fd::AsFd;
use std::pin::pin;
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, openat2};
use rustix::process::{PTracer, set_ptracer};
use rustix::time::{ClockId, clock_gettime};
use sendloop::{Loop, SendfileNotAvailableError, Socket, TaskError};

use super::live::live;
use crate::util::{ODD, content, test};

/// The number of retries of an operation.
///
/// At most every third call fails, so more retries mean that one call always fails.
const MAX_RETRIES: usize = 60;

/// Opens a file without a call of openat, which one step refuses.
pub(super) fn open(path: &str) -> File {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::empty());
    File::from(opened.expect("procfs"))
}

/// Returns the number of open descriptors.
fn descriptors() -> usize {
    let entries = Dir::new(open("/proc/self/fd")).expect("a folder");
    entries.count()
}

pub(super) struct Scene {
    pub(super) event_loop: Loop,
    pub(super) file: File,
    met: RefCell<Vec<String>>,
}

/// Plays `step`, and again under strace if the driver asks for it.
pub(super) fn play(step: fn(&Scene)) {
    let _test = test();
    // The first run creates what lives for the whole process, such as the buffers of the standard
    // library. It has its own thread, because a thread remembers its probes of a mount.
    let first = move || {
        let first = Scene::new();
        step(&first);
        assert_eq!(*first.met.borrow(), [""; 0], "errors without a fault");
        first.kept()
    };
    let kept = thread::scope(|scope| scope.spawn(first).join().expect("no panic"));
    if env::var_os("SENDLOOP_FAULTS").is_some() {
        play_under_strace(step, kept);
    }
}

/// Plays the step under strace, and checks that the loop has the `kept` descriptors and tasks.
fn play_under_strace(step: fn(&Scene), kept: (usize, usize)) {
    // An error means that the kernel has no such restriction.
    let _ = set_ptracer(PTracer::Any);
    let mut input = io::stdin().lock();
    let before = Held::now();
    let scene = Scene::new();
    // The harness has begun the line.
    println!("\nready");
    input.read_line(&mut String::new()).expect("the driver's word");
    let cpu = process_cpu_time();
    step(&scene);
    let cpu = process_cpu_time() - cpu;
    let met = scene.met.take();
    assert_eq!(scene.kept(), kept, "descriptors and tasks in the loop");
    drop(scene);
    for error in met {
        println!("met {error}");
    }
    println!("cpu {}", cpu.as_millis());
    let left = Held::settled(&before);
    println!("memory {}", left.memory.saturating_sub(before.memory));
    println!("descriptors {}", left.descriptors.saturating_sub(before.descriptors));
    // The harness's own end is not part of the step.
    exit(0);
}

/// The resources that the process holds.
struct Held {
    memory: usize,
    descriptors: usize,
}

impl Held {
    fn now() -> Held {
        Held { descriptors: descriptors(), memory: live() }
    }

    /// Waits until the process holds no more than `before`, and returns its resources.
    ///
    /// After a while it gives the threads no more time.
    fn settled(before: &Held) -> Held {
        let start = Instant::now();
        loop {
            let now = Held::now();
            let back = now.memory <= before.memory && now.descriptors <= before.descriptors;
            if back || start.elapsed() > Duration::from_millis(200) {
                return now;
            }
            thread::yield_now();
        }
    }
}

fn process_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the name of an error that `faults.py` expects.
fn name(error: &io::Error) -> String {
    let inside = error.get_ref().and_then(|inside| {
        let inside: &(dyn Error + 'static) = inside;
        inside.downcast_ref::<SendfileNotAvailableError>()
    });
    // A `TaskError` has its cause as its source.
    let source = error.get_ref().filter(|inside| inside.is::<TaskError>());
    let source = source.and_then(|inside| inside.source()?.downcast_ref::<io::Error>());
    match (inside.map(SendfileNotAvailableError::errno), source.unwrap_or(error).raw_os_error()) {
        (Some(errno), _) => format!("unavailable {}", errno.unwrap_or(0)),
        (None, Some(errno)) => format!("errno {errno}"),
        (None, None) => format!("{:?}", error.kind()),
    }
}

impl Scene {
    fn new() -> Scene {
        let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
        file.write_all(&content(0, ODD)).expect("room");
        file.rewind().expect("a position");
        // One thread, so that its calls can be counted.
        let event_loop = Loop::builder().executor_threads(1).build();
        Scene { event_loop: event_loop.expect("a loop"), file, met: RefCell::default() }
    }

    /// Returns the numbers of descriptors and tasks of the loop.
    fn kept(&self) -> (usize, usize) {
        let stats = self.event_loop.stats();
        (stats.registered, stats.tasks)
    }

    /// Records an error.
    #[track_caller]
    pub(super) fn met(&self, what: impl Into<String>) {
        self.met.borrow_mut().push(what.into());
        assert!(self.met.borrow().len() < MAX_RETRIES, "the operation failed {MAX_RETRIES} times");
    }

    pub(super) fn met_so_far(&self) -> usize {
        self.met.borrow().len()
    }

    /// Calls `make` until it succeeds, and notes the errors.
    pub(super) fn until_ok<T>(&self, make: impl Fn() -> io::Result<T>) -> T {
        loop {
            match make() {
                Ok(value) => return value,
                Err(error) => self.met_error(&error),
            }
        }
    }

    #[track_caller]
    pub(super) fn met_error(&self, error: &io::Error) {
        self.met(name(error));
    }

    /// Repeats `attempt` until it succeeds.
    pub(super) fn insist<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> T {
        loop {
            match attempt() {
                Ok(output) => return output,
                Err(error) => self.met_error(&error),
            }
        }
    }

    /// Repeats an operation on `sock` until it succeeds.
    pub(super) async fn insist_on<S: AsFd, T>(
        &self,
        sock: &Socket<S>,
        mut attempt: impl AsyncFnMut() -> io::Result<T>,
    ) -> T {
        loop {
            match self.with_owed_edges(sock, attempt()).await {
                Ok(output) => return output,
                Err(error) => self.met_error(&error),
            }
        }
    }

    /// Runs an operation on `sock`, and arms the socket again from time to time.
    ///
    /// After an EAGAIN the kernel owes an edge. It does not know of an EAGAIN by strace.
    pub(super) async fn with_owed_edges<S: AsFd, T>(
        &self,
        sock: &Socket<S>,
        operation: impl Future<Output = T>,
    ) -> T {
        let edges = async {
            if env::var_os("SENDLOOP_FAULTS_OWED").is_none() {
                pending::<()>().await;
            }
            loop {
                self.event_loop.sleep(Duration::from_millis(5)).await;
                let armed = self.event_loop.add_reader(sock, || ());
                armed.expect("nothing else fails in these runs");
                self.event_loop.remove_reader(sock);
            }
        };
        match select(pin!(operation), pin!(edges)).await {
            Either::Left((output, _)) => output,
            Either::Right((never, _)) => never,
        }
    }
}
