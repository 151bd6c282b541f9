//! `connect`.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::time::Duration;

use sendloop::{Loop, LoopClosedError};
use socket2::Type;

use crate::ports::{bound, first_cause, full_port, loopbacks};
use crate::util::*;

#[test]
fn connect_looks_a_name_up_inside_a_task() {
    let _test = test();
    let event_loop = new_loop();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let task = event_loop.create_task(event_loop.connect("localhost", addr.port()));
    let sock = event_loop.run_until_complete(task).expect("no panic");
    let sock = sock.expect("connected");
    assert_eq!(sock.get_ref().peer_addr().expect("connected"), addr);
    let (mut far, _) = listener.accept().expect("a connection");
    event_loop.run_until_complete(async {
        event_loop.sock_sendall(&sock, b"x").await.expect("sent");
    });
    let mut byte = [0];
    io::Read::read_exact(&mut far, &mut byte).expect("received");
    assert_eq!(&byte, b"x");
}

#[test]
fn an_ip_address_needs_no_executor() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
    for (host, any) in ["127.0.0.1", "::1"].into_iter().zip(loopbacks()) {
        let (listener, addr) = bound(any, Type::STREAM);
        listener.listen(1).expect("bound");
        let sock = event_loop.run_until_complete(event_loop.connect(host, addr.port()));
        let peer = sock.expect("connected").get_ref().peer_addr();
        assert_eq!(peer.expect("connected"), addr);
    }
    let failed = event_loop.run_until_complete(event_loop.connect("localhost", 1));
    failed.expect_err("the executor is shut down");
}

#[test]
fn impossible_host_names_are_refused_before_the_lookup() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
    let long = "x".repeat(254);
    let longer = "x.".repeat(60_000);
    for host in ["", "\0", "local\0host", &long, &longer] {
        let failed = event_loop.run_until_complete(event_loop.connect(host, 80));
        let error = failed.expect_err("no such name");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().starts_with("cannot connect to "), "{error}");
    }
    // The longest valid name reaches the lookup.
    for host in ["x".repeat(253), "x".repeat(253) + "."] {
        let failed = event_loop.run_until_complete(event_loop.connect(&host, 80));
        let error = failed.expect_err("the executor is shut down");
        assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_refusal_names_the_host_and_keeps_kind_and_errno() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
    for host in ["localhost", "127.0.0.1"] {
        let failed = event_loop.run_until_complete(event_loop.connect(host, addr.port()));
        let error = failed.expect_err("a refused connection");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let errno = first_cause(&error).raw_os_error();
        assert_eq!(errno, Some(libc::ECONNREFUSED));
        let text = error.to_string();
        let start = format!("cannot connect to port {} of {host}: {addr}: ", addr.port());
        assert!(text.starts_with(&start), "{text}");
    }
    assert_eq!(event_loop.stats().registered, 0);
    drop(listener);
}

#[test]
fn a_failed_lookup_names_the_host() {
    let _test = test();
    let event_loop = new_loop();
    let failed = event_loop.run_until_complete(event_loop.connect("no such host.invalid", 80));
    let text = failed.expect_err("there is none").to_string();
    assert!(text.contains("\"no such host.invalid\""), "{text}");
}

#[test]
fn a_dropped_connect_closes_its_attempt() {
    let _test = test();
    let event_loop = new_loop();
    let (_listener, addr, _filling) = full_port();
    let open = descriptors();
    let task = event_loop.create_task(event_loop.connect("127.0.0.1", addr.port()));
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert_eq!((event_loop.stats().registered, descriptors()), (1, open + 1));
    assert!(task.cancel());
    assert_eq!((event_loop.stats().registered, descriptors()), (0, open));
    // Not even a timer.
    assert_eq!(event_loop.next_timeout(), None);

    let waited = event_loop.connect("127.0.0.1", addr.port());
    let waited = event_loop.wait_for(waited, Duration::from_millis(5));
    event_loop.run_until_complete(waited).expect_err("a timeout");
    assert_eq!((event_loop.stats().registered, descriptors()), (0, open));
}

#[test]
fn connect_dropped_during_lookup_leaves_nothing() {
    let _test = test();
    let event_loop = Loop::builder().executor_threads(1).build().expect("a loop");
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let busy = event_loop.run_in_executor(move || wait.recv().expect("a word"));
    let open = descriptors();
    for _ in 0..100 {
        let task = event_loop.create_task(event_loop.connect("localhost", 1));
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        assert!(!task.done() && task.cancel());
    }
    assert_eq!((descriptors(), event_loop.stats().tasks), (open, 0));
    go.send(()).expect("a waiting receiver");
    event_loop.run_until_complete(busy).expect("done");
}

#[test]
fn a_closed_loop_does_not_connect() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    let (_listener, addr, _filling) = full_port();
    let begun = new_loop();
    let mut begun_connect = Box::pin(begun.connect("127.0.0.1", addr.port()));
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(begun_connect.as_mut().poll(cx).is_pending());
    drop((event_loop, begun));
    let other = new_loop();
    other.run_until_complete(async {
        for host in ["localhost", "127.0.0.1"] {
            let error = handle.connect(host, addr.port()).await.expect_err("closed");
            assert!(error.get_ref().is_some_and(|error| error.is::<LoopClosedError>()));
        }
        let error = begun_connect.await.expect_err("closed meanwhile");
        assert!(error.get_ref().is_some_and(|error| error.is::<LoopClosedError>()));
    });
}
