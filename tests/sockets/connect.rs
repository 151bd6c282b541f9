//! `sock_connect` and `sock_accept`: connected, refused, cancelled.
#![allow(unsafe_code, reason = "only libc reads the flags of descriptors")]

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::ports::{bound, full_port, loopbacks, tcp_listener};
use crate::util::*;
use rustix::event::{PollFd, PollFlags, Timespec};
use sendloop::{Loop, LoopClosedError, Socket};
use socket2::Type;

#[track_caller]
fn assert_flags(socket: &impl AsFd) {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: these commands take no pointer, and the descriptor is open.
    let (of_fd, of_file) =
        unsafe { (libc::fcntl(fd, libc::F_GETFD), libc::fcntl(fd, libc::F_GETFL)) };
    assert!(of_fd & libc::FD_CLOEXEC != 0, "closed on exec");
    assert!(of_file & libc::O_NONBLOCK != 0, "non-blocking");
}

fn expect_isconn(error: &io::Error) -> Result<(), &'static str> {
    match error.raw_os_error() {
        Some(libc::EISCONN) => Ok(()),
        _ => Err("an error other than EISCONN"),
    }
}

#[test]
fn tcp_connect_and_accept_return_the_peers_address() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = tcp_listener();
    let handle = event_loop.handle();
    let accepts = event_loop.create_task(async move { handle.sock_accept(&listener).await });
    event_loop.run_until_complete(async {
        event_loop.sleep(Duration::ZERO).await;
        let client = Socket::tcp(&addr).expect("a socket");
        assert_flags(&client);
        let connected = event_loop.sock_connect(&client, &addr).await;
        connected.expect("connected");
        let (server, peer) = accepts.await.expect("no panic").expect("accepted");
        assert_flags(&server);
        assert_eq!(peer, client.get_ref().local_addr().expect("bound"));
        event_loop.sock_sendall(&server, b"hello").await.expect("sent");
        let received = event_loop.sock_recv(&client, 9).await;
        assert_eq!(received.expect("received"), b"hello");
        // Linux treats the second call as a question about the first one (connect(2), EALREADY),
        // and fails the third.
        let again = event_loop.sock_connect(&client, &addr).await;
        again.or_else(|error| expect_isconn(&error)).expect("connected");
        let again = event_loop.sock_connect(&client, &addr).await;
        expect_isconn(&again.expect_err("connected")).expect("EISCONN");
    });
}

#[test]
fn unix_connect_and_accept_return_the_peers_address() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("listener");
    let listener = UnixListener::bind(&path).expect("bound");
    let listener = Socket::new(listener).expect("non-blocking");
    let bound = dir.path().join("client");
    event_loop.run_until_complete(async {
        let client = Socket::unix().expect("a socket");
        assert_flags(&client);
        let connected = event_loop.sock_connect(&client, path.as_path()).await;
        connected.expect("connected");
        let (server, peer) = event_loop.sock_accept(&listener).await.expect("accepted");
        assert_flags(&server);
        assert!(peer.is_unnamed());

        let named = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let named = named.expect("a socket");
        let addr = socket2::SockAddr::unix(&bound).expect("an address");
        named.bind(&addr).expect("bound");
        let named = Socket::new(UnixStream::from(std::os::fd::OwnedFd::from(named)));
        let named = named.expect("non-blocking");
        let connected = event_loop.sock_connect(&named, path.as_path()).await;
        connected.expect("connected");
        let (_, peer) = event_loop.sock_accept(&listener).await.expect("accepted");
        assert_eq!(peer.as_pathname(), Some(bound.as_path()));
    });
}

#[test]
fn connect_to_a_closed_port_is_refused() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = tcp_listener();
    drop(listener);
    let client = Socket::tcp(&addr).expect("a socket");
    let refused = event_loop.run_until_complete(event_loop.sock_connect(&client, &addr));
    let error = refused.expect_err("no listener");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn connect_to_a_missing_path_fails_at_once() {
    let _test = test();
    let event_loop = new_loop();
    let long = "/tmp/".to_owned() + &"x".repeat(108);
    let kinds = [
        ("/tmp/there is no such socket", ErrorKind::NotFound),
        (&*long, ErrorKind::InvalidInput),
        ("", ErrorKind::InvalidInput),
        ("a\0b", ErrorKind::InvalidInput),
    ];
    for (path, kind) in kinds {
        let client = Socket::unix().expect("a socket");
        let refused = event_loop.sock_connect(&client, Path::new(path));
        let error = event_loop.run_until_complete(refused).expect_err("nowhere");
        assert_eq!(error.kind(), kind, "{path:?}");
    }
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn connect_retries_a_unix_listener_with_a_full_queue() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("listener");
    let listener = UnixListener::bind(&path).expect("bound");
    listen(&listener, 0);
    let listener = Rc::new(Socket::new(listener).expect("non-blocking"));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (handle, path) = (event_loop.handle(), path.clone());
            event_loop.create_task(async move {
                let client = Socket::unix().expect("a socket");
                handle.sock_connect(&client, path.as_path()).await?;
                handle.sock_recv(&client, 10).await
            })
        })
        .collect();
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(event_loop.next_timeout().is_some(), "the connect retries after a delay");
    event_loop.run_until_complete(async {
        for _ in 0..10 {
            let (server, _) = event_loop.sock_accept(&listener).await.expect("accepted");
            event_loop.sock_sendall(&server, b"in").await.expect("sent");
        }
        for task in tasks {
            let received = task.await.expect("no panic");
            assert_eq!(received.expect("received"), b"in");
        }
    });
}

