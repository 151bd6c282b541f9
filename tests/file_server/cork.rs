//! TCP_CORK of large transfers and last responses, read from the server's end of the connection.

use std::time::{Duration, Instant};

use rustix::net::sockopt::tcp_cork;

use super::client::Client;
use super::server::Server;

/// Returns whether TCP_CORK is set at the server's end of the client's connection.
#[track_caller]
fn is_corked(server: &Server, client: &Client) -> bool {
    let end = server.server_end_of(client.stream());
    tcp_cork(end.expect("pidfd_getfd(2) is permitted")).expect("a TCP socket")
}

#[test]
fn large_transfers_alone_are_corked_on_a_connection_that_stays() {
    const LARGE: usize = 64 << 20;
    let server = Server::start();
    server.add("large", LARGE);
    server.add("small", 1 << 20);
    let mut client = Client::connect(&server);
    let mut ask = |name: &str, fields: &str| {
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
        let head = client.head();
        let is_corked = is_corked(&server, &client);
        let len = head.field("content-length").parse().expect("a length");
        client.bytes(len);
        is_corked
    };
    assert!(ask("large", ""));
    assert!(!ask("small", ""));
    assert!(ask("large", "Range: bytes=1-33554432\r\n"));
    assert!(!ask("large", "Range: bytes=1-1048576\r\n"));
}

/// The server discards the bytes behind the last request, so its end of the connection stays open.
#[test]
fn a_last_response_is_corked_and_arrives_at_once() {
    let server = Server::start();
    server.add("small", 1000);
    let mut client = Client::connect(&server);
    let begun = Instant::now();
    client.send("GET /small HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nmore");
    assert_eq!(client.response().body.len(), 1000);
    client.expect_end();
    assert!(begun.elapsed() < Duration::from_secs(3), "the cork holds the response back");
    assert!(is_corked(&server, &client));
}

/// Removing the cork sends the segment that it holds back.
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
        assert!(!is_corked(&server, &client));
    }
}
