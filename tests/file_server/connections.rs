//! Several requests on one connection, and the end of connections.

use std::fs::File;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::client::{Client, get};
use super::server::Server;

#[test]
fn a_connection_serves_many_requests() {
    let server = Server::start();
    let (a, b) = (server.add("a", 1 << 20), server.add("b", 1000));
    let mut client = Client::connect(&server);
    for (target, bytes) in [("/a", &a), ("/b", &b), ("/a", &a)] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.field("connection"), "keep-alive");
        assert!(response.body == *bytes, "the content differs");
    }
    client.send("GET /b HTTP/1.1\r\nHost: t\r\nConnection: x, Close\r\n\r\n");
    assert_eq!(client.response().field("connection"), "close");
    client.expect_end();
}

#[test]
fn http_1_0_closes_without_keep_alive() {
    let server = Server::start();
    server.add("a", 10);
    let mut client = Client::connect(&server);
    client.send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_eq!(client.response().field("connection"), "keep-alive");
    client.send("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.expect_end();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let (a, b) = (server.add("a", 1 << 20), server.add("b", 1000));
    let mut client = Client::connect(&server);
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\nHEAD /a HTTP/1.1\r\nHost: t\r\n\r\nGET /b HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.response().body == a, "the content differs");
    assert_eq!(client.head().field("content-length"), "1048576");
    assert!(client.response().body == b, "the content differs");
}

/// The first response proves that the server has received the beginning of the second request and
/// nothing after it.
#[test]
fn a_request_can_be_split_anywhere() {
    let server = Server::start();
    let bytes = server.add("a", 100);
    let request = "GET /a HTTP/1.1\r\nHost: test\r\nRange: bytes=1-2\r\n\r\n";
    let mut client = Client::connect(&server);
    for at in 0..=request.len() {
        let (beginning, rest) = request.split_at(at);
        client.send(format!("{request}{beginning}"));
        assert_eq!(client.response().body, bytes[1..3], "before the split at {at}");
        client.send(rest);
        assert_eq!(client.response().body, bytes[1..3], "split at {at}");
    }
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().body, bytes[1..3]);
}

#[test]
fn a_request_with_a_body_is_the_last_of_its_connection() {
    let server = Server::start();
    server.add("a", 10);
    let smuggled = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";
    for (field, status) in [
        ("Content-Length: 28", 200),
        ("Transfer-Encoding: chunked", 200),
        ("Transfer-Encoding: Chunked ", 200),
    ] {
        let mut client = Client::connect(&server);
        client.send(format!("GET /a HTTP/1.1\r\nHost: t\r\n{field}\r\n\r\n{smuggled}"));
        let response = client.response();
        assert_eq!(response.status, status);
        assert_eq!(response.field("connection"), "close");
        client.expect_end();
    }
    let mut client = Client::connect(&server);
    client.send(format!("GET /a HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n{smuggled}"));
    assert_eq!(client.response().field("connection"), "keep-alive");
    assert_eq!(client.response().status, 200);
}

/// The response must not be lost to the reset that closing with unread bytes sends.
#[test]
fn a_refused_upload_gets_its_response() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n");
    client.send(vec![b'x'; 1_000_000]);
    assert_eq!(client.response().status, 405);
    client.expect_end();
}

#[test]
fn an_unfinished_request_gets_no_response() {
    let server = Server::start();
    let before = server.descriptors();
    let mut client = Client::connect(&server);
    client.send("GET / HTT");
    drop(client);
    server.expect_descriptors(before);
}

#[test]
fn a_file_that_shrinks_during_the_transfer_ends_the_connection() {
    let server = Server::start();
    let bytes = server.add("a", 32 << 20);
    let mut client = Client::connect(&server);
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().field("content-length"), "33554432");
    // The socket buffers hold less than the rest of the file, so the server has not sent it all.
    let file = File::options().write(true).open(server.path("a"));
    file.and_then(|file| file.set_len(31 << 20)).expect("less");
    assert!(client.bytes(31 << 20) == bytes[..31 << 20]);
    client.expect_end();
    assert_eq!(get(&server, "/a").body.len(), 31 << 20);
}

#[test]
fn a_client_that_disconnects_affects_no_other() {
    let server = Server::start();
    let bytes = server.add("a", 16 << 20);
    let before = server.descriptors();
    let mut staying = Client::connect(&server);
    staying.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    for read in (0..20).map(|n| n * 100_000) {
        let mut leaving = Client::connect(&server);
        leaving.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
        leaving.head();
        leaving.bytes(read);
    }
    assert!(staying.response().body == bytes, "the content differs");
    drop(staying);
    server.expect_descriptors(before);
}

/// The client asked for the close, so the server does not wait for the client's end. The kernel
/// answers later bytes with a reset.
#[test]
fn a_connection_is_closed_at_once_if_the_client_asked_for_it() {
    let server = Server::start();
    let bytes = server.add("a", 1000);
    for request in
        ["GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", "GET /a HTTP/1.0\r\n\r\n"]
    {
        let mut client = Client::connect(&server);
        client.send(request);
        assert_eq!(client.response().body, bytes);
        client.expect_end();
        let began = Instant::now();
        while client.stream().write_all(b"x").is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10), "the connection is open after 10 s");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A reset could destroy a response that the client has not read.
#[test]
fn unread_bytes_do_not_destroy_the_last_response() {
    let server = Server::start();
    let bytes = server.add("a", 3_000_000);
    let junk = "x".repeat(100_000);
    for request in [
        "GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        for sent in [format!("{request}\r\n"), format!("{request}{junk}")] {
            let mut client = Client::connect(&server);
            client.send(sent);
            assert!(client.response().body == bytes, "the content differs");
            client.expect_end();
        }
    }
}

/// Nagle's algorithm would hold back the end of a file.
#[test]
fn connections_have_tcp_nodelay_from_their_listener() {
    for threads in ["1", "2"] {
        let server = Server::start_without_log(&["--threads", threads]);
        let mut client = Client::connect(&server);
        client.send("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 204);
        match server.server_end_of(client.stream()) {
            Some(socket) => assert!(SockRef::from(&socket).tcp_nodelay().expect("an option")),
            None => eprintln!("skipped: the server's descriptors cannot be inspected here"),
        }
    }
}