/// Sets the length of a listener's queue.
fn listen(listener: &impl AsFd, backlog: i32) {
    // SAFETY: no pointer, and the descriptor is open.
    let answer = unsafe { libc::listen(listener.as_fd().as_raw_fd(), backlog) };
    assert_eq!(answer, 0);
}

#[track_caller]
fn begin_connect(
    event_loop: &Loop,
    client: &Rc<Socket<TcpStream>>,
    addr: SocketAddr,
) -> sendloop::Task<io::Result<()>> {
    let (handle, client) = (event_loop.handle(), client.clone());
    let task = event_loop.create_task(async move { handle.sock_connect(&client, &addr).await });
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(!task.done(), "the queue is full");
    task
}

#[test]
fn cancelled_connect_leaves_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (_listener, addr, _filling) = full_port();
    let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
    let task = begin_connect(&event_loop, &client, addr);
    assert_eq!(event_loop.stats().registered, 1);
    assert!(task.cancel());
    drop(client);
    assert_eq!((event_loop.stats().registered, event_loop.stats().tasks), (0, 0));
}

#[test]
fn late_refusal_reaches_the_connect_beside_a_reader() {
    let _test = test();
    for with_reader in [false, true] {
        let event_loop = new_loop();
        let (listener, addr, filling) = full_port();
        let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
        let connects = begin_connect(&event_loop, &client, addr);
        let (handle, reads) = (event_loop.handle(), client.clone());
        let reads = event_loop.create_task(async move {
            match with_reader {
                true => handle.sock_recv(&reads, 10).await.map(drop),
                false => Ok(()),
            }
        });
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        assert_eq!(reads.done(), !with_reader);
        drop((listener, filling));
        // The kernel sends a second SYN after a second, and this one is refused.
        let waited = event_loop.wait_for(connects, Duration::from_secs(6));
        let connected = event_loop.run_until_complete(waited);
        let connected = connected.unwrap_or_else(|_| {
            panic!("the connect does not end in time; with a reader: {with_reader}")
        });
        let error = connected.expect("no panic").expect_err("no listener");
        // The kernel reports the reason once. If the reader took it, the connect finds only that
        // there is no connection.
        let refused = error.kind() == ErrorKind::ConnectionRefused;
        assert!(refused || with_reader, "{error:?}");
    }
}

/// Begins a connect, and drops it before its outcome is dispatched.
#[track_caller]
fn cancelled_connect(event_loop: &Loop, client: &Rc<Socket<TcpStream>>, addr: SocketAddr) {
    let (handle, client) = (event_loop.handle(), client.clone());
    let task = event_loop.create_task(async move { handle.sock_connect(&client, &addr).await });
    // It runs after the task's first step.
    event_loop.call_soon(move || assert!(task.cancel()));
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
}

#[test]
fn connect_after_a_refused_cancelled_one_starts_again() {
    let _test = test();
    let event_loop = new_loop();
    // Also if something has read the refusal, or the loop has seen its event, in between.
    for between in 0..3 {
        let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
        let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
        cancelled_connect(&event_loop, &client, addr);
        match between {
            0 => {}
            1 => event_loop.run_once(Some(Duration::ZERO)).expect("an iteration"),
            _ => drop(client.get_ref().take_error().expect("a socket")),
        }
        listener.listen(1).expect("bound");
        let connected = event_loop.run_until_complete(event_loop.sock_connect(&client, &addr));
        connected.unwrap_or_else(|error| panic!("{between}: {error}"));
        assert_eq!(client.get_ref().peer_addr().expect("connected"), addr);
    }
}

