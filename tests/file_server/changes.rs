//! Files that change while many clients request them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::client::Client;
use super::server::Server;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";

/// A size that the server reads once for all requests of one iteration, and a size that it sends by
/// sendfile.
const SIZES: [usize; 2] = [1000, 10_000];

/// Sends requests until the flag is set.
fn send_requests_until(server: &Server, is_over: &AtomicBool) {
    let mut client = Client::connect(server);
    while !is_over.load(Ordering::Relaxed) {
        client.send(REQUEST);
        assert_eq!(client.response().status, 200);
    }
}

/// Eight clients request the same file continuously, so that the server can share a read in nearly
/// every iteration.
#[track_caller]
fn each_change_is_seen(size: usize, change: impl Fn(&Server, &[u8])) {
    let server = Server::start();
    let one = server.add("a", size);
    let other: Vec<u8> = one.iter().map(|byte| !byte).collect();
    let contents = [one, other];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| send_requests_until(&server, &is_over));
        }
        let mut client = Client::connect(&server);
        let mut stale = 0;
        for round in 0..500 {
            let now = &contents[round % 2];
            change(&server, now);
            client.send(REQUEST);
            stale += usize::from(client.response().body != *now);
        }
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(stale, 0, "stale responses after 500 changes");
    });
}

#[test]
fn the_next_request_sees_a_file_that_replaces_another() {
    for size in SIZES {
        each_change_is_seen(size, |server, bytes| {
            fs::write(server.outside("new"), bytes).expect("written");
            fs::rename(server.outside("new"), server.path("a")).expect("renamed");
        });
    }
}

/// This holds for small files only: bytes that sendfile has sent alias the file's pages until the
/// client has read them.
#[test]
fn the_next_request_sees_a_write_in_place_to_a_small_file() {
    let size = SIZES[0];
    each_change_is_seen(size, |server, bytes| {
        let file = File::options().write(true).open(server.path("a"));
        let written = file.expect("opened").write_all_at(bytes, 0);
        written.expect("written");
    });
}

/// A name that the server has just served is not found after its removal.
#[test]
fn the_next_request_does_not_find_a_removed_file() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for _ in 0..100 {
        server.add("a", 1000);
        client.send(REQUEST);
        assert_eq!(client.response().status, 200);
        fs::remove_file(server.path("a")).expect("removed");
        client.send(REQUEST);
        assert_eq!(client.response().status, 404);
    }
}

#[test]
fn a_file_without_requests_is_closed() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.send("GET /missing HTTP/1.1\r\nHost: t\r\n\r\n");
    client.response();
    let before = server.descriptors();
    for name in ["a", "b", "c"] {
        let bytes = server.add(name, 1000);
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert!(client.response().body == bytes);
    }
    server.expect_descriptors(before);
}
