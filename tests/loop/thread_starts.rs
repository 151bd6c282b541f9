//! Executor work if the kernel refuses to start a thread.
//!
//! A limit on the address space leaves no room for a thread's stack; it binds root, too. It limits
//! the whole process, and the C library reuses the stacks of ended threads. So each test runs in a
//! new process.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::util::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sendloop::{Blocking, Loop, LoopClosedError, TaskError};

/// Runs the body of the test `name` in another process.
#[track_caller]
fn in_new_process(name: &str, body: fn()) {
    const INSIDE: &str = "SENDLOOP_THREAD_STARTS";
    // The guard starts a thread, so it comes before the limit.
    let _test = test();
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut command = this_program();
    let (_, module) = module_path!().split_once("::").expect("a module");
    command.args(["--exact", &format!("{module}::{name}"), "--nocapture"]);
    // A malloc arena per thread would change the size of the address space from moment to moment.
    command.env(INSIDE, "1").env("MALLOC_ARENA_MAX", "1");
    let output = command.output().expect("a child process");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A limit on the address space under which no thread starts. Dropping it lifts the limit.
struct NoThreads(Rlimit);

impl NoThreads {
    fn begin() -> NoThreads {
        let before = getrlimit(Resource::As);
        let status = fs::read_to_string("/proc/self/status").expect("procfs");
        let size = status.lines().find(|line| line.starts_with("VmSize:"));
        let size = size.and_then(|line| line.split_whitespace().nth(1));
        let size: u64 = size.and_then(|text| text.parse().ok()).expect("a size");
        // A thread's stack is 2 MiB.
        let current = Some((size << 10) + (1 << 20));
        setrlimit(Resource::As, Rlimit { current, ..before }).expect("lower");
        NoThreads(before)
    }
}

impl Drop for NoThreads {
    fn drop(&mut self) {
        setrlimit(Resource::As, self.0).expect("as before");
    }
}

/// Work that ends when the sender is used or dropped.
fn busy(event_loop: &Loop) -> (Sender<()>, Blocking<()>) {
    let (release, released) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let work = event_loop.run_in_executor(move || {
        begun.send(()).expect("the test");
        let _ = released.recv();
    });
    begins.recv().expect("a message of the start");
    (release, work)
}

fn signal_from_executor(event_loop: &Loop) -> Receiver<()> {
    let (sender, received) = mpsc::channel();
    drop(event_loop.run_in_executor(move || sender.send(())));
    received
}

/// Runs the loop until `received` has something.
#[track_caller]
fn run_until_received(event_loop: &Loop, received: &Receiver<()>) {
    run_until(event_loop, || received.try_recv().is_ok());
}

#[track_caller]
fn assert_names_the_start(error: &TaskError) {
    assert!(!error.is_cancelled() && !error.is_panic(), "{error:?}");
    let source = error.source().expect("the system's error");
    let source: &io::Error = source.downcast_ref().expect("an error of I/O");
    assert_eq!(source.raw_os_error(), Some(libc::EAGAIN));
    assert!(error.to_string().contains("thread"), "{error}");
    assert!(error.to_string().contains(&source.to_string()), "{error}");
}

#[test]
fn work_without_any_thread_fails_with_the_os_error() {
    in_new_process("work_without_any_thread_fails_with_the_os_error", || {
        let event_loop = new_loop();
        let none = NoThreads::begin();
        let work = event_loop.run_in_executor(|| 1);
        let error = event_loop.run_until_complete(work).expect_err("no thread");
        assert_names_the_start(&error);
        drop(none);
        let work = event_loop.run_in_executor(|| 2);
        assert_eq!(event_loop.run_until_complete(work).expect("a thread"), 2);
    });
}

#[track_caller]
fn assert_is_of_the_start(error: io::Error) {
    assert_eq!(error.kind(), io::ErrorKind::Other);
    let inside: TaskError = error.downcast().expect("a TaskError");
    assert_names_the_start(&inside);
}

#[test]
fn lookups_without_any_thread_fail_with_the_os_error() {
    in_new_process("lookups_without_any_thread_fail_with_the_os_error", || {
        let event_loop = new_loop();
        let none = NoThreads::begin();
        let found = event_loop.run_until_complete(event_loop.getaddrinfo("127.0.0.1", 80));
        assert_is_of_the_start(found.expect_err("no thread"));
        let addr = "127.0.0.1:80".parse().expect("an address");
        let named = event_loop.run_until_complete(event_loop.getnameinfo(addr));
        assert_is_of_the_start(named.expect_err("no thread"));
        drop(none);
    });
}

#[test]
fn loop_starts_a_refused_thread() {
    in_new_process("loop_starts_a_refused_thread", || {
        let event_loop = new_loop();
        let (release, first) = busy(&event_loop);
        let none = NoThreads::begin();
        let second = signal_from_executor(&event_loop);
        let some = Duration::from_millis(30);
        event_loop.run_until_complete(event_loop.sleep(some));
        second.try_recv().expect_err("the only thread is busy");
        drop(none);
        // The test submits no more work, and the first job does not end.
        run_until_received(&event_loop, &second);
        release.send(()).expect("a waiting receiver");
        event_loop.run_until_complete(first).expect("done");
        assert_eq!(event_loop.next_timeout(), None);
    });
}

#[test]
fn next_timeout_includes_the_retry_of_a_refused_thread() {
    in_new_process("next_timeout_includes_the_retry_of_a_refused_thread", || {
        let event_loop = new_loop();
        let (_go, _first) = busy(&event_loop);
        assert_eq!(event_loop.next_timeout(), None);
        let none = NoThreads::begin();
        let second = signal_from_executor(&event_loop);
        assert!(event_loop.next_timeout().is_some());
        event_loop.run_once(event_loop.next_timeout()).expect("an iteration");
        assert!(event_loop.next_timeout().is_some());
        drop(none);
        run_until_received(&event_loop, &second);
        assert_eq!(event_loop.next_timeout(), None);
    });
}

#[test]
fn worker_starts_missing_threads() {
    in_new_process("worker_starts_missing_threads", || {
        let event_loop = new_loop();
        let (release, first) = busy(&event_loop);
        let none = NoThreads::begin();
        let (sender, received) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        // The two jobs wait for each other, so one thread is not enough. The loop does not run.
        drop(event_loop.run_in_executor(move || sender.send(()).map(|()| answered.recv())));
        let (met, meets) = mpsc::channel();
        drop(event_loop.run_in_executor(move || {
            let came = received.recv();
            let _ = answer.send(());
            met.send(came.is_ok())
        }));
        drop(none);
        release.send(()).expect("a waiting receiver");
        assert_eq!(meets.recv(), Ok(true));
        event_loop.run_until_complete(first).expect("done");
    });
}

#[test]
fn idle_worker_takes_work_of_a_refused_thread() {
    in_new_process("idle_worker_takes_work_of_a_refused_thread", || {
        let event_loop = new_loop();
        let (release, first) = busy(&event_loop);
        let none = NoThreads::begin();
        let second = event_loop.run_in_executor(|| 2);
        release.send(()).expect("a waiting receiver");
        event_loop.run_until_complete(first).expect("done");
        assert_eq!(event_loop.run_until_complete(second).expect("done"), 2);
        event_loop.run_until_complete(event_loop.shutdown_default_executor());
        drop(none);
    });
}

#[test]
fn lookup_futures_are_static() {
    let _test = test();
    let event_loop = new_loop();
    let found = event_loop.create_task(event_loop.getaddrinfo(&String::from("127.0.0.1"), 80));
    let addr = "127.0.0.1:80".parse().expect("an address");
    let named = event_loop.create_task(event_loop.getnameinfo(addr));
    let found = event_loop.run_until_complete(found).expect("no panic");
    assert_eq!(found.expect("an address"), [addr]);
    let named = event_loop.run_until_complete(named).expect("no panic");
    assert!(!named.expect("a name").0.is_empty());
}

#[test]
fn host_name_with_a_zero_byte_is_invalid_input() {
    let _test = test();
    let event_loop = new_loop();
    let found = event_loop.run_until_complete(event_loop.getaddrinfo("local\0host", 80));
    let error = found.expect_err("no such name");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("host name"), "{error}");
}

#[test]
fn lookup_error_tells_a_closed_loop_from_a_shut_down_executor() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
    let found = event_loop.run_until_complete(event_loop.getaddrinfo("127.0.0.1", 80));
    let error = found.expect_err("the executor is shut down");
    assert_eq!(error.to_string(), "cancelled: the executor is shut down");
    let inside: TaskError = error.downcast().expect("a TaskError");
    assert!(inside.is_cancelled());
    drop(event_loop);
    let other = new_loop();
    let found = other.run_until_complete(handle.getaddrinfo("127.0.0.1", 80));
    let error = found.expect_err("the loop is closed");
    let inside: LoopClosedError = error.downcast().expect("a LoopClosedError");
    assert_eq!(inside, LoopClosedError);
}
