//! Operations on a socket that is shut down.
//!
//! A wait ends if its socket is shut down. An operation tries before it waits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::util::sock::*;
use crate::util::*;
use sendloop::{Loop, LoopHandle, Socket, Task};
use socket2::SockRef;

/// When the socket is shut down.
#[derive(Clone, Copy, PartialEq, Debug)]
enum When {
    /// Before the loop knows the socket.
    Before,
    /// No task waits, but a task has waited before. The loop may have seen the event.
    Between,
    /// While the operation waits.
    Under,
}

/// Returns the outcome of `operation` on a socket that is shut down. Panics if it does not end.
#[track_caller]
fn shut<T, F, O>(socket: T, how: Shutdown, when: When, operation: F) -> O
where
    T: AsFd + 'static,
    F: AsyncFn(LoopHandle, Rc<Socket<T>>) -> O + Clone + 'static,
    O: 'static,
{
    let event_loop = new_loop();
    let socket = Rc::new(Socket::new(socket).expect("non-blocking"));
    // An unconnected UDP socket is shut down too, and the call fails with ENOTCONN.
    let shut = || drop(SockRef::from(&*socket).shutdown(how));
    let begin = || {
        let (handle, socket, operation) = (event_loop.handle(), socket.clone(), operation.clone());
        let task = event_loop.create_task(async move { operation(handle, socket).await });
        run_iteration(&event_loop);
        task
    };
    if when == When::Between {
        assert!(begin().cancel());
    }
    if when != When::Under {
        shut();
    }
    if when == When::Between {
        run_iteration(&event_loop);
    }
    let task = begin();
    if when == When::Under {
        assert!(!task.done(), "the operation does not wait");
        shut();
    }
    let waited = event_loop.wait_for(task, Duration::from_secs(5));
    let ended = event_loop.run_until_complete(waited);
    let ended = ended.unwrap_or_else(|_| panic!("{how:?} {when:?}: no end in time"));
    ended.expect("no panic")
}

/// Checks the error of `operation` at each time, on sockets that are shut down for reading or both
/// ways.
#[track_caller]
fn assert_fails<T, F, O>(kind: ErrorKind, make: impl Fn() -> T, operation: F)
where
    T: AsFd + 'static,
    F: AsyncFn(LoopHandle, Rc<Socket<T>>) -> io::Result<O> + Clone + 'static,
    O: std::fmt::Debug + 'static,
{
    for how in [Shutdown::Read, Shutdown::Both] {
        for when in [When::Before, When::Between, When::Under] {
            let error = shut(make(), how, when, operation.clone());
            let error = error.expect_err("shut down");
            assert_eq!(error.kind(), kind, "{how:?} {when:?}");
        }
    }
}

/// Checks an operation whose only sign of the shutdown is the end of the stream.
#[track_caller]
fn assert_ends<T, F>(make: impl Fn() -> T, operation: F)
where
    T: AsFd + 'static,
    F: AsyncFn(LoopHandle, Rc<Socket<T>>) -> io::Result<usize> + Clone + 'static,
{
    for how in [Shutdown::Read, Shutdown::Both] {
        for when in [When::Before, When::Between, When::Under] {
            let end = shut(make(), how, when, operation.clone());
            assert_eq!(end.expect("the end"), 0, "{how:?} {when:?}");
        }
    }
}

fn unix_listener(folder: &Path) -> UnixListener {
    let path = folder.join("listener");
    let _ = std::fs::remove_file(&path);
    UnixListener::bind(path).expect("bound")
}

fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").expect("a port")
}

fn connected_udp() -> UdpSocket {
    let socket = udp();
    let addr = socket.local_addr().expect("bound");
    socket.connect(addr).expect("connected");
    socket
}

#[test]
fn accept_fails_if_its_listener_is_shut_down() {
    let _test = test();
    let folder = tempfile::tempdir().expect("a folder");
    assert_fails(
        ErrorKind::InvalidInput,
        || unix_listener(folder.path()),
        async |handle: LoopHandle, sock: Rc<Socket<UnixListener>>| {
            handle.sock_accept(&sock).await.map(drop)
        },
    );
    assert_fails(
        ErrorKind::InvalidInput,
        || TcpListener::bind("127.0.0.1:0").expect("a port"),
        async |handle: LoopHandle, sock: Rc<Socket<TcpListener>>| {
            handle.sock_accept(&sock).await.map(drop)
        },
    );
}

