//! The cork of large transfers, as the kernel has it for the server's end of the connection.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{getpeername, sockopt::tcp_cork};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::client::Client;
use super::server::Server;

/// The server's end of a connection.
#[track_caller]
fn far_end(server: &Server, client: &Client) -> OwnedFd {
    let near = client.stream().local_addr().expect("connected");
    let pid = server.pid();
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("a server that runs");
    let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).expect("its descriptors");
    for entry in open {
        let name = entry.expect("an entry").file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let copy = pidfd_getfd(
            &process,
            number.expect("a number"),
            PidfdGetfdFlags::empty(),
        );
        let Ok(copy) = copy else {
            continue;
        };
        let peer = getpeername(&copy).ok().flatten();
        if peer.and_then(|peer| SocketAddr::try_from(peer).ok()) == Some(near) {
            return copy;
        }
    }
    panic!("no end of {near}");
}

#[test]
fn a_large_transfer_is_corked_and_nothing_else() {
    const LARGE: usize = 64 << 20;
    let server = Server::start();
    server.add("large", LARGE);
    server.add("small", 1 << 20);
    let mut client = Client::connect(&server);
    let mut ask = |name: &str, fields: &str| {
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
        let head = client.head();
        let cork = tcp_cork(far_end(&server, &client)).expect("a TCP socket");
        let len = head.field("content-length").parse().expect("a length");
        client.bytes(len);
        cork
    };
    assert!(ask("large", ""));
    assert!(!ask("small", ""));
    assert!(ask("large", "Range: bytes=1-33554432\r\n"));
    assert!(!ask("large", "Range: bytes=1-1048576\r\n"));
}

/// What is held back is sent by then, so the cork ends with the transfer and not a moment later.
#[test]
fn the_cork_ends_with_the_transfer() {
    let server = Server::start();
    server.add("large", (8 << 20) + 1);
    let mut client = Client::connect(&server);
    for _ in 0..5 {
        client.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().body.len(), (8 << 20) + 1);
        client.send("GET /none HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 404);
        assert!(!tcp_cork(far_end(&server, &client)).expect("a TCP socket"));
    }
}
