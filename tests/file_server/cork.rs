//! TCP_CORK of large transfers, read from the server's end of the connection.

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
fn only_large_transfers_are_corked() {
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
