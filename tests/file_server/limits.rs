//! More clients than the limit, and fewer descriptors than the server needs.

use std::fs;
use std::io::{Read, Seek, Write};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::client::Client;
use super::server::Server;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";

/// Returns a client that keeps its connection busy: it does not read the body of its response.
#[track_caller]
fn busy(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client
}

#[test]
fn a_connection_over_the_limit_waits_until_another_ends() {
    let server = Server::start_without_log(&["--limit-connections", "3"]);
    server.add("large", 64 << 20);
    let bytes = server.add("a", 1000);
    let mut crowd: Vec<Client> = (0..3).map(|_| busy(&server)).collect();
    let mut waiting: Vec<Client> = (0..5).map(|_| Client::connect(&server)).collect();
    for client in &mut waiting {
        client.send(REQUEST);
    }
    // Longer than a response takes. On a slow machine the check could pass without proof.
    thread::sleep(Duration::from_millis(300));
    assert!(waiting.iter_mut().all(|client| !client.has_input()));
    crowd.pop();
    for mut client in waiting {
        assert_eq!(client.response().body, bytes);
    }
}

/// The server closes the connection that has been idle for the longest time.
#[test]
fn an_idle_connection_is_closed_for_a_new_one() {
    let server = Server::start_without_log(&["--limit-connections", "2"]);
    let bytes = server.add("a", 1000);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(&server);
        client.send(REQUEST);
        assert_eq!(client.response().body, bytes);
        clients.push(client);
    }
    let mut kept = clients.split_off(4);
    for client in &mut clients {
        client.expect_end();
    }
    for client in &mut kept {
        client.send(REQUEST);
        assert_eq!(client.response().body, bytes);
    }
}

/// No connection is idle when the next client connects. That client waits for the end of a
/// response, not for the end of a connection.
#[test]
fn a_connection_that_becomes_idle_is_closed_for_a_waiting_one() {
    let server = Server::start_without_log(&["--limit-connections", "1", "--idle-timeout", "100"]);
    server.add("large", 32 << 20);
    let bytes = server.add("a", 1000);
    let mut first = busy(&server);
    let mut next = Client::connect(&server);
    next.send(REQUEST);
    thread::sleep(Duration::from_millis(300));
    assert!(!next.has_input());
    first.bytes(32 << 20);
    assert_eq!(next.response().body, bytes);
    first.expect_end();
}

#[test]
fn the_limit_is_divided_among_the_loops() {
    let server = Server::start_without_log(&["--limit-connections", "8", "--threads", "4"]);
    let bytes = server.add("a", 1000);
    let before = server.descriptors();
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = Client::connect(&server);
        client.send(REQUEST);
        assert_eq!(client.response().body, bytes);
        clients.push(client);
    }
    // Each of the four loops serves two, and can have accepted one more that waits.
    assert!(server.descriptors() <= before + 12);
}

/// There are more connections than descriptors, all from clients that send nothing.
#[test]
fn idle_connections_do_not_lock_out_others() {
    raise_descriptor_limit(4096);
    let server = Server::start_with_descriptors(1024);
    let bytes = server.add("a", 100_000);
    let mut crowd: Vec<Client> = (0..1100).map(|_| Client::connect(&server)).collect();
    for _ in 0..20 {
        let mut client = Client::connect(&server);
        client.send(REQUEST);
        assert!(client.response().body == bytes, "the content differs");
        crowd.push(client);
    }
    assert!(server.descriptors() < 1024 / 2 + 100);
    // The newest connections are still open.
    let last = crowd.last_mut().expect("a client");
    last.send(REQUEST);
    assert!(last.response().body == bytes, "the content differs");
}

/// The server discards what the client of a refused request still sends. If another client waits,
/// it does so for one second instead of thirty.
#[test]
fn refused_clients_do_not_lock_out_others() {
    let server = Server::start_without_log(&["--limit-connections", "1"]);
    let bytes = server.add("a", 1000);
    let mut refused = Client::connect(&server);
    refused.send("BAD\r\n\r\n");
    assert_eq!(refused.response().status, 400);
    let begun = Instant::now();
    let mut next = Client::connect(&server);
    next.send(REQUEST);
    while !next.has_input() && begun.elapsed() < Duration::from_secs(20) {
        // An error means that the server has closed the connection.
        let _ = refused.stream().write(b"x");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "the refused client kept its place");
    assert_eq!(next.response().body, bytes);
}

/// If other clients wait, the server closes connections with an unfinished request, but not before
/// these have had one second.
#[test]
fn unfinished_requests_do_not_lock_out_others() {
    let server =
        Server::start_without_log(&["--header-timeout", "100", "--limit-connections", "5"]);
    let bytes = server.add("a", 1000);
    let mut slow = Client::connect(&server);
    slow.send("GET /a HTTP/1.1\r\n");
    let crowd: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
    for mut client in crowd.iter().map(Client::stream) {
        client.write_all(b"GET /a HTTP/1.1\r\n").expect("a connection");
    }
    let mut next = Client::connect(&server);
    next.send(REQUEST);
    assert_eq!(next.response().body, bytes);
    slow.expect_end();
}

