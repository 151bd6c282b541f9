//! Files that change while many ask for them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::client::Client;
use super::server::Server;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";

/// Small enough to be read once for all who ask in one turn, and large enough to be sent by sendfile.
const SIZES: [usize; 2] = [1000, 10_000];

/// Asks until it is told that it was enough.
fn ask_on(server: &Server, is_enough: &AtomicBool) {
    let mut client = Client::connect(server);
    while !is_enough.load(Ordering::Relaxed) {
        client.send(REQUEST);
        assert_eq!(client.response().status, 200);
    }
}

/// Others ask for the same all the time, so that there is something to be shared in nearly every turn.
#[track_caller]
fn each_change_is_seen(size: usize, change: impl Fn(&Server, &[u8])) {
    let server = Server::start();
    let one = server.add("a", size);
    let other: Vec<u8> = one.iter().map(|byte| !byte).collect();
    let contents = [one, other];
    let is_enough = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| ask_on(&server, &is_enough));
        }
        let mut client = Client::connect(&server);
        let mut late = 0;
        for round in 0..500 {
            let now = &contents[round % 2];
            change(&server, now);
            client.send(REQUEST);
            late += usize::from(client.response().body != *now);
        }
        is_enough.store(true, Ordering::Relaxed);
        assert_eq!(late, 0, "of 500 changes");
    });
}

#[test]
fn a_file_that_replaces_another_is_seen_by_the_next_request() {
    for size in SIZES {
        each_change_is_seen(size, |server, bytes| {
            fs::write(server.outside("new"), bytes).expect("written");
            fs::rename(server.outside("new"), server.path("a")).expect("renamed");
        });
    }
}

/// Only of a small one: what sendfile has sent still is the file's pages until the client has read it.
#[test]
fn a_file_that_is_written_in_place_is_seen_by_the_next_request() {
    let size = SIZES[0];
    each_change_is_seen(size, |server, bytes| {
        let file = File::options().write(true).open(server.path("a"));
        let written = file.expect("opened").write_all_at(bytes, 0);
        written.expect("written");
    });
}

/// A name that is gone is gone, also where it was there a moment ago.
#[test]
fn a_file_that_is_removed_is_not_found_by_the_next_request() {
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
fn a_file_that_nobody_asks_for_any_more_is_not_kept_open() {
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
