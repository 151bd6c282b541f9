//! Tests that lower the process's limit of descriptors for a moment.

#[path = "../util/embedder.rs"]
mod embedder;
#[path = "../util/ports.rs"]
mod ports;

use std::cell::Cell;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::util::*;
use embedder::{HAS_TIMER, assert_idle, drive};
use ports::first_cause;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sendloop::{Loop, Socket};

/// Runs `f` while the process can open no descriptor.
fn without_descriptors<T>(f: impl FnOnce() -> T) -> T {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let none = rustix::process::Rlimit { current: Some(0), ..before };
    setrlimit(Resource::Nofile, none).expect("lower than before");
    let result = f();
    setrlimit(Resource::Nofile, before).expect("as before");
    result
}

#[test]
fn accept_without_descriptors_leaves_the_connection_queued() {
    let _test = test();
    let event_loop = new_loop();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let listener = Socket::new(listener).expect("non-blocking");
    let client = TcpStream::connect(addr).expect("connected");
    let cx = &mut Context::from_waker(Waker::noop());
    let polled = without_descriptors(|| event_loop.poll_accept(cx, &listener));
    let Poll::Ready(Err(error)) = polled else {
        panic!("expected EMFILE, got {polled:?}");
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    let Poll::Ready(Ok((_, peer))) = event_loop.poll_accept(cx, &listener) else {
        panic!("the queued connection is lost");
    };
    assert_eq!(peer, client.local_addr().expect("bound"));
}

/// Asserts that repeated connects to `host`, which fail at once, let a callback run.
#[track_caller]
fn assert_lets_others_run(event_loop: &Loop, host: &str) {
    let has_run = Rc::new(Cell::new(false));
    let runs = has_run.clone();
    event_loop.run_until_complete(async {
        event_loop.call_soon(move || runs.set(true));
        for _ in 0..1000 {
            let failed = event_loop.connect(host, 1).await;
            failed.expect_err("nothing can be connected");
        }
        assert!(has_run.get(), "{host:?}");
    });
}

#[test]
fn connects_that_fail_at_once_let_others_run() {
    let _test = test();
    let event_loop = new_loop();
    assert_lets_others_run(&event_loop, "");
    without_descriptors(|| assert_lets_others_run(&event_loop, "127.0.0.1"));
}

#[test]
fn connect_reports_emfile_and_then_recovers() {
    let _test = test();
    let event_loop = new_loop();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let connect = || event_loop.run_until_complete(event_loop.connect("127.0.0.1", port));
    let error = without_descriptors(connect).expect_err("no descriptor");
    assert_eq!(first_cause(&error).raw_os_error(), Some(libc::EMFILE));
    connect().expect("connected");
}

#[test]
fn timer_that_cannot_be_created_leaves_no_timer_unserved() {
    let _test = test();
    let event_loop = new_loop();
    let before = getrlimit(Resource::Nofile);
    // poll(2) refuses more descriptors than the limit.
    let limit = Rlimit { current: Some(1), ..before };
    let restore = CallOnDrop(move || setrlimit(Resource::Nofile, before).expect("restored"));
    setrlimit(Resource::Nofile, limit).expect("lowered");
    let _descriptor = event_loop.as_fd();
    let sleeper = event_loop.create_task(event_loop.sleep(Duration::from_millis(5)));
    let iterations = drive(&event_loop, || sleeper.done());
    drop(restore);
    assert!(!HAS_TIMER || iterations > 2, "{iterations} iterations");
    let sleeper = event_loop.create_task(event_loop.sleep(Duration::from_millis(5)));
    let iterations = drive(&event_loop, || sleeper.done());
    assert!(iterations <= 4, "{iterations} iterations");
    assert_idle(&event_loop);
}
