//! Slow clients. Timeouts are as short as a busy machine allows. The tests assert that a timeout
//! ends the slow connections and no others, and not how soon it does.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::client::{Client, get};
use super::server::Server;

const LONG: &str = "100";

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::start_without_log(&["--idle-timeout", "0.3", "--header-timeout", LONG]);
    server.add("a", 10);
    let mut silent = Client::connect(&server);
    let mut used = Client::connect(&server);
    used.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(used.response().status, 200);
    silent.expect_end();
    used.expect_end();
}

/// The timeout counts from the first byte. Later bytes do not extend it.
#[test]
fn a_request_that_trickles_times_out() {
    let server = Server::start_without_log(&["--header-timeout", "0.5", "--idle-timeout", LONG]);
    let mut client = Client::connect(&server);
    let began = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX: ");
    while !client.has_input() {
        assert!(began.elapsed() < Duration::from_secs(20), "no response after 20 s");
        client.try_send(b"x");
        thread::sleep(Duration::from_millis(20));
    }
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (408, "close"));
    assert!(began.elapsed() >= Duration::from_millis(500));
}

#[test]
fn empty_lines_do_not_extend_the_timeout() {
    let server = Server::start_without_log(&["--header-timeout", "0.3", "--idle-timeout", LONG]);
    let mut client = Client::connect(&server);
    client.send("\r\n");
    client.expect_end();
}

#[test]
fn each_request_has_its_own_header_timeout() {
    let server = Server::start_without_log(&["--header-timeout", "2", "--idle-timeout", LONG]);
    server.add("a", 10);
    let mut client = Client::connect(&server);
    for _ in 0..5 {
        client.send("GET /a HTTP/1.1\r\n");
        thread::sleep(Duration::from_millis(600));
        client.send("Host: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}

/// Connects a client with a small receive buffer that requests a large body and does not read it.
#[track_caller]
fn stalled_client(server: &Server, target: &str) -> TcpStream {
    let mut client = Client::connect(server);
    let socket = SockRef::from(client.stream());
    socket.set_recv_buffer_size(4096).expect("a size");
    // Eight requests, because the kernel buffers megabytes for a client that reads nothing.
    client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").repeat(8));
    client.into_stream()
}

#[test]
fn a_client_that_reads_nothing_is_disconnected() {
    let server = Server::start_without_log(&["--stall-timeout", "0.5"]);
    server.add("a", 64 << 20);
    let before = server.descriptors();
    let client = stalled_client(&server, "/a");
    let several = client_stalled_in_a_multipart_response(&server);
    server.expect_descriptors(before);
    for mut client in [client, several] {
        let mut rest = Vec::new();
        // The client sees a reset, or the end after the bytes that the kernel had buffered.
        let _ = client.read_to_end(&mut rest);
        assert!(rest.len() < 64 << 20);
    }
    assert_eq!(get(&server, "/a").status, 200);
}

#[track_caller]
fn client_stalled_in_a_multipart_response(server: &Server) -> TcpStream {
    stalled_client(server, "/a HTTP/1.1\r\nHost: t\r\nRange: bytes=0-9,1000-50000000\r\nX: y")
}

#[test]
fn a_client_that_does_not_read_a_listing_is_disconnected() {
    let server = Server::start_without_log(&["--stall-timeout", "0.5"]);
    for number in 0..4096 {
        let name = format!("{number:0200}");
        std::fs::File::create(server.path(name)).expect("a file");
    }
    let before = server.descriptors();
    let clients: Vec<TcpStream> = (0..3).map(|_| stalled_client(&server, "/")).collect();
    server.expect_descriptors(before);
    drop(clients);
}

/// The timeout counts from the last progress, so a slow client is not a stalled_client one.
#[test]
fn a_client_that_reads_slowly_is_served() {
    let server = Server::start_without_log(&["--stall-timeout", "3"]);
    let bytes = server.add("a", 8 << 20);
    let mut client = Client::connect(&server);
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    let mut all = Vec::new();
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(500));
        all.extend(client.bytes(1 << 20));
    }
    assert!(all == bytes, "the content differs");
}
