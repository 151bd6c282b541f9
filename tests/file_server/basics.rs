//! Whole files, their names, and the statuses of other responses.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Advice, fadvise};

use super::client::{Client, ask, get, get_with};
use super::server::Server;

#[test]
fn a_file_is_sent_whole() {
    let server = Server::start();
    let bytes = server.add("page.html", (3 << 20) + 1);
    let response = get(&server, "/page.html");
    assert_eq!(response.status, 200);
    assert_eq!(response.field("content-type"), "text/html");
    assert_eq!(response.field("accept-ranges"), "bytes");
    assert!(response.body == bytes, "the content differs");
}

#[test]
fn an_empty_file_is_served() {
    let server = Server::start();
    server.add("empty", 0);
    let response = get(&server, "/empty");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.field("content-type"), "application/octet-stream");
}

/// The server reads a cold file in a different way. On a file system without a disk, such as tmpfs,
/// every file is in the page cache.
#[test]
fn a_small_cold_file_is_sent_whole() {
    let server = Server::start();
    let bytes = server.add("a", 1000);
    let file = File::open(server.path("a")).expect("the file");
    file.sync_all().expect("a disk");
    fadvise(&file, 0, None, Advice::DontNeed).expect("advice that the kernel takes");
    let response = get(&server, "/a");
    assert!(response.body == bytes, "the content differs");
    assert!(get(&server, "/a").body == bytes, "the content differs");
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::start();
    let bytes = server.add("a.txt", 1000);
    let mut client = Client::connect(&server);
    client.send("HEAD /a.txt HTTP/1.1\r\nHost: test\r\nRange: bytes=1-2\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.field("content-length")), (200, "1000"));
    client.send("HEAD /none HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.head().status, 404);
    client.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().body, bytes);
}

#[test]
fn date_and_last_modified_are_correct() {
    let server = Server::start();
    server.add("old", 10);
    let old = File::open(server.path("old")).expect("the file");
    let set = |when| old.set_modified(when).expect("a time");

    set(UNIX_EPOCH + Duration::from_secs(784_111_777));
    let response = get(&server, "/old");
    assert_eq!(response.field("last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    let date = httpdate::parse_http_date(response.field("date")).expect("a date");
    let age = SystemTime::now().duration_since(date).expect("the past");
    assert!(age < Duration::from_secs(60), "`Date` is {age:?} old");

    set(SystemTime::now() + Duration::from_secs(1_000_000));
    let response = get(&server, "/old");
    let date = |name| httpdate::parse_http_date(response.field(name)).expect("a date");
    assert!(date("last-modified") <= date("date"));

    set(UNIX_EPOCH - Duration::from_secs(1_000_000));
    let response = get(&server, "/old");
    assert_eq!(response.status, 200);
    assert!(!response.has("last-modified"));
}

#[test]
fn names_can_have_spaces_umlauts_and_bytes_that_are_not_utf_8() {
    let server = Server::start_without_log(&["--hidden"]);
    for (name, target) in [
        (&b"a b.txt"[..], "/a%20b.txt"),
        ("käse über.txt".as_bytes(), "/k%C3%A4se%20%c3%bcber.txt"),
        (b"100%", "/100%"),
        (b"a?b#c", "/a%3Fb%23c"),
        (b"\xff\x01", "/%ff%01"),
        (b"..a..", "/..a.."),
    ] {
        let bytes = server.add(OsStr::from_bytes(name), 100);
        let response = get(&server, target);
        assert_eq!((response.status, &response.body), (200, &bytes), "{target}");
    }
}

#[test]
fn query_fragment_empty_segments_and_authority_are_ignored() {
    let server = Server::start();
    fs::create_dir(server.path("d")).expect("a directory");
    let bytes = server.add("d/a", 100);
    for target in [
        "/d/a?x=/../y",
        "/d/a#there",
        "//d///a",
        "/./d/./a",
        "http://host/d/a",
        "HTTP://host:80/d/a?q",
    ] {
        let response = get(&server, target);
        assert_eq!((response.status, &response.body), (200, &bytes), "{target}");
    }
}

#[test]
fn an_absolute_target_needs_a_host() {
    let server = Server::start();
    server.add("a", 100);
    for target in ["http:///a", "http://:80/a", "http://", "http://?x"] {
        assert_eq!(get(&server, target).status, 400, "{target}");
    }
}

#[test]
fn a_directory_serves_its_index() {
    let server = Server::start();
    fs::create_dir(server.path("d")).expect("a directory");
    let (outer, inner) = (server.add("index.html", 10), server.add("d/index.html", 20));
    assert_eq!(get(&server, "/").body, outer);
    assert_eq!(get(&server, "http://host").body, outer);
    let response = get(&server, "/d/?query");
    assert_eq!(response.body, inner);
    assert_eq!(response.field("content-type"), "text/html");
}

#[test]
fn missing_files_are_not_found() {
    let server = Server::start();
    server.add("a", 10);
    let long = format!("/{}", "x".repeat(5000));
    for target in ["/b", "/a/", "/a/b", "/d/index.html", &long] {
        let response = get(&server, target);
        assert_eq!(response.status, 404, "{target}");
        assert_eq!(response.body, b"404 Not Found\n");
    }
}

#[test]
fn other_methods_are_not_allowed() {
    let server = Server::start();
    server.add("a", 10);
    for method in ["PUT", "DELETE", "POST", "PATCH", "TRACE", "CONNECT"] {
        let response = ask(&server, format!("{method} /a HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!((response.status, response.field("allow")), (405, "GET, HEAD, OPTIONS"));
    }
}

#[test]
fn a_request_that_is_not_http_gets_400() {
    let server = Server::start();
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nno colon\r\n\r\n",
        b"GET relative HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET ftp://host/a HTTP/1.1\r\nHost: t\r\n\r\n",
    ] {
        assert_eq!(ask(&server, request).status, 400, "{request:?}");
    }
}

#[test]
fn a_header_has_at_most_16_kib() {
    let server = Server::start();
    server.add("a", 10);
    let of_len = |len: usize| {
        let rest = "GET /a HTTP/1.1\r\nHost: t\r\nX: \r\n\r\n".len();
        format!("GET /a HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(len - rest))
    };
    assert_eq!(ask(&server, of_len(16 << 10)).status, 200);
    assert_eq!(ask(&server, of_len((16 << 10) + 1)).status, 431);
    assert_eq!(ask(&server, of_len(1 << 20)).status, 431);
    assert_eq!(ask(&server, "x".repeat(16 << 10)).status, 431);
    assert_eq!(get_with(&server, "/a", &"X: y\r\n".repeat(1000)).status, 431);
}
