//! Several ranges in one response.

use super::client::{Response, get_with};
use super::server::Server;

const SIZE: usize = 100_000;

#[track_caller]
fn get_ranges(server: &Server, ranges: &str) -> Response {
    get_with(server, "/a.html", &format!("Range: bytes={ranges}\r\n"))
}

/// Returns the parts of a multipart response: the `Content-Range` and the bytes of each. Asserts
/// the exact bytes between the parts.
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
        let content_range = head.strip_prefix("\r\nContent-Type: text/html\r\nContent-Range: ");
        let content_range = content_range.expect("the type and the range").trim_end();
        let bytes = &rest[end..];
        let len = find(bytes, delimiter.as_bytes());
        parts.push((content_range.to_owned(), bytes[..len].to_vec()));
        rest = &bytes[len..];
    }
}

#[track_caller]
fn find(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.position(|window| window == part).expect("the delimiter")
}

#[test]
fn parts_come_in_the_order_of_the_request() {
    let server = Server::start();
    let bytes = server.add("a.html", SIZE);
    for (ranges, expected) in [
        ("0-9,1000-1999", vec![0..10, 1000..2000]),
        ("50000-,0-0", vec![50_000..SIZE, 0..1]),
        ("-1 , 500-600,\t0-99", vec![SIZE - 1..SIZE, 500..601, 0..100]),
        // Empty elements are no ranges.
        (",0-0, ,\t,,-1,", vec![0..1, SIZE - 1..SIZE]),
        // The server leaves out ranges past the end.
        ("0-0,200000-,-1", vec![0..1, SIZE - 1..SIZE]),
    ] {
        let found = parts(&get_ranges(&server, ranges));
        assert_eq!(found.len(), expected.len(), "{ranges}");
        for ((content_range, content), part) in found.into_iter().zip(expected) {
            assert_eq!(content_range, format!("bytes {}-{}/{SIZE}", part.start, part.end - 1));
            assert!(content == bytes[part], "{ranges}: the content differs");
        }
    }
}

#[test]
fn the_connection_stays_open_after_a_multipart_response() {
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

/// The parts together are never larger than the file, however often the ranges repeat it.
#[test]
fn overlapping_and_near_ranges_are_merged() {
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
        let response = get_ranges(&server, ranges);
        assert_eq!(response.status, 206, "{ranges}");
        let content_range = format!("bytes {}-{}/{SIZE}", part.start, part.end - 1);
        assert_eq!(response.field("content-range"), content_range);
        assert!(response.body == bytes[part], "{ranges}: the content differs");
    }
    // The last range joins the first and the third, and the result stays in the place of the first.
    let found = parts(&get_ranges(&server, "0-99,50000-50001,200-299,90-250"));
    let content_ranges: Vec<&str> =
        found.iter().map(|(content_range, _)| content_range.as_str()).collect();
    assert_eq!(content_ranges, ["bytes 0-299/100000", "bytes 50000-50001/100000"]);
}

#[test]
fn ranges_that_are_all_past_the_end_get_416() {
    let server = Server::start();
    server.add("a.html", SIZE);
    let response = get_ranges(&server, "100000-,200000-200001,-0");
    assert_eq!(response.status, 416);
    assert_eq!(response.field("content-range"), "bytes */100000");
}

#[test]
fn too_many_ranges_and_malformed_ones_are_ignored() {
    let server = Server::start();
    let bytes = server.add("a.html", SIZE);
    let many = |count: usize| {
        let ranges: Vec<String> = (0..count).map(|n| format!("{0}-{0}", n * 1000)).collect();
        ranges.join(",")
    };
    assert_eq!(parts(&get_ranges(&server, &many(32))).len(), 32);
    let with_empty_elements = many(32).replace(',', ",,, ,");
    assert_eq!(parts(&get_ranges(&server, &with_empty_elements)).len(), 32);
    for ranges in [&many(33), "0-0,x", "0-0,\u{a0},2000-2000", "0-0,5-2", "0-0;2000-2000"] {
        let response = get_ranges(&server, ranges);
        assert_eq!(response.status, 200, "{ranges}");
        assert!(response.body == bytes, "{ranges}: the content differs");
    }
}