#[test]
fn connect_after_one_on_a_closed_loop_starts_again() {
    let _test = test();
    let (listener, addr, filling) = full_port();
    let client = Socket::tcp(&addr).expect("a socket");
    let closed = new_loop();
    let mut connect = pin!(closed.sock_connect(&client, &addr));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(connect.as_mut().poll(cx).is_pending(), "the queue is full");
    drop(closed);
    let Poll::Ready(Err(error)) = connect.as_mut().poll(cx) else {
        panic!("a closed loop does not wait");
    };
    assert!(error.get_ref().is_some_and(|error| error.is::<LoopClosedError>()));
    drop((listener, filling));
    // The kernel sends a second SYN after a second, and this one is refused.
    let mut refused = [PollFd::new(&client, PollFlags::OUT)];
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut refused, Some(&limit)), Ok(1));

    let event_loop = new_loop();
    let (_listener, addr) = tcp_listener();
    let connected = event_loop.run_until_complete(event_loop.sock_connect(&client, &addr));
    connected.expect("connected");
}

#[test]
fn pending_connect_does_not_read_so_error() {
    let _test = test();
    let event_loop = new_loop();
    let (_listener, addr) = bound(loopbacks()[0], Type::STREAM);
    let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
    cancelled_connect(&event_loop, &client, addr);
    // A read of SO_ERROR would have cleared the error.
    let error = client.get_ref().take_error().expect("a socket");
    let error = error.expect("the refusal");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_refused_connect_fails_once_and_the_next_one_is_refused_again() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
    let client = Socket::tcp(&addr).expect("a socket");
    for _ in 0..3 {
        let refused = event_loop.run_until_complete(event_loop.sock_connect(&client, &addr));
        let error = refused.expect_err("no listener");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    listener.listen(1).expect("bound");
    let connected = event_loop.run_until_complete(event_loop.sock_connect(&client, &addr));
    connected.expect("connected");
}

#[test]
fn connects_of_one_socket_wait_for_the_same_connection() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr, filling) = full_port();
    let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
    let cancelled = begin_connect(&event_loop, &client, addr);
    let tasks = [0; 2].map(|_| begin_connect(&event_loop, &client, addr));
    assert!(cancelled.cancel());
    for _ in &filling {
        listener.accept().expect("the queue was full");
    }
    for task in tasks {
        // The kernel sends a second SYN after a second.
        let waited = event_loop.wait_for(task, Duration::from_secs(6));
        let connected = event_loop.run_until_complete(waited).expect("an end in time");
        connected.expect("no panic").expect("connected");
    }
    assert_eq!(client.get_ref().peer_addr().expect("connected"), addr);
}

#[test]
fn shutdown_fails_a_pending_connect_beside_a_reader() {
    let _test = test();
    for with_reader in [false, true] {
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            let event_loop = new_loop();
            let (_listener, addr, _filling) = full_port();
            let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
            let connects = begin_connect(&event_loop, &client, addr);
            let (handle, reads) = (event_loop.handle(), client.clone());
            let reads = event_loop.create_task(async move {
                match with_reader {
                    true => handle.sock_recv(&reads, 10).await.map(drop),
                    false => Ok(()),
                }
            });
            // The reader waits before the connect does: it is polled first.
            event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
            assert_eq!(reads.done(), !with_reader);
            let _ = client.get_ref().shutdown(how);
            if with_reader {
                // The reader takes the error before the connect does.
                drop(client.get_ref().take_error().expect("a socket"));
            }
            let waited = event_loop.wait_for(connects, Duration::from_secs(6));
            let connected = event_loop.run_until_complete(waited);
            let connected = connected
                .unwrap_or_else(|_| panic!("{how:?}, with a reader {with_reader}: no end in time"));
            let error = connected.expect("no panic").expect_err("shut down");
            let kinds = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset];
            assert!(kinds.contains(&error.kind()), "{how:?} {with_reader}: {error}");
            client.get_ref().peer_addr().expect_err("no connection was begun anew");
        }
    }
}

#[test]
fn connect_of_a_connected_socket_fails() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("listener");
    let _listener = UnixListener::bind(&path).expect("bound");
    let client = Socket::unix().expect("a socket");
    event_loop.run_until_complete(async {
        let connected = event_loop.sock_connect(&client, path.as_path()).await;
        connected.expect("connected");
        for _ in 0..2 {
            let again = event_loop.sock_connect(&client, path.as_path()).await;
            expect_isconn(&again.expect_err("connected")).expect("EISCONN");
        }
    });
}

#[test]
fn a_tcp_socket_that_connects_to_its_own_port_is_connected_to_itself() {
    let _test = test();
    let event_loop = new_loop();
    let (socket, addr) = bound(loopbacks()[0], Type::STREAM);
    let socket = Socket::new(TcpStream::from(socket)).expect("non-blocking");
    event_loop.run_until_complete(async {
        event_loop.sock_connect(&socket, &addr).await.expect("connected");
        let inner = socket.get_ref();
        assert_eq!(inner.local_addr().expect("bound"), inner.peer_addr().expect("connected"));
        event_loop.sock_sendall(&socket, b"echo").await.expect("sent");
        assert_eq!(event_loop.sock_recv(&socket, 9).await.expect("received"), b"echo");
    });
}