#[test]
fn receiving_a_datagram_fails_if_its_socket_is_shut_down() {
    let _test = test();
    for make in [udp, connected_udp] {
        assert_fails(
            ErrorKind::UnexpectedEof,
            make,
            async |handle: LoopHandle, sock: Rc<Socket<UdpSocket>>| {
                handle.sock_recvfrom(&sock, 10).await
            },
        );
        assert_fails(
            ErrorKind::UnexpectedEof,
            make,
            async |handle: LoopHandle, sock: Rc<Socket<UdpSocket>>| {
                handle.sock_recvfrom_into(&sock, &mut [0; 10]).await
            },
        );
    }
    assert_fails(
        ErrorKind::UnexpectedEof,
        || UnixDatagram::pair().expect("a pair").0,
        async |handle: LoopHandle, sock: Rc<Socket<UnixDatagram>>| {
            handle.sock_recvfrom(&sock, 10).await
        },
    );
}

#[test]
fn receiving_ends_if_its_socket_is_shut_down() {
    let _test = test();
    assert_ends(connected_udp, async |handle: LoopHandle, sock: Rc<Socket<UdpSocket>>| {
        handle.sock_recv(&sock, 10).await.map(|got| got.len())
    });
    assert_ends(
        || UnixDatagram::pair().expect("a pair").0,
        async |handle: LoopHandle, sock: Rc<Socket<UnixDatagram>>| {
            poll_fn(|cx| handle.poll_recv(cx, &sock, &mut [0; 10])).await
        },
    );
    // The test keeps the peers, because a peer's close ends the stream too.
    let (unix_peers, tcp_peers) = (RefCell::default(), RefCell::default());
    assert_ends(
        || first(UnixStream::pair().expect("a pair"), &unix_peers),
        async |handle: LoopHandle, sock: Rc<Socket<UnixStream>>| {
            handle.sock_recv_into(&sock, &mut [0; 10]).await
        },
    );
    assert_ends(
        || first(tcp(), &tcp_peers),
        async |handle: LoopHandle, sock: Rc<Socket<TcpStream>>| {
            handle.sock_recv_into(&sock, &mut [0; 10]).await
        },
    );
}

/// The first of two streams; the second is kept.
fn first<T>((near, far): (T, T), kept: &RefCell<Vec<T>>) -> T {
    kept.borrow_mut().push(far);
    near
}

