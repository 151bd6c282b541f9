//! `Debug` output of values, messages of errors, and polls of completed futures.

use std::fmt::{self, Write};
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::util::test;
use sendloop::{Clock, Loop, LoopClosedError, Socket, TaskError, TimeoutError};

#[track_caller]
fn assert_shows(value: &dyn std::fmt::Debug, parts: &[&str]) {
    let shown = format!("{value:?}");
    for part in parts {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
}

#[test]
fn debug_output_shows_type_and_state() {
    let _test = test();
    let event_loop = Loop::new().expect("a loop");
    assert_shows(&event_loop, &["Loop(", "running: false", "tasks: 0"]);
    assert_shows(&event_loop.remote(), &["Remote", "closed: false"]);
    assert_shows(&Clock::real(), &["Clock::real"]);
    assert_shows(&Clock::manual(), &["Clock::manual"]);
    let soon = event_loop.call_soon(|| {});
    soon.cancel();
    assert_shows(&soon, &["Handle", "debug_output.rs", "cancelled: true"]);
    let later = event_loop.call_later(Duration::from_secs(9), || {});
    assert_shows(&later, &["TimerHandle", "debug_output.rs", "cancelled: false"]);
    let task = event_loop.create_task(async {});
    assert_shows(&task, &["Task", "done: false", "cancelled: false"]);
    let (promise, promised) = event_loop.create_future::<()>();
    assert_shows(&promise, &["Promise", "cancelled: false"]);
    assert_shows(&promised, &["PromiseFuture", "done: false"]);
    assert_shows(&event_loop.sleep(Duration::ZERO), &["yields"]);
    assert_shows(&event_loop.sleep(Duration::from_secs(9)), &["not begun"]);
    let blocking = event_loop.run_in_executor(|| ());
    assert_shows(&blocking, &["Blocking", "done"]);
    event_loop.run_until_complete(blocking).expect("a result");
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
}

#[test]
fn debug_output_of_sockets_and_transfers_names_descriptors() {
    let _test = test();
    let event_loop = Loop::new().expect("a loop");
    let (near, far) = Socket::pair().expect("a pair");
    let file = File::open("Cargo.toml").expect("a file");
    assert_shows(&near, &["Socket", "in_poller: false"]);
    let sending = event_loop.sock_sendfile(&near, &file);
    assert_shows(&sending, &["SendFile", "Cargo.toml", "position: None"]);
    let future = sending.into_future();
    assert_shows(&future, &["SendFileFuture", "Cargo.toml", "position: None"]);
    drop(future);
    let number = far.get_ref().as_raw_fd();
    assert_eq!(OwnedFd::from(far).as_raw_fd(), number);
}

#[test]
fn errors_describe_the_failure_and_convert_to_io_errors() {
    let _test = test();
    let event_loop = Loop::new().expect("a loop");
    let quiet = event_loop.handle();
    quiet.set_exception_handler(|_| {});
    let task = event_loop.create_task(async { panic!("{} were lost", 7) });
    let panicked = event_loop.run_until_complete(task);
    let panicked = panicked.expect_err("a panic");
    assert_shows(&panicked, &["panicked", "7 were lost"]);
    assert_eq!(panicked.to_string(), "panicked: 7 were lost");
    let (promise, future) = event_loop.create_future::<()>();
    drop(promise);
    let cancelled = event_loop.run_until_complete(future);
    let cancelled = cancelled.expect_err("the promise is gone");
    assert_shows(&cancelled, &["cancelled"]);
    let error = io::Error::from(cancelled);
    assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::Other, "cancelled".into()));
    let task = event_loop.create_task(async { std::panic::panic_any(7) });
    let panicked = event_loop.run_until_complete(task);
    let panicked = panicked.expect_err("a panic");
    assert_eq!(panicked.to_string(), "panicked: a value that is not text");
    let error = io::Error::from(TimeoutError);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "the time ran out");
    assert_eq!(LoopClosedError.to_string(), "the event loop is closed");
}

/// Formats the error once more for each piece that it gets.
struct Reformats<'a>(&'a TaskError, Vec<String>);

impl fmt::Write for Reformats<'_> {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        self.1.push(self.0.to_string());
        Ok(())
    }
}

#[test]
fn a_formatter_may_format_the_same_error() {
    let _test = test();
    let event_loop = Loop::new().expect("a loop");
    let task = event_loop.create_task(async { panic!("no") });
    let error = event_loop.run_until_complete(task).expect_err("a panic");
    let mut formatter = Reformats(&error, Vec::new());
    write!(formatter, "{error}").expect("a text");
    assert!(formatter.1.iter().all(|text| text == "panicked: no") && !formatter.1.is_empty());
}

/// The transfer does not call sendfile(2) for a pipe or a terminal.
#[test]
fn sendfile_not_available_error_has_a_message() {
    let _test = test();
    let event_loop = Loop::new().expect("a loop");
    let (near, _far) = Socket::pair().expect("a pair");
    let zero = File::open("/dev/zero").expect("a device");
    let sending = event_loop.sock_sendfile(&near, &zero).count(1);
    let sent = event_loop.run_until_complete(sending.fallback(false));
    let error = sent.expect_err("nothing else is allowed");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let message = error.to_string();
    assert!(message.starts_with("sendfile is not available for this file and socket"), "{message}");
}

#[test]
fn exception_context_shows_panic_and_callback_location() {
    let _test = test();
    let event_loop = Loop::new().expect("a loop");
    event_loop.set_exception_handler(|context| {
        assert_shows(context, &["ExceptionContext("]);
        assert!(!context.message().is_empty());
        let location = context.location().map(|location| location.file());
        assert!(location.is_some_and(|file| file.ends_with("debug_output.rs")));
        let message = context.panic().and_then(|panic| panic.downcast_ref::<&str>());
        assert_eq!(message, Some(&"a message"));
        sendloop::get_running_loop().expect("a running loop").stop();
    });
    event_loop.call_soon(|| panic!("a message"));
    event_loop.run_forever();
}

/// Asserts that a poll of the future after its end panics.
#[track_caller]
fn assert_poll_after_end_panics<T>(event_loop: &Loop, mut future: impl Future<Output = T> + Unpin) {
    event_loop.run_until_complete(&mut future);
    let again = AssertUnwindSafe(|| {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut future).poll(&mut cx);
    });
    let refused = catch_unwind(again).expect_err("a panic");
    let message = refused.downcast_ref::<&str>().expect("a message");
    assert!(message.ends_with("was polled after it was ready"), "{message}");
}

#[test]
fn polling_a_completed_future_panics() {
    let _test = test();
    let event_loop = Loop::new().expect("a loop");
    assert_poll_after_end_panics(&event_loop, event_loop.create_task(async {}));
    let (promise, promised) = event_loop.create_future();
    promise.set_result(1).expect("the future waits");
    assert_poll_after_end_panics(&event_loop, promised);
    assert_poll_after_end_panics(&event_loop, event_loop.run_in_executor(|| ()));
    let (near, _far) = Socket::pair().expect("a pair");
    let file = File::open("Cargo.toml").expect("a file");
    let sending = event_loop.sock_sendfile(&near, &file).count(0);
    assert_poll_after_end_panics(&event_loop, sending.into_future());
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
}
