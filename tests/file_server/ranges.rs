//! Single ranges.

use super::client::{Response, get, get_with};
use super::server::Server;

const SIZE: usize = 5000;

#[track_caller]
fn get_range(server: &Server, range: &str) -> Response {
    get_with(server, "/a", &format!("Range: {range}\r\n"))
}

#[test]
fn a_range_is_a_part_of_the_file() {
    let server = Server::start();
    let bytes = server.add("a", SIZE);
    for (range, part) in [
        ("bytes=0-0", 0..1),
        ("bytes=4999-4999", 4999..5000),
        ("bytes=4999-", 4999..5000),
        ("bytes=-1", 4999..5000),
        ("bytes=100-199", 100..200),
        ("bytes=100-", 100..5000),
        ("bytes=-100", 4900..5000),
        ("bytes=0-", 0..5000),
        ("bytes=-5000", 0..5000),
        ("bytes=-5001", 0..5000),
        ("bytes=4990-5000", 4990..5000),
        ("bytes=4990-99999999999999999999999", 4990..5000),
        ("bytes=-99999999999999999999999", 0..5000),
        ("BYTES=1-2", 1..3),
        ("bytes=,0-1,", 0..2),
        ("bytes= ,\t, 0-1 ,,", 0..2),
        ("bytes=,,-1", 4999..5000),
    ] {
        let response = get_range(&server, range);
        assert_eq!(response.status, 206, "{range}");
        let expected = format!("bytes {}-{}/{SIZE}", part.start, part.end - 1);
        assert_eq!(response.field("content-range"), expected);
        assert!(response.body == bytes[part], "{range}: the content differs");
    }
}

#[test]
fn a_range_past_the_end_cannot_be_satisfied() {
    let server = Server::start();
    server.add("a", SIZE);
    for range in ["bytes=5000-", "bytes=5000-5001", "bytes=99999999999999999999999-", "bytes=-0"] {
        let response = get_range(&server, range);
        assert_eq!(response.status, 416, "{range}");
        assert_eq!(response.field("content-range"), "bytes */5000");
    }
}

#[test]
fn malformed_ranges_are_ignored() {
    let server = Server::start();
    let bytes = server.add("a", SIZE);
    for range in [
        "bytes=",
        "bytes=,",
        "bytes= , ,,",
        "bytes=-",
        "bytes =1-2",
        "bytes=\u{a0}1-2",
        "bytes=x-y",
        "bytes=5-2",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=1 - 2",
        "bytes 1-2",
        "lines=1-2",
        "1-2",
        "bytes=1-2\r\nRange: bytes=3-4",
    ] {
        let response = get_range(&server, range);
        assert_eq!(response.status, 200, "{range}");
        assert!(!response.has("content-range"));
        assert!(response.body == bytes, "{range}: the content differs");
    }
}

#[test]
fn in_an_empty_file_a_range_is_past_the_end_or_the_whole_file() {
    let server = Server::start();
    server.add("a", 0);
    let response = get_range(&server, "bytes=0-0");
    assert_eq!(response.status, 416);
    assert_eq!(response.field("content-range"), "bytes */0");
    assert_eq!(get_range(&server, "bytes=-1").status, 200);
}

#[test]
fn if_range_sends_a_part_only_of_the_same_file() {
    let server = Server::start();
    server.add("a", SIZE);
    let whole = get(&server, "/a");
    let tag = whole.field("etag");
    let fields = format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n");
    assert_eq!(get_with(&server, "/a", &fields).status, 206);
    for other in ["Sun, 06 Nov 1994 08:49:37 GMT", "\"a tag\""] {
        let fields = format!("Range: bytes=1-2\r\nIf-Range: {other}\r\n");
        assert_eq!(get_with(&server, "/a", &fields).status, 200, "{other}");
    }
}
