//! Bytes over sockets: whole and in order, both ways at once, through buffers of any size.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crate::util::sock::*;
use crate::util::*;
use sendloop::Socket;
use socket2::SockRef;

/// Sends many bytes both ways at once, with tasks of one loop.
fn both_ways<T: AsFd + 'static>(one: T, other: T, end: fn(&T)) {
    let event_loop = new_loop();
    // Only the send buffers are small. With a TCP receive buffer of a few KiB, the sender waits 200
    // ms for each window probe.
    for socket in [&one, &other] {
        SockRef::from(socket).set_send_buffer_size(4096).expect("set");
    }
    let sockets = [one, other].map(|socket| Rc::new(Socket::new(socket).expect("non-blocking")));
    let tasks = [0, 1].map(|way| {
        let (handle, socket) = (event_loop.handle(), sockets[way].clone());
        let sends = event_loop.create_task(async move {
            let bytes = content(way as u64 * 1001, LARGE);
            handle.sock_sendall(&socket, &bytes).await.expect("sent");
            end(socket.get_ref());
        });
        let (handle, socket) = (event_loop.handle(), sockets[way].clone());
        let receives =
            event_loop.create_task(async move { read_all(&handle, &socket, 3000).await });
        (sends, receives)
    });
    event_loop.run_until_complete(async {
        for (way, (sends, receives)) in tasks.into_iter().enumerate() {
            sends.await.expect("sent");
            let received = receives.await.expect("received");
            assert_content(&received, (1 - way as u64) * 1001, LARGE);
        }
    });
    let stats = event_loop.stats();
    assert!(stats.registered == 2 && stats.registrations == 2, "{stats:?}");
}

#[test]
fn large_transfers_run_both_ways_through_small_buffers() {
    let _test = test();
    let (one, other) = tcp();
    both_ways(one, other, |tcp: &TcpStream| tcp.shutdown(Shutdown::Write).expect("open"));
    let (one, other) = UnixStream::pair().expect("a pair");
    both_ways(one, other, |unix: &UnixStream| unix.shutdown(Shutdown::Write).expect("open"));
}

#[test]
fn recv_into_fills_the_front_and_returns_the_length() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    event_loop.run_until_complete(async {
        event_loop.sock_sendall(&far, b"abcde").await.expect("room");
        let mut buffer = [b'.'; 8];
        let got = event_loop.sock_recv_into(&near, &mut buffer[..3]).await;
        assert_eq!((got.expect("data"), &buffer), (3, b"abc....."));
        let got = event_loop.sock_recv_into(&near, &mut buffer).await;
        assert_eq!((got.expect("data"), &buffer), (2, b"dec....."));
        event_loop.sock_sendall(&far, b"").await.expect("nothing to do");
    });
    assert_eq!(event_loop.stats().registrations, 0);
}

#[test]
fn thousand_echoes_need_one_registration_per_socket() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let (near, far) = (Socket::new(near).expect("set"), Socket::new(far).expect("set"));
    let handle = event_loop.handle();
    let echo = event_loop.create_task(async move {
        loop {
            let bytes = handle.sock_recv(&far, 100).await.expect("received");
            if bytes.is_empty() {
                return;
            }
            handle.sock_sendall(&far, &bytes).await.expect("sent");
        }
    });
    event_loop.run_until_complete(async {
        for n in 0..1000 {
            let bytes = content(n, 10 + n as usize % 50);
            event_loop.sock_sendall(&near, &bytes).await.expect("sent");
            let back = event_loop.sock_recv(&near, 100).await;
            assert_eq!(back.expect("received"), bytes);
        }
    });
    let registrations = event_loop.stats().registrations;
    assert!(registrations <= 2, "{registrations}");
    near.get_ref().shutdown(Shutdown::Write).expect("open");
    event_loop.run_until_complete(echo).expect("ended");
}

