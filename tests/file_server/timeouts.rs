//! Clients that take their time. Limits are as short as a busy machine allows, and nothing here asks how soon they come, only
//! that they do, and not to the others.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::client::{Client, get};
use super::server::Server;

const LONG: &str = "100";

#[test]
fn a_connection_that_is_not_used_is_closed() {
    let server = Server::start_with(&[
        "--idle-timeout",
        "0.3",
        "--header-timeout",
        LONG,
        "--log",
        "off",
    ]);
    server.add("a", 10);
    let mut silent = Client::connect(&server);
    let mut used = Client::connect(&server);
    used.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(used.response().status, 200);
    silent.expect_end();
    used.expect_end();
}

/// The time counts from the first byte, so that more bytes do not give more time.
#[test]
fn a_request_that_trickles_is_not_waited_for() {
    let server = Server::start_with(&[
        "--header-timeout",
        "0.5",
        "--idle-timeout",
        LONG,
        "--log",
        "off",
    ]);
    let mut client = Client::connect(&server);
    let began = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX: ");
    while !client.has_input() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it is waited for"
        );
        client.try_send(b"x");
        thread::sleep(Duration::from_millis(20));
    }
    let response = client.response();
    assert_eq!(
        (response.status, response.field("connection")),
        (408, "close")
    );
    assert!(began.elapsed() >= Duration::from_millis(500));
}

#[test]
fn empty_lines_are_no_request_and_buy_no_time() {
    let server = Server::start_with(&[
        "--header-timeout",
        "0.3",
        "--idle-timeout",
        LONG,
        "--log",
        "off",
    ]);
    let mut client = Client::connect(&server);
    client.send("\r\n");
    client.expect_end();
}

#[test]
fn the_next_request_has_its_own_time() {
    let server = Server::start_with(&[
        "--header-timeout",
        "2",
        "--idle-timeout",
        LONG,
        "--log",
        "off",
    ]);
    server.add("a", 10);
    let mut client = Client::connect(&server);
    for _ in 0..5 {
        client.send("GET /a HTTP/1.1\r\n");
        thread::sleep(Duration::from_millis(600));
        client.send("Host: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}

/// A client with a small buffer that asks for something large and does not read it.
#[track_caller]
fn stalled(server: &Server, target: &str) -> TcpStream {
    let mut client = Client::connect(server);
    let socket = SockRef::from(client.stream());
    socket.set_recv_buffer_size(4096).expect("a size");
    // Several times, as the kernel takes megabytes of what nobody reads.
    client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").repeat(8));
    client.into_stream()
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let server = Server::start_with(&["--stall-timeout", "0.5", "--log", "off"]);
    server.add("a", 64 << 20);
    let before = server.descriptors();
    let client = stalled(&server, "/a");
    let several = stalled_at_parts(&server);
    server.expect_descriptors(before);
    for mut client in [client, several] {
        let mut rest = Vec::new();
        // It ends in a reset, as what it did not take is thrown away; or in what it had taken and an end.
        let _ = client.read_to_end(&mut rest);
        assert!(rest.len() < 64 << 20);
    }
    assert_eq!(get(&server, "/a").status, 200);
}

#[track_caller]
fn stalled_at_parts(server: &Server) -> TcpStream {
    stalled(
        server,
        "/a HTTP/1.1\r\nHost: t\r\nRange: bytes=0-9,1000-50000000\r\nX: y",
    )
}

#[test]
fn a_page_that_nobody_takes_is_cut_too() {
    let server = Server::start_with(&["--stall-timeout", "0.5", "--log", "off"]);
    for number in 0..4096 {
        let name = format!("{number:0200}");
        std::fs::File::create(server.path(name)).expect("a file");
    }
    let before = server.descriptors();
    let clients: Vec<TcpStream> = (0..3).map(|_| stalled(&server, "/")).collect();
    server.expect_descriptors(before);
    drop(clients);
}

/// A slow client is no stalled one, however long it takes in all.
#[test]
fn a_client_that_takes_a_little_now_and_then_is_served() {
    let server = Server::start_with(&["--stall-timeout", "3", "--log", "off"]);
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
