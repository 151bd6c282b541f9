//! More clients than there may be, and fewer descriptors than are needed.

use std::fs;
use std::thread;
use std::time::Duration;

use super::client::{Client, get};
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

/// Descriptors are there for the connections and not for the files.
#[test]
fn a_file_that_no_descriptor_is_left_for_is_unavailable() {
    let server = Server::start_with_descriptors(32);
    server.add("a", 1000);
    let mut client = Client::connect(&server);
    let mut ask = || {
        client.send(REQUEST);
        client.response()
    };
    let mut crowd = Vec::new();
    let refusal = loop {
        match ask() {
            response if response.status == 200 => crowd.push(Client::connect(&server)),
            response => break response,
        }
        assert!(crowd.len() < 1000, "there are always descriptors");
    };
    assert_eq!(refusal.status, 503);
    assert!(refusal.has("retry-after"));
    drop(crowd);
    while ask().status != 200 {
        thread::yield_now();
    }
}

/// Out of descriptors, it neither spins nor fills its error output.
#[test]
fn a_listener_without_descriptors_rests() {
    let server = Server::start_with_descriptors(32);
    let crowd: Vec<Client> = (0..60).map(|_| Client::connect(&server)).collect();
    while server.descriptors() < 32 {
        thread::yield_now();
    }
    let before = server.cpu_ticks();
    thread::sleep(Duration::from_secs(1));
    let used = server.cpu_ticks() - before;
    assert!(used < 20, "{used} hundredths of a second");
    drop(crowd);
    server.add("a", 10);
    assert_eq!(get(&server, "/a").status, 200);
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
