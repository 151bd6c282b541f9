//! Connections: made, refused, given up, and taken.
#![allow(
    unsafe_code,
    reason = "flags of descriptors are asked for by libc alone"
)]

mod util;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use sendloop::{Loop, Socket};
use util::*;

#[track_caller]
fn assert_flags(socket: &impl AsFd) {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: these commands take no pointer, and the descriptor is open.
    let (of_fd, of_file) = unsafe {
        (
            libc::fcntl(fd, libc::F_GETFD),
            libc::fcntl(fd, libc::F_GETFL),
        )
    };
    assert!(of_fd & libc::FD_CLOEXEC != 0, "closed on exec");
    assert!(of_file & libc::O_NONBLOCK != 0, "non-blocking");
}

fn tcp_listener() -> (Socket<TcpListener>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    (Socket::new(listener).expect("non-blocking"), addr)
}

fn is_connected_already(error: &io::Error) -> Result<(), &'static str> {
    match error.raw_os_error() {
        Some(libc::EISCONN) => Ok(()),
        _ => Err("another error"),
    }
}

#[test]
fn a_tcp_connection_is_made_and_taken_with_its_peers_address() {
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
        event_loop
            .sock_sendall(&server, b"hello")
            .await
            .expect("sent");
        let received = event_loop.sock_recv(&client, 9).await;
        assert_eq!(received.expect("received"), b"hello");
        // Linux takes the second call for the question how the first one went (connect(2), EALREADY) and the third for one too many.
        let again = event_loop.sock_connect(&client, &addr).await;
        again
            .or_else(|error| is_connected_already(&error))
            .expect("connected");
        let again = event_loop.sock_connect(&client, &addr).await;
        is_connected_already(&again.expect_err("connected")).expect("EISCONN");
    });
}

#[test]
fn a_unix_connection_is_made_and_taken_with_its_peers_address() {
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
fn a_port_where_nobody_listens_refuses() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = tcp_listener();
    drop(listener);
    let client = Socket::tcp(&addr).expect("a socket");
    let refused = event_loop.run_until_complete(event_loop.sock_connect(&client, &addr));
    let error = refused.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn paths_that_lead_nowhere_are_errors_at_once() {
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
fn a_unix_listener_whose_queue_is_full_is_asked_again() {
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
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
    assert!(event_loop.next_timeout().is_some(), "somebody asks again");
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

/// A port whose queue is full: connections to it stay in progress. What fills it comes along.
fn full_port() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listen(&listener, 0);
    let addr = listener.local_addr().expect("bound");
    let mut filling = Vec::new();
    let brief = Duration::from_millis(50);
    while let Ok(one) = TcpStream::connect_timeout(&addr, brief) {
        filling.push(one);
    }
    (listener, addr, filling)
}

#[track_caller]
fn begin_connect(
    event_loop: &Loop,
    client: &Rc<Socket<TcpStream>>,
    addr: SocketAddr,
) -> sendloop::Task<io::Result<()>> {
    let (handle, client) = (event_loop.handle(), client.clone());
    let task = event_loop.create_task(async move { handle.sock_connect(&client, &addr).await });
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
    assert!(!task.done(), "the queue is full");
    task
}

#[test]
fn a_cancelled_connect_leaves_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (_listener, addr, _filling) = full_port();
    let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
    let task = begin_connect(&event_loop, &client, addr);
    assert_eq!(event_loop.stats().registered, 1);
    assert!(task.cancel());
    drop(client);
    assert_eq!(
        (event_loop.stats().registered, event_loop.stats().tasks),
        (0, 0)
    );
}

#[test]
fn a_refusal_that_comes_late_reaches_who_connects_also_where_another_task_reads() {
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
        event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
        assert_eq!(reads.done(), !with_reader);
        drop((listener, filling));
        // The system tries again after a second, and is refused then.
        let waited = event_loop.wait_for(connects, Duration::from_secs(6));
        let connected = event_loop.run_until_complete(waited);
        let connected = connected.unwrap_or_else(|_| panic!("hangs; with a reader: {with_reader}"));
        let error = connected.expect("no panic").expect_err("nobody listens");
        // The system tells the reason once: where the reader took it, what is left is that there is no connection.
        let refused = error.kind() == ErrorKind::ConnectionRefused;
        assert!(refused || with_reader, "{error:?}");
    }
}