#[test]
fn bytes_before_a_shutdown_are_received_before_the_end() {
    let _test = test();
    let event_loop = new_loop();
    let socket = connected_udp();
    socket.send(b"before").expect("sent");
    let shut = SockRef::from(&socket).shutdown(Shutdown::Read);
    shut.expect("connected");
    let socket = Socket::new(socket).expect("non-blocking");
    event_loop.run_until_complete(async {
        let (text, _) = event_loop.sock_recvfrom(&socket, 10).await.expect("there");
        assert_eq!(text, b"before");
        let error = event_loop.sock_recvfrom(&socket, 10).await;
        assert_eq!(error.expect_err("the end").kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn shutdown_wakes_every_task_that_waits_for_the_socket() {
    let _test = test();
    let event_loop = new_loop();
    let socket = Rc::new(Socket::new(udp()).expect("non-blocking"));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (handle, socket) = (event_loop.handle(), socket.clone());
            event_loop.create_task(async move { handle.sock_recvfrom(&socket, 9).await.map(drop) })
        })
        .collect();
    run_iteration(&event_loop);
    let _ = SockRef::from(&*socket).shutdown(Shutdown::Read);
    run_until(&event_loop, || tasks.iter().all(Task::done));
}

#[test]
fn waiting_before_connect_does_not_end_the_stream() {
    let _test = test();
    let event_loop = new_loop();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let client = Rc::new(Socket::tcp(&addr).expect("a socket"));
    // An unconnected TCP socket hangs up.
    event_loop.add_reader(&*client, || {}).expect("added");
    run_iteration(&event_loop);
    event_loop.remove_reader(&*client);
    let connected = event_loop.run_until_complete(event_loop.sock_connect(&client, &addr));
    connected.expect("connected");
    let receives = receiver(&event_loop, &client, 10);
    (0..5).for_each(|_| run_iteration(&event_loop));
    assert!(!receives.done());
    let (mut server, _) = listener.accept().expect("accepted");
    server.write_all(b"x").expect("room");
    assert_eq!(result(&event_loop, receives), b"x");
}

/// A task that sends more than there is room for, and waits.
#[track_caller]
fn stalled<T: AsFd + 'static>(event_loop: &Loop, near: &Rc<Socket<T>>) -> Task<io::Result<()>> {
    let (handle, near) = (event_loop.handle(), near.clone());
    let task = event_loop.create_task(async move {
        let bytes = vec![1; 16 << 20];
        handle.sock_sendall(&near, &bytes).await
    });
    (0..20).for_each(|_| run_iteration(event_loop));
    assert!(!task.done(), "the buffer takes all bytes");
    task
}

#[track_caller]
fn assert_broken<T>(event_loop: &Loop, future: impl Future<Output = io::Result<T>>) {
    let waited = event_loop.wait_for(future, Duration::from_secs(5));
    let sent = event_loop.run_until_complete(waited).expect("an end in time");
    assert_eq!(sent.map(drop).expect_err("shut").kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_send_that_waits_fails_if_the_socket_is_shut_down() {
    let _test = test();
    let event_loop = new_loop();
    for how in [Shutdown::Write, Shutdown::Both] {
        let (near, _far) = tcp();
        let near = Rc::new(Socket::new(near).expect("non-blocking"));
        let sends = stalled(&event_loop, &near);
        near.get_ref().shutdown(how).expect("open");
        assert_broken(&event_loop, async { sends.await.expect("no panic") });
    }
    // Linux does not report SHUT_WR on a full Unix socket to the poller before the peer reads.
    let (near, _far) = unix();
    let near = Rc::new(near);
    let sends = stalled(&event_loop, &near);
    near.get_ref().shutdown(Shutdown::Both).expect("open");
    assert_broken(&event_loop, async { sends.await.expect("no panic") });
    let (near, far) = unix();
    let near = Rc::new(near);
    let sends = stalled(&event_loop, &near);
    drop(far);
    assert_broken(&event_loop, async { sends.await.expect("no panic") });
}

#[test]
fn send_after_shut_wr_fails_at_once_beside_a_waiter() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = unix();
    let near = Rc::new(near);
    assert!(stalled(&event_loop, &near).cancel());
    near.get_ref().shutdown(Shutdown::Write).expect("open");
    let mut noop = Context::from_waker(Waker::noop());
    for bytes in [b"x".as_slice(), b""] {
        let mut next = pin!(event_loop.sock_sendall(&near, bytes));
        let Poll::Ready(sent) = next.as_mut().poll(&mut noop) else {
            panic!("it waits");
        };
        assert_eq!(sent.expect_err("shut").kind(), ErrorKind::BrokenPipe);
    }
    assert_broken(&event_loop, poll_fn(|cx| event_loop.poll_send(cx, &near, b"x")));
}

/// Reads some bytes. The kernel does not report so little free room.
fn read_some(mut far: &UnixStream) {
    far.read_exact(&mut vec![0; 100_000]).expect("so much was sent");
}

#[test]
fn send_uses_free_room_before_an_earlier_waiter() {
    let _test = test();
    let event_loop = new_loop();
    let mut noop = Context::from_waker(Waker::noop());
    let file = file(1);

    let (near, far) = unix();
    let near = Rc::new(near);
    assert!(stalled(&event_loop, &near).cancel());
    read_some(&far);
    let mut next = pin!(event_loop.sock_sendall(&near, b"x"));
    assert!(matches!(next.as_mut().poll(&mut noop), Poll::Ready(Ok(()))), "sock_sendall waits");

    let (near, far) = unix();
    let near = Rc::new(near);
    assert!(stalled(&event_loop, &near).cancel());
    read_some(&far);
    let sent = event_loop.sock_sendfile(&near, &file);
    let sent = event_loop.wait_for(sent, Duration::from_secs(5));
    let sent = event_loop.run_until_complete(sent).expect("sock_sendfile waits");
    assert_eq!(sent.expect("sent"), 1);

    // An adapter's operation that waits, and is dropped: the loop cannot know that.
    let (near, far) = unix();
    let long = vec![1; 1 << 20];
    while event_loop.poll_send(&noop, &near, &long).is_ready() {}
    while event_loop.poll_send(&noop, &near, &long).is_ready() {}
    read_some(&far);
    assert!(event_loop.poll_send(&noop, &near, b"x").is_ready(), "poll_send waits");
}

#[test]
fn recv_takes_ready_bytes_before_an_earlier_waiter() {
    let _test = test();
    let event_loop = new_loop();
    let mut noop = Context::from_waker(Waker::noop());
    let (near, mut far) = pair();
    receiver(&event_loop, &near, 10).cancel();
    // No event is taken in between.
    far.write_all(b"ab").expect("room");
    let mut next = pin!(event_loop.sock_recv(&near, 1));
    assert!(next.as_mut().poll(&mut noop).is_ready());
    assert!(event_loop.poll_recv(&noop, &near, &mut [0]).is_ready());
    assert!(event_loop.poll_recv(&noop, &near, &mut [0]).is_pending());
    far.write_all(b"c").expect("room");
    assert!(event_loop.poll_recv(&noop, &near, &mut [0]).is_ready());
}