#[test]
fn sends_of_two_tasks_do_not_interleave() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let near = Rc::new(near);
    for name in [b'a', b'b', b'c'] {
        let (handle, near) = (event_loop.handle(), near.clone());
        event_loop.create_task(async move {
            let sent = handle.sock_sendall(&near, &[name; 50_001]).await;
            sent.expect("sent");
        });
    }
    drop(near);
    let received = reader(far);
    run_until(&event_loop, || event_loop.stats().tasks == 0);
    let mut received = received.join().expect("read");
    received.dedup();
    assert_eq!(received, b"abc");
}

#[test]
fn poll_recv_and_poll_send_serve_an_adapter() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = small_buffer_unix();
    let echo = thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).expect("read");
        far.write_all(&all).expect("written");
    });
    let received = event_loop.run_until_complete(async {
        let bytes = content(0, 300_001);
        let mut sent = 0;
        while sent < bytes.len() {
            let polled = poll_fn(|cx| event_loop.poll_send(cx, &near, &bytes[sent..]));
            sent += polled.await.expect("sent");
        }
        near.get_ref().shutdown(Shutdown::Write).expect("open");
        let (mut received, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            let polled = poll_fn(|cx| event_loop.poll_recv(cx, &near, &mut buffer));
            match polled.await.expect("received") {
                0 => return received,
                got => received.extend_from_slice(&buffer[..got]),
            }
        }
    });
    assert_content(&received, 0, 300_001);
    echo.join().expect("echoed");
}

#[test]
fn poll_send_waits_for_a_running_sendall() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let near = Rc::new(near);
    let (handle, whole) = (event_loop.handle(), near.clone());
    let whole =
        event_loop.create_task(async move { handle.sock_sendall(&whole, &[b'a'; ODD]).await });
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    let (handle, adapter) = (event_loop.handle(), near.clone());
    let adapter = event_loop.create_task(async move {
        let sent = poll_fn(|cx| handle.poll_send(cx, &adapter, b"b"));
        assert_eq!(sent.await.expect("sent"), 1);
    });
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(!whole.done() && !adapter.done());
    drop(near);
    let received = reader(far);
    run_until(&event_loop, || whole.done() && adapter.done());
    let mut received = received.join().expect("read");
    assert_eq!(received.len(), ODD + 1);
    received.dedup();
    assert_eq!(received, b"ab");
}

#[test]
fn recv_of_zero_bytes_completes_at_once() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    let unconnected = Socket::tcp(&"127.0.0.1:1".parse().expect("an address")).expect("a socket");
    event_loop.run_until_complete(async {
        assert!(event_loop.sock_recv(&near, 0).await.expect("nothing").is_empty());
        assert_eq!(event_loop.sock_recv_into(&near, &mut []).await.expect("nothing"), 0);
        let polled = poll_fn(|cx| event_loop.poll_recv(cx, &near, &mut [])).await;
        assert_eq!(polled.expect("nothing"), 0);
        assert!(event_loop.sock_recv(&unconnected, 0).await.expect("nothing").is_empty());
    });
    assert_eq!(event_loop.stats().registrations, 0);
}

#[test]
fn empty_send_reports_a_closed_peer() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    event_loop.run_until_complete(async {
        event_loop.sock_sendall(&near, b"").await.expect("a peer");
        // A full socket takes nothing at once.
        let bytes = vec![1; 1 << 20];
        let full = event_loop.wait_for(event_loop.sock_sendall(&near, &bytes), Duration::ZERO);
        full.await.expect_err("the peer does not read");
        event_loop.sock_sendall(&near, b"").await.expect("a peer");
        drop(far);
        let error = event_loop.sock_sendall(&near, b"").await.expect_err("gone");
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn sendall_sends_an_empty_datagram() {
    let _test = test();
    let event_loop = new_loop();
    let (here, there) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
    let (here, there) = (Socket::new(here).expect("set"), Socket::new(there).expect("set"));
    event_loop.run_until_complete(async {
        event_loop.sock_sendall(&here, b"").await.expect("sent");
        let (received, _) = event_loop.sock_recvfrom(&there, 10).await.expect("received");
        assert!(received.is_empty());
    });
}
