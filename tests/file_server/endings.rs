//! Graceful shutdown.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::client::Client;
use super::server::Server;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";

#[track_caller]
fn start(grace: &str) -> Server {
    Server::start_without_log(&["--grace", grace])
}

/// Returns a client that has read the head of its response and not the body.
#[track_caller]
fn downloading(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.send(REQUEST);
    client.head();
    client
}

/// Waits until the server accepts no connection any more.
#[track_caller]
fn expect_closed(server: &Server) {
    while TcpStream::connect(server.addr).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn without_clients_the_server_ends_at_once() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = start("100");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn idle_connections_are_closed_at_once() {
    let server = start("100");
    server.add("a", 10);
    let mut unused = Client::connect(&server);
    let mut used = Client::connect(&server);
    used.send(REQUEST);
    assert_eq!(used.response().field("connection"), "keep-alive");
    server.signal(Signal::TERM);
    unused.expect_end();
    used.expect_end();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_download_is_finished() {
    let server = start("100");
    let bytes = server.add("a", 32 << 20);
    let mut client = downloading(&server);
    server.signal(Signal::TERM);
    expect_closed(&server);
    assert!(client.bytes(32 << 20) == bytes, "the content differs");
    client.expect_end();
    assert_eq!(server.wait().code(), Some(0));
}

/// A request of which the server has received a part is answered with `Connection: close`.
#[test]
fn a_partly_received_request_is_answered_and_is_the_last() {
    let server = start("100");
    let bytes = server.add("a", 100_000);
    let mut client = Client::connect(&server);
    // The first response proves that the server has received the beginning of the second request.
    client.send(format!("{REQUEST}GET /a HTTP/1.1\r\n"));
    assert!(client.response().body == bytes, "the content differs");
    server.signal(Signal::TERM);
    expect_closed(&server);
    client.send(format!("Host: t\r\n\r\n{REQUEST}"));
    let response = client.response();
    assert_eq!(response.field("connection"), "close");
    assert!(response.body == bytes, "the content differs");
    client.expect_end();
    assert_eq!(server.wait().code(), Some(0));
}

/// The clients send before the signal, while the server is stopped, so their connections are not
/// yet accepted. There are more of them than the server accepts in the iterations before the
/// shutdown.
#[test]
fn requests_that_were_sent_before_the_signal_are_answered() {
    let server = start("100");
    let bytes = server.add("a", 1000);
    server.signal(Signal::STOP);
    let mut clients: Vec<Client> = (0..600).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.send(REQUEST);
    }
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    for client in &mut clients {
        assert!(client.response().body == bytes, "the content differs");
        client.expect_end();
    }
    assert_eq!(server.wait().code(), Some(0));
}

/// One of the waiting connections is accepted and waits for a free slot. The others are not
/// accepted.
#[test]
fn connections_that_wait_for_the_limit_are_answered() {
    let server = Server::start_without_log(&["--limit-connections", "1", "--grace", "100"]);
    let bytes = server.add("a", 32 << 20);
    let mut busy = downloading(&server);
    let before = server.descriptors();
    let mut waiting: Vec<Client> = (0..3).map(|_| Client::connect(&server)).collect();
    for client in &mut waiting {
        client.send(REQUEST);
    }
    server.expect_descriptors(before + 1);
    server.signal(Signal::TERM);
    for client in &mut waiting {
        assert!(client.response().body == bytes, "the content differs");
        client.expect_end();
    }
    assert!(busy.bytes(32 << 20) == bytes, "the content differs");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn downloads_are_cut_after_the_grace_period() {
    let server = start("0.5");
    server.add("a", 64 << 20);
    let mut client = downloading(&server);
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert!(client.is_ended());
}

#[test]
fn a_download_that_is_cut_is_in_the_log() {
    let mut server = Server::start_with(&["--grace", "0.1"]);
    server.add("a", 64 << 20);
    let _client = downloading(&server);
    server.signal(Signal::TERM);
    assert!(server.line().contains("\"GET /a HTTP/1.1\" 200 "));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let server = start("100");
    server.add("a", 64 << 20);
    let _client = downloading(&server);
    server.signal(Signal::INT);
    expect_closed(&server);
    server.signal(Signal::INT);
    assert_eq!(server.wait().signal(), Some(Signal::INT.as_raw()));
}

#[test]
fn the_loops_of_all_threads_end() {
    let server = Server::start_without_log(&["--threads", "4", "--grace", "100"]);
    let bytes = server.add("a", 4 << 20);
    let mut clients: Vec<Client> = (0..20).map(|_| downloading(&server)).collect();
    server.signal(Signal::TERM);
    for client in &mut clients {
        assert!(client.bytes(4 << 20) == bytes, "the content differs");
        client.expect_end();
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_log_is_complete() {
    let mut server = Server::start_with(&[]);
    server.add("a", 10);
    let mut client = Client::connect(&server);
    client.send(REQUEST.repeat(1000));
    (0..1000).for_each(|_| assert_eq!(client.response().status, 200));
    server.signal(Signal::TERM);
    for _ in 0..1000 {
        assert!(server.line().contains("\"GET /a HTTP/1.1\" 200 10 "));
    }
    assert_eq!(server.line(), "");
    assert_eq!(server.wait().code(), Some(0));
}
