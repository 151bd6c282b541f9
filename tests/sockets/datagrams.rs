//! Datagrams over UDP and Unix sockets.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use crate::ports::udp;
use crate::util::*;
use sendloop::Socket;

#[test]
fn datagrams_keep_their_boundaries_and_senders() {
    let _test = test();
    let event_loop = new_loop();
    let (here, there) = (udp(), udp());
    let addr = there.get_ref().local_addr().expect("bound");
    event_loop.run_until_complete(async {
        for text in [b"one".as_slice(), b"", b"three"] {
            let sent = event_loop.sock_sendto(&here, text, &addr).await.expect("sent");
            assert_eq!(sent, text.len());
        }
        for text in [b"one".as_slice(), b"", b"thr"] {
            let (received, sender) = event_loop.sock_recvfrom(&there, 3).await.expect("received");
            assert_eq!(received, text);
            assert_eq!(sender, here.get_ref().local_addr().expect("bound"));
        }
    });
}

#[test]
fn cancelled_recvfrom_loses_no_datagram() {
    let _test = test();
    let event_loop = new_loop();
    let (here, there) = (udp(), udp());
    let addr = there.get_ref().local_addr().expect("bound");
    event_loop.run_until_complete(async {
        let mut buffer = [0; 10];
        let waiting = event_loop.sock_recvfrom_into(&there, &mut buffer);
        let waiting = event_loop.wait_for(waiting, Duration::from_millis(2));
        waiting.await.expect_err("nothing there");
        event_loop.sock_sendto(&here, b"late", &addr).await.expect("sent");
        let (len, _) = event_loop.sock_recvfrom_into(&there, &mut buffer).await.expect("there");
        assert_eq!(&buffer[..len], b"late");
    });
}

#[test]
fn unix_datagrams_wait_for_a_full_receiver() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let there = UnixDatagram::bind(dir.path().join("there")).expect("bound");
    let addr = there.local_addr().expect("bound");
    let here = UnixDatagram::unbound().expect("a socket");
    let here = Socket::new(here).expect("non-blocking");
    let there = Rc::new(Socket::new(there).expect("non-blocking"));
    let (handle, receiving) = (event_loop.handle(), there.clone());
    let receiver = event_loop.create_task(async move {
        for n in 0..2000_u32 {
            let (bytes, sender) = handle.sock_recvfrom(&receiving, 100).await.expect("received");
            assert_eq!(bytes, n.to_le_bytes());
            assert!(sender.is_unnamed());
        }
    });
    event_loop.run_until_complete(async {
        for n in 0..2000_u32 {
            let sent = event_loop.sock_sendto(&here, &n.to_le_bytes(), &addr).await;
            assert_eq!(sent.expect("sent"), 4);
        }
        receiver.await.expect("all there");
    });
}

#[test]
fn unsendable_datagrams_fail_with_their_errno() {
    let _test = test();
    let event_loop = new_loop();
    let here = udp();
    let addr = here.get_ref().local_addr().expect("bound");
    let long = vec![0; 70_000];
    let error = event_loop.run_until_complete(event_loop.sock_sendto(&here, &long, &addr));
    assert_eq!(error.expect_err("too long").raw_os_error(), Some(libc::EMSGSIZE));
    let nameless = UnixDatagram::unbound().expect("a socket");
    let addr = nameless.local_addr().expect("an address");
    let nameless = Socket::new(nameless).expect("non-blocking");
    let error = event_loop.run_until_complete(event_loop.sock_sendto(&nameless, b"x", &addr));
    assert_eq!(error.expect_err("nobody").kind(), ErrorKind::InvalidInput);
}

#[test]
fn getaddrinfo_and_getnameinfo_run_on_the_executor() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        let addrs = event_loop.getaddrinfo("127.0.0.1", 7).await.expect("an address");
        assert_eq!(addrs, ["127.0.0.1:7".parse().expect("an address")]);
        event_loop.getaddrinfo("no such name.invalid", 7).await.expect_err("none");
        let (host, service) = event_loop.getnameinfo(addrs[0]).await.expect("names");
        assert!(!host.is_empty() && !service.is_empty());
        event_loop.shutdown_default_executor().await;
        event_loop.getaddrinfo("127.0.0.1", 7).await.expect_err("shut down");
    });
}

#[test]
fn recvfrom_larger_than_memory_fails_with_an_error() {
    let _test = test();
    let event_loop = new_loop();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let socket = Socket::new(socket).expect("non-blocking");
    for most in [1 << 46, usize::MAX] {
        let received = event_loop.run_until_complete(event_loop.sock_recvfrom(&socket, most));
        let error = received.expect_err("no machine has so much memory");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }
}
