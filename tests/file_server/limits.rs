//! More clients than there may be, and fewer descriptors than are needed.

use std::fs;
use std::io::{Read, Seek, Write};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::client::Client;
use super::server::Server;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";

/// A client that holds its place: it does not take its response.
#[track_caller]
fn busy(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client
}

#[test]
fn one_more_than_may_be_waits_for_one_to_go() {
    let server = Server::start_with(&["--limit-connections", "3", "--log", "off"]);
    server.add("large", 64 << 20);
    let bytes = server.add("a", 1000);
    let mut crowd: Vec<Client> = (0..3).map(|_| busy(&server)).collect();
    let mut waiting: Vec<Client> = (0..5).map(|_| Client::connect(&server)).collect();
    for client in &mut waiting {
        client.send(REQUEST);
    }
    // Longer than an answer takes, and it proves little if it is too short.
    thread::sleep(Duration::from_millis(300));
    assert!(waiting.iter_mut().all(|client| !client.has_input()));
    crowd.pop();
    for mut client in waiting {
        assert_eq!(client.response().body, bytes);
    }
}

/// The one that has been without a request for the longest.
#[test]
fn an_idle_connection_makes_room() {
    let server = Server::start_with(&["--limit-connections", "2", "--log", "off"]);
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

/// Nobody was idle when the next client came. It waits for an answer to end then, and not for a connection.
#[test]
fn one_that_becomes_idle_makes_room_for_who_waits() {
    let server = Server::start_with(&[
        "--limit-connections",
        "1",
        "--idle-timeout",
        "100",
        "--log",
        "off",
    ]);
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
fn the_limit_is_shared_out_among_the_loops() {
    let server =
        Server::start_with(&["--limit-connections", "8", "--threads", "4", "--log", "off"]);
    let bytes = server.add("a", 1000);
    let before = server.descriptors();
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = Client::connect(&server);
        client.send(REQUEST);
        assert_eq!(client.response().body, bytes);
        clients.push(client);
    }
    // Two for each loop; one more may be accepted and wait for a place.
    assert!(server.descriptors() <= before + 12);
}

/// More of them than there are descriptors, from clients that send nothing.
#[test]
fn idle_connections_lock_nobody_out() {
    allow_descriptors(4096);
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
    // Those that came last are still there.
    let last = crowd.last_mut().expect("a client");
    last.send(REQUEST);
    assert!(last.response().body == bytes, "the content differs");
}

/// Clients that begin a request and send nothing more leave when others come, and have a second.
#[test]
fn unfinished_requests_lock_nobody_out() {
    let options = [
        "--header-timeout",
        "100",
        "--limit-connections",
        "5",
        "--log",
        "off",
    ];
    let server = Server::start_with(&options);
    let bytes = server.add("a", 1000);
    let mut slow = Client::connect(&server);
    slow.send("GET /a HTTP/1.1\r\n");
    let crowd: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
    for mut client in crowd.iter().map(Client::stream) {
        client
            .write_all(b"GET /a HTTP/1.1\r\n")
            .expect("a connection");
    }
    let mut next = Client::connect(&server);
    next.send(REQUEST);
    assert_eq!(next.response().body, bytes);
    slow.expect_end();
}

/// The limit of connections leaves a file for each: all of them download at a time.
#[test]
fn each_connection_has_a_descriptor_for_its_file() {
    allow_descriptors(4096);
    let server = Server::start_with_descriptors(256);
    server.add_zeros("large");
    let bytes = server.add("a", 1000);
    let most = (256 - 72) / 2;
    let crowd: Vec<Client> = (0..most).map(|_| busy(&server)).collect();
    let mut waiting = Client::connect(&server);
    waiting.send(REQUEST);
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.has_input());
    drop(crowd);
    assert_eq!(waiting.response().body, bytes);
}

/// The limit is lowered while it runs, so that there is no descriptor for the next client and none for
/// its file. One idle connection goes for each.
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
    server.allow_descriptors(server.next_descriptor());
    let mut newcomers = Vec::new();
    for _ in 0..15 {
        let mut client = Client::connect(&server);
        client.send(REQUEST);
        assert!(client.response().body == bytes, "the content differs");
        newcomers.push(client);
    }
    let ended = crowd.iter_mut().filter(|client| client.has_input()).count();
    assert!((15..=32).contains(&ended), "{ended} have gone");
    // One line, however often it happens.
    let mut log = String::new();
    errors.rewind().expect("a file");
    errors.read_to_string(&mut log).expect("text");
    assert_eq!(log.matches("out of descriptors").count(), 1, "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// All other connections are busy, so none can leave.
#[test]
fn a_file_that_no_descriptor_is_left_for_is_unavailable() {
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
    let before = server.allow_descriptors(0);
    let refusal = ask();
    assert_eq!(refusal.status, 503);
    assert!(refusal.has("retry-after"));
    server.allow_descriptors(before);
    assert_eq!(ask().body, bytes);
}

/// Out of descriptors, and without an idle client, it neither spins nor fills its error output.
#[test]
fn a_listener_without_descriptors_rests() {
    let server = Server::start();
    server.add_zeros("large");
    let bytes = server.add("a", 10);
    let _crowd: Vec<Client> = (0..5).map(|_| busy(&server)).collect();
    let limit = server.allow_descriptors(0);
    let mut waiting: Vec<Client> = (0..60).map(|_| Client::connect(&server)).collect();
    let before = server.cpu_ticks();
    thread::sleep(Duration::from_secs(1));
    let used = server.cpu_ticks() - before;
    assert!(used < 20, "{used} hundredths of a second");
    server.allow_descriptors(limit);
    for client in &mut waiting {
        client.send(REQUEST);
        assert_eq!(client.response().body, bytes);
    }
}

/// A client that is asked to leave may have sent a request with a long response. Another one leaves.
#[test]
fn a_leaving_client_with_a_long_response_does_not_block_the_next() {
    let server = Server::start_with(&["--limit-connections", "2", "--log", "off"]);
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

/// Lets this process have so many descriptors, if the hard limit is not lower.
fn allow_descriptors(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let current = Some(limit.maximum.map_or(count, |most| most.min(count)));
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("a limit");
    }
}

#[test]
fn memory_of_parked_downloads_is_small() {
    const CLIENTS: usize = 400;
    let server = Server::start_with(&["--stall-timeout", "100"]);
    server.add("large", 64 << 20);
    let warm: Vec<Client> = (0..50).map(|_| busy(&server)).collect();
    let before = server.resident();
    let crowd: Vec<Client> = (0..CLIENTS).map(|_| busy(&server)).collect();
    let each = (server.resident().saturating_sub(before)) / CLIENTS;
    // It is under 4 KiB. Pages and the allocator's steps blur the number for so few.
    assert!(each < 6 << 10, "{each} bytes for each");
    drop((warm, crowd));
    fs::remove_file(server.path("large")).expect("the file");
}
