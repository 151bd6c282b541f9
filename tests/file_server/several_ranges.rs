//! Several parts of a file in one response.

use super::client::{Response, get_with};
use super::server::Server;

const SIZE: usize = 100_000;

#[track_caller]
fn ask_for(server: &Server, ranges: &str) -> Response {
    get_with(server, "/a.html", &format!("Range: bytes={ranges}\r\n"))
}

/// The parts of a multipart response: what `Content-Range` says of each, and its bytes. Strict about everything between.
#[track_caller]
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    assert_eq!(response.status, 206);
    assert!(!response.has("content-range"));
    let media_type = response.field("content-type");
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=");
    let delimiter = format!("\r\n--{}", boundary.expect("a multipart type"));
    let mut rest = &response.body[..];
    let mut parts = Vec::new();
    loop {
        rest = rest.strip_prefix(delimiter.as_bytes()).expect("a boundary");
        if rest == b"--\r\n" {
            return parts;
        }
        let end = find(rest, b"\r\n\r\n") + 4;
        let head = std::str::from_utf8(&rest[..end]).expect("a header");
        let place = head.strip_prefix("\r\nContent-Type: text/html\r\nContent-Range: ");
        let place = place.expect("the type and the place").trim_end();
        let bytes = &rest[end..];
        let len = find(bytes, delimiter.as_bytes());
        parts.push((place.to_owned(), bytes[..len].to_vec()));
        rest = &bytes[len..];
    }
}

#[track_caller]
fn find(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows
        .position(|window| window == part)
        .expect("it is in there")
}

#[test]
fn parts_come_in_the_order_in_which_they_were_asked_for() {
    let server = Server::start();
    let bytes = server.add("a.html", SIZE);
    for (ranges, expected) in [
        ("0-9,1000-1999", vec![0..10, 1000..2000]),
        ("50000-,0-0", vec![50_000..SIZE, 0..1]),
        (
            "-1 , 500-600,\t0-99",
            vec![SIZE - 1..SIZE, 500..601, 0..100],
        ),
        // Empty elements are no ranges.
        (",0-0, ,\t,,-1,", vec![0..1, SIZE - 1..SIZE]),
        // What cannot be satisfied is left out.
        ("0-0,200000-,-1", vec![0..1, SIZE - 1..SIZE]),
    ] {
        let found = parts(&ask_for(&server, ranges));
        assert_eq!(found.len(), expected.len(), "{ranges}");
        for ((place, content), part) in found.into_iter().zip(expected) {
            assert_eq!(
                place,
                format!("bytes {}-{}/{SIZE}", part.start, part.end - 1)
            );
            assert!(content == bytes[part], "{ranges}: the content differs");
        }
    }
}

#[test]
fn the_connection_goes_on_behind_it() {
    let server = Server::start();
    let bytes = server.add("a.html", SIZE);
    let mut client = super::client::Client::connect(&server);
    for _ in 0..3 {
        client.send("GET /a.html HTTP/1.1\r\nHost: t\r\nRange: bytes=0-9999,20000-29999\r\n\r\n");
        client.send("GET /a.html HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(parts(&client.response()).len(), 2);
        assert!(client.response().body == bytes, "the content differs");
    }
}

/// The parts are never more than the file, however often it is asked for.
#[test]
fn what_overlaps_or_nearly_does_becomes_one() {
    let server = Server::start();
    let bytes = server.add("a.html", SIZE);
    for (ranges, part) in [
        ("0-99,50-149", 0..150),
        ("0-9,10-19", 0..20),
        ("0-0,5-6", 0..7),
        ("100-199,0-149,120-130", 0..200),
        ("-100,0-", 0..SIZE),
        ("0-,0-,0-,0-,0-,0-", 0..SIZE),
        ("200000-,7-8", 7..9),
    ] {
        let response = ask_for(&server, ranges);
        assert_eq!(response.status, 206, "{ranges}");
        let place = format!("bytes {}-{}/{SIZE}", part.start, part.end - 1);
        assert_eq!(response.field("content-range"), place);
        assert!(
            response.body == bytes[part],
            "{ranges}: the content differs"
        );
    }
    // The third unites the first and the last, and takes the place of the first.
    let found = parts(&ask_for(&server, "0-99,50000-50001,200-299,90-250"));
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["bytes 0-299/100000", "bytes 50000-50001/100000"]);
}

#[test]
fn nothing_that_can_be_satisfied_is_416() {
    let server = Server::start();
    server.add("a.html", SIZE);
    let response = ask_for(&server, "100000-,200000-200001,-0");
    assert_eq!(response.status, 416);
    assert_eq!(response.field("content-range"), "bytes */100000");
}

#[test]
fn too_many_and_nonsense_are_ignored() {
    let server = Server::start();
    let bytes = server.add("a.html", SIZE);
    let many = |count: usize| {
        let ranges: Vec<String> = (0..count).map(|n| format!("{0}-{0}", n * 1000)).collect();
        ranges.join(",")
    };
    assert_eq!(parts(&ask_for(&server, &many(32))).len(), 32);
    let apart = many(32).replace(',', ",,, ,");
    assert_eq!(parts(&ask_for(&server, &apart)).len(), 32);
    for ranges in [
        &many(33),
        "0-0,x",
        "0-0,\u{a0},2000-2000",
        "0-0,5-2",
        "0-0;2000-2000",
    ] {
        let response = ask_for(&server, ranges);
        assert_eq!(response.status, 200, "{ranges}");
        assert!(response.body == bytes, "{ranges}: the content differs");
    }
}
