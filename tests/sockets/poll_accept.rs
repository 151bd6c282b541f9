//! `poll_accept`.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sendloop::{Address, Loop, LoopClosedError, Socket};
use socket2::{SockRef, Type};

use crate::ports::{bound, loopbacks, tcp_listener};
use crate::util::*;

fn counted() -> (Arc<WakeCount>, Waker) {
    let counted = Arc::new(WakeCount::default());
    (counted.clone(), counted.into())
}

#[test]
fn poll_accept_returns_connections_with_their_peers_in_order() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = tcp_listener();
    let clients = [0; 3].map(|_| TcpStream::connect(addr).expect("connected"));
    event_loop.run_until_complete(async {
        for client in &clients {
            let accepted = poll_fn(|cx| event_loop.poll_accept(cx, &listener)).await;
            let (_, peer) = accepted.expect("accepted");
            assert_eq!(peer, client.local_addr().expect("bound"));
        }
    });
}

#[test]
fn poll_accept_takes_unix_listeners_and_descriptors() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("listener");
    let listener = UnixListener::bind(&path).expect("bound");
    let again = Socket::new(OwnedFd::from(listener.try_clone().expect("a duplicate")));
    let (listener, again) = (Socket::new(listener).expect("set"), again.expect("set"));
    event_loop.run_until_complete(async {
        let _client = UnixStream::connect(&path).expect("connected");
        let accepted = poll_fn(|cx| event_loop.poll_accept(cx, &listener)).await;
        let (server, peer): (Socket<UnixStream>, _) = accepted.expect("accepted");
        assert!(peer.is_unnamed());
        drop(server);
        let _client = UnixStream::connect(&path).expect("connected");
        let accepted = poll_fn(|cx| event_loop.poll_accept(cx, &again)).await;
        let (server, peer): (Socket<OwnedFd>, Address) = accepted.expect("accepted");
        assert!(matches!(peer, Address::Unix(peer) if peer.is_unnamed()));
        drop(server);
    });
}

#[test]
fn a_connection_wakes_the_task_that_polled_last() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = tcp_listener();
    let ((first, first_waker), (last, last_waker)) = (counted(), counted());
    for waker in [&first_waker, &last_waker] {
        let cx = &mut Context::from_waker(waker);
        assert!(event_loop.poll_accept(cx, &listener).is_pending());
    }
    let _client = TcpStream::connect(addr).expect("connected");
    run_until(&event_loop, || last.get() > 0);
    assert_eq!((first.get(), last.get()), (0, 1));
    let cx = &mut Context::from_waker(&last_waker);
    assert!(event_loop.poll_accept(cx, &listener).is_ready());
    assert!(event_loop.poll_accept(cx, &listener).is_pending());
}

#[test]
fn connection_before_the_poll_is_not_missed() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = tcp_listener();
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(event_loop.poll_accept(cx, &listener).is_pending());
    let _clients = [0; 2].map(|_| TcpStream::connect(addr).expect("connected"));
    // The loop has not seen the event yet.
    assert!(event_loop.poll_accept(cx, &listener).is_ready());
    assert!(event_loop.poll_accept(cx, &listener).is_ready());
    assert!(event_loop.poll_accept(cx, &listener).is_pending());
}

#[test]
fn tasks_that_await_sock_accept_and_a_poll_share_the_connections() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = tcp_listener();
    let listener = Rc::new(listener);
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let (handle, listener) = (event_loop.handle(), listener.clone());
            event_loop.create_task(async move {
                match n {
                    0 => poll_fn(|cx| handle.poll_accept(cx, &listener)).await,
                    _ => handle.sock_accept(&listener).await,
                }
            })
        })
        .collect();
    run_iteration(&event_loop);
    let _clients: Vec<_> = (0..4).map(|_| TcpStream::connect(addr).expect("connected")).collect();
    for task in tasks {
        let waited = event_loop.wait_for(task, Duration::from_secs(10));
        let accepted = event_loop.run_until_complete(waited).expect("an end in time");
        accepted.expect("no panic").expect("accepted");
    }
}

#[test]
fn polls_that_are_always_ready_let_others_run() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
    listener.listen(1000).expect("bound");
    let listener = Socket::new(TcpListener::from(listener)).expect("non-blocking");
    let _clients: Vec<_> = (0..300).map(|_| TcpStream::connect(addr).expect("connected")).collect();
    let (woken, waker) = counted();
    let cx = &mut Context::from_waker(&waker);
    let mut accepted = 0;
    while let Poll::Ready(result) = event_loop.poll_accept(cx, &listener) {
        result.expect("accepted");
        accepted += 1;
    }
    assert!((1..=128).contains(&accepted), "{accepted} in one step");
    assert_eq!(woken.get(), 1, "the budget's end wakes the task");
}

#[test]
fn a_listener_that_is_shut_down_ends_a_polled_wait() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let unix = UnixListener::bind(dir.path().join("listener")).expect("bound");
    assert_shutdown_ends(&event_loop, Socket::new(unix).expect("non-blocking"));
    assert_shutdown_ends(&event_loop, tcp_listener().0);
}

#[track_caller]
fn assert_shutdown_ends<L: sendloop::Listen + 'static>(event_loop: &Loop, listener: Socket<L>) {
    let listener = Rc::new(listener);
    let (handle, polled) = (event_loop.handle(), listener.clone());
    let task = event_loop.create_task(async move {
        let accepted = poll_fn(|cx| handle.poll_accept(cx, &polled)).await;
        accepted.map(drop).expect_err("shut down").kind()
    });
    run_iteration(event_loop);
    let shut = SockRef::from(&*listener).shutdown(std::net::Shutdown::Both);
    shut.expect("a listening socket");
    let waited = event_loop.wait_for(task, Duration::from_secs(10));
    let kind = event_loop.run_until_complete(waited).expect("an end in time");
    assert_eq!(kind.expect("no panic"), ErrorKind::InvalidInput);
}

#[test]
fn a_closed_loop_wakes_a_polled_wait_which_fails() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, _) = tcp_listener();
    let (woken, waker) = counted();
    let cx = &mut Context::from_waker(&waker);
    assert!(event_loop.poll_accept(cx, &listener).is_pending());
    let handle = event_loop.handle();
    drop(event_loop);
    assert_eq!(woken.get(), 1);
    let Poll::Ready(Err(error)) = handle.poll_accept(cx, &listener) else {
        panic!("a closed loop does not wait");
    };
    assert!(error.get_ref().is_some_and(|error| error.is::<LoopClosedError>()));
}