/// The connection limit reserves a descriptor for a file of each connection.
#[test]
fn each_connection_has_a_descriptor_for_its_file() {
    raise_descriptor_limit(4096);
    let server = Server::start_with_descriptors(256);
    server.add_zeros("large");
    let bytes = server.add("a", 1000);
    let limit = (256 - 72) / 2;
    let crowd: Vec<Client> = (0..limit).map(|_| busy(&server)).collect();
    let mut waiting = Client::connect(&server);
    waiting.send(REQUEST);
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.has_input());
    drop(crowd);
    assert_eq!(waiting.response().body, bytes);
}

/// The test lowers the limit while the server runs, so that no descriptor is left for the next
/// client or its file. The server closes one idle connection for each.
#[test]
fn idle_connections_are_closed_when_descriptors_run_out() {
    let mut errors = tempfile::tempfile().expect("a file");
    let server = Server::start_logging_to(&errors);
    let bytes = server.add("a", 100_000);
    let mut crowd: Vec<Client> = (0..40).map(|_| Client::connect(&server)).collect();
    for client in &mut crowd {
        client.send("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 204);
    }
    server.set_descriptor_limit(server.next_descriptor());
    let mut newcomers = Vec::new();
    for _ in 0..15 {
        let mut client = Client::connect(&server);
        client.send(REQUEST);
        assert!(client.response().body == bytes, "the content differs");
        newcomers.push(client);
    }
    let ended = crowd.iter_mut().filter(|client| client.has_input()).count();
    assert!((15..=32).contains(&ended), "{ended} connections were closed, expected 15 to 32");
    // The server logs it once, however often it happens.
    let mut log = String::new();
    errors.rewind().expect("a file");
    errors.read_to_string(&mut log).expect("text");
    assert_eq!(log.matches("out of descriptors").count(), 1, "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// All other connections are busy, so the server can close none.
#[test]
fn a_file_without_a_free_descriptor_gets_503() {
    let server = Server::start();
    server.add_zeros("large");
    let bytes = server.add("a", 1000);
    let mut client = Client::connect(&server);
    let mut ask = || {
        client.send(REQUEST);
        client.response()
    };
    assert_eq!(ask().body, bytes);
    let _crowd: Vec<Client> = (0..5).map(|_| busy(&server)).collect();
    let before = server.set_descriptor_limit(0);
    let refusal = ask();
    assert_eq!(refusal.status, 503);
    assert!(refusal.has("retry-after"));
    server.set_descriptor_limit(before);
    assert_eq!(ask().body, bytes);
}

/// Without descriptors and without an idle client, the server does not spin.
#[test]
fn a_listener_without_descriptors_backs_off() {
    let server = Server::start();
    server.add_zeros("large");
    let bytes = server.add("a", 10);
    let _crowd: Vec<Client> = (0..5).map(|_| busy(&server)).collect();
    let limit = server.set_descriptor_limit(0);
    let mut waiting: Vec<Client> = (0..60).map(|_| Client::connect(&server)).collect();
    let before = server.cpu_ticks();
    thread::sleep(Duration::from_secs(1));
    let used = server.cpu_ticks() - before;
    assert!(used < 20, "the server used {used} hundredths of a second in 1 s");
    server.set_descriptor_limit(limit);
    for client in &mut waiting {
        client.send(REQUEST);
        assert_eq!(client.response().body, bytes);
    }
}

/// A connection that the server is closing can have a request with a long response on its way. The
/// server then closes another one.
#[test]
fn a_closing_connection_with_a_long_response_does_not_block_the_next() {
    let server = Server::start_without_log(&["--limit-connections", "2"]);
    server.add_zeros("large");
    let bytes = server.add("a", 1000);
    for _ in 0..20 {
        let mut first = Client::connect(&server);
        let mut second = Client::connect(&server);
        for client in [&mut first, &mut second] {
            client.send(REQUEST);
            assert_eq!(client.response().body, bytes);
        }
        let mut next = Client::connect(&server);
        first.try_send(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
        next.send(REQUEST);
        assert_eq!(next.response().body, bytes);
    }
}

/// Raises this process's descriptor limit to `count`, or to the hard limit if that is lower.
fn raise_descriptor_limit(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let current = Some(limit.maximum.map_or(count, |hard| hard.min(count)));
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("a limit");
    }
}

#[test]
fn memory_of_stalled_downloads_is_small() {
    const CLIENTS: usize = 400;
    let server = Server::start_with(&["--stall-timeout", "100"]);
    server.add("large", 64 << 20);
    let warm: Vec<Client> = (0..50).map(|_| busy(&server)).collect();
    let before = server.resident();
    let crowd: Vec<Client> = (0..CLIENTS).map(|_| busy(&server)).collect();
    let each = (server.resident().saturating_sub(before)) / CLIENTS;
    // It is under 4 KiB. With so few clients, pages and the allocator's size classes add noise.
    assert!(each < 6 << 10, "{each} bytes for each download");
    drop((warm, crowd));
    fs::remove_file(server.path("large")).expect("the file");
}
