//! The addresses that `sock_connect` takes for each type of socket.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use sendloop::{Address, Connect, Loop, Socket};
use socket2::Type;

use crate::ports::{bound, loopbacks};
use crate::util::*;

/// Connects a Unix stream and a Unix datagram socket to `addr`.
#[track_caller]
fn connects<A: ?Sized>(event_loop: &Loop, addr: &A, stream: bool)
where
    std::os::unix::net::UnixStream: Connect<A>,
    UnixDatagram: Connect<A>,
{
    let connected = match stream {
        true => {
            let sock = Socket::unix().expect("a socket");
            let connected = event_loop.run_until_complete(event_loop.sock_connect(&sock, addr));
            connected.map(|()| sock.get_ref().peer_addr().expect("connected"))
        }
        false => {
            let sock = UnixDatagram::unbound().expect("a socket");
            let sock = Socket::new(sock).expect("non-blocking");
            let connected = event_loop.run_until_complete(event_loop.sock_connect(&sock, addr));
            connected.map(|()| sock.get_ref().peer_addr().expect("connected"))
        }
    };
    assert!(!connected.expect("connected").is_unnamed());
}

#[test]
fn unix_sockets_take_paths_of_all_types_and_addresses() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    for stream in [true, false] {
        let path: PathBuf = dir.path().join(format!("stream {stream}"));
        let listener = stream.then(|| UnixListener::bind(&path).expect("bound"));
        let receiver = (!stream).then(|| UnixDatagram::bind(&path).expect("bound"));
        let text: &str = path.to_str().expect("UTF-8");
        let addr = SocketAddr::from_pathname(&path).expect("an address");
        connects::<Path>(&event_loop, &path, stream);
        connects::<PathBuf>(&event_loop, &path, stream);
        connects::<str>(&event_loop, text, stream);
        connects::<String>(&event_loop, &text.to_owned(), stream);
        connects::<OsStr>(&event_loop, path.as_os_str(), stream);
        connects::<OsString>(&event_loop, &path.clone().into_os_string(), stream);
        connects::<SocketAddr>(&event_loop, &addr, stream);
        drop((listener, receiver));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn unix_sockets_take_abstract_names() {
    use std::os::linux::net::SocketAddrExt;
    let _test = test();
    let event_loop = new_loop();
    let longest = [b'x'; 107];
    let own = format!("sendloop {} \0 with a zero byte", std::process::id());
    for name in [own.as_bytes(), &longest] {
        let addr = SocketAddr::from_abstract_name(name).expect("an address");
        let _listener = UnixListener::bind_addr(&addr).expect("bound");
        connects(&event_loop, &addr, true);
        let _receiver = UnixDatagram::bind_addr(&addr).expect("bound");
        connects(&event_loop, &addr, false);
    }
}

#[test]
fn unix_addresses_that_reach_no_socket_are_invalid_input() {
    let _test = test();
    let event_loop = new_loop();
    let unnamed = UnixDatagram::unbound().expect("a socket").local_addr();
    let unnamed = unnamed.expect("an address");
    let long = format!("/{}", "x".repeat(107));
    event_loop.run_until_complete(async {
        let sock = Socket::unix().expect("a socket");
        for path in ["", "\0abstract", "a\0b", &long] {
            let error = event_loop.sock_connect(&sock, path).await.expect_err(path);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}");
        }
        let error = event_loop.sock_connect(&sock, &unnamed).await;
        assert_eq!(error.expect_err("unnamed").kind(), ErrorKind::InvalidInput);
        let sock = Socket::new(std::os::fd::OwnedFd::from(sock)).expect("a socket");
        let error = event_loop.sock_connect(&sock, &Address::from(unnamed)).await;
        assert_eq!(error.expect_err("unnamed").kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_udp_socket_connects_and_connects_to_another_peer() {
    let _test = test();
    let event_loop = new_loop();
    for any in loopbacks() {
        let sock = UdpSocket::bind(any).expect("a port");
        let own = sock.local_addr().expect("bound");
        let sock = Socket::new(sock).expect("non-blocking");
        let peers = [0; 2].map(|_| UdpSocket::bind(any).expect("a port"));
        event_loop.run_until_complete(async {
            for peer in &peers {
                let addr = peer.local_addr().expect("bound");
                let connected = event_loop.sock_connect(&sock, &addr).await;
                connected.expect("connected");
                assert_eq!(sock.get_ref().peer_addr().expect("connected"), addr);
                event_loop.sock_sendall(&sock, b"there").await.expect("sent");
                let mut text = [0; 9];
                assert_eq!(peer.recv(&mut text).expect("received"), 5);
                // A datagram of another peer is not received.
                peers[0].send_to(b"back", own).expect("sent");
                if peer.local_addr().expect("bound") != peers[0].local_addr().expect("bound") {
                    peer.send_to(b"back too", own).expect("sent");
                    let text = event_loop.sock_recv(&sock, 9).await.expect("received");
                    assert_eq!(text, b"back too");
                } else {
                    let text = event_loop.sock_recv(&sock, 9).await.expect("received");
                    assert_eq!(text, b"back");
                }
            }
        });
    }
}

#[test]
fn the_type_of_the_address_is_inferred() {
    let _test = test();
    let event_loop = new_loop();
    let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
    listener.listen(2).expect("bound");
    event_loop.run_until_complete(async {
        let text = addr.to_string();
        let sock = Socket::tcp(&addr).expect("a socket");
        let connected = event_loop.sock_connect(&sock, &text.parse().expect("an address"));
        connected.await.expect("connected");
        let sock = std::os::fd::OwnedFd::from(Socket::tcp(&addr).expect("a socket"));
        let sock = Socket::new(sock).expect("non-blocking");
        let connected = event_loop.sock_connect(&sock, &addr.into());
        connected.await.expect("connected");
    });
}
