//! Conditional requests.

use std::fs::{self, File};
use std::time::{Duration, UNIX_EPOCH};

use super::client::{Client, Response, get, get_with};
use super::server::Server;

const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A server with a file that was last modified [`THEN`], half a second past, and its tag.
#[track_caller]
fn start() -> (Server, String) {
    let server = Server::start();
    server.add("a", 1000);
    let file = File::open(server.path("a")).expect("the file");
    let then = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
    file.set_modified(then).expect("a time");
    let tag = get(&server, "/a").field("etag").to_owned();
    (server, tag)
}

#[track_caller]
fn expect(server: &Server, fields: &[(&str, &str)], status: u16) -> Response {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let response = get_with(server, "/a", &fields);
    assert_eq!(response.status, status, "{fields}");
    response
}

#[test]
fn a_tag_is_strong_and_changes_with_the_file() {
    let (server, tag) = start();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2);
    assert_eq!(get(&server, "/a").field("etag"), tag);

    // The same size and the same modification time, as a copy with `-p` over it leaves them.
    let modified = fs::metadata(server.path("a")).and_then(|facts| facts.modified());
    server.add("a", 1000);
    let file = File::open(server.path("a")).expect("the file");
    file.set_modified(modified.expect("a time"))
        .expect("a time");
    let rewritten = get(&server, "/a").field("etag").to_owned();
    assert_ne!(rewritten, tag);

    server.add("b", 1000);
    fs::rename(server.path("b"), server.path("a")).expect("a file in its place");
    assert_ne!(get(&server, "/a").field("etag"), rewritten);
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let (server, tag) = start();
    let weak = format!("W/{tag}");
    for tags in [
        &tag,
        &weak,
        "*",
        &format!("\"x\", {tag}"),
        &format!("\"a,b\",W/\"c\" ,,{tag}, \"d\""),
    ] {
        let response = expect(&server, &[("If-None-Match", tags)], 304);
        assert_eq!(response.field("etag"), tag);
        assert_eq!(response.field("vary"), "Accept-Encoding");
        assert!(response.has("date") && !response.has("content-length"));
    }
    for tags in ["\"x\"", "", "x", "\"unclosed", &tag.replace('"', "")] {
        expect(&server, &[("If-None-Match", tags)], 200);
    }
    expect(
        &server,
        &[("If-None-Match", "\"x\""), ("If-None-Match", &tag)],
        304,
    );
}

#[test]
fn dates_say_it_as_well() {
    let (server, _) = start();
    for date in [
        THEN,
        AFTER,
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        expect(&server, &[("If-Modified-Since", date)], 304);
        expect(&server, &[("If-Unmodified-Since", date)], 200);
    }
    expect(&server, &[("If-Modified-Since", BEFORE)], 200);
    expect(&server, &[("If-Unmodified-Since", BEFORE)], 412);
    for date in ["yesterday", ""] {
        expect(&server, &[("If-Modified-Since", date)], 200);
        expect(&server, &[("If-Unmodified-Since", date)], 200);
    }
}

#[test]
fn a_client_may_insist_on_a_version() {
    let (server, tag) = start();
    for tags in [&tag, "*", &format!("\"x\", {tag}")] {
        expect(&server, &[("If-Match", tags)], 200);
    }
    for tags in ["\"x\"", &format!("W/{tag}"), ""] {
        let response = expect(&server, &[("If-Match", tags)], 412);
        assert_eq!(response.field("etag"), tag);
    }
}

/// RFC 9110, section 13.2.2.
#[test]
fn conditions_have_an_order() {
    let (server, tag) = start();
    let other = "\"x\"";
    for (status, fields) in [
        // A tag outweighs a date.
        (
            200,
            &[("If-Match", tag.as_str()), ("If-Unmodified-Since", BEFORE)][..],
        ),
        (412, &[("If-Match", other), ("If-Unmodified-Since", AFTER)]),
        (
            200,
            &[("If-None-Match", other), ("If-Modified-Since", AFTER)],
        ),
        (
            304,
            &[("If-None-Match", &tag), ("If-Modified-Since", BEFORE)],
        ),
        // What must hold outweighs what would be new.
        (412, &[("If-None-Match", &tag), ("If-Match", other)]),
        (304, &[("If-None-Match", &tag), ("If-Match", &tag)]),
        (
            412,
            &[
                ("If-Modified-Since", AFTER),
                ("If-Unmodified-Since", BEFORE),
            ],
        ),
        // Ranges come last.
        (304, &[("If-None-Match", &tag), ("Range", "bytes=0-1")]),
        (412, &[("If-Match", other), ("Range", "bytes=0-1")]),
        (206, &[("If-Match", &tag), ("Range", "bytes=0-1")]),
        (304, &[("If-None-Match", &tag), ("Range", "bytes=5000-")]),
    ] {
        expect(&server, fields, status);
    }
}

#[test]
fn a_part_is_sent_only_of_the_very_same() {
    let (server, tag) = start();
    let range = ("Range", "bytes=1-2");
    for same in [&tag, THEN] {
        expect(&server, &[range, ("If-Range", same)], 206);
    }
    for other in [
        "\"x\"",
        &format!("W/{tag}"),
        BEFORE,
        AFTER,
        "x",
        "",
        "*",
        "\"",
    ] {
        let response = expect(&server, &[range, ("If-Range", other)], 200);
        assert_eq!(response.body.len(), 1000, "{other}");
    }
    expect(
        &server,
        &[("Range", "bytes=5000-"), ("If-Range", "\"x\"")],
        200,
    );
    expect(&server, &[("If-Range", &tag)], 200);
}

#[test]
fn head_has_conditions_too_and_no_ranges() {
    let (server, tag) = start();
    let mut client = Client::connect(&server);
    let mut head = |fields: &str| {
        client.send(format!("HEAD /a HTTP/1.1\r\nHost: t\r\n{fields}\r\n\r\n"));
        client.head()
    };
    assert_eq!(head(&format!("If-None-Match: {tag}")).status, 304);
    assert_eq!(head("If-Match: \"x\"").status, 412);
    let ranged = head("Range: bytes=0-1\r\nIf-Range: \"x\"");
    assert_eq!(
        (ranged.status, ranged.field("content-length")),
        (200, "1000")
    );
    assert_eq!(ranged.field("etag"), tag);
}

#[test]
fn what_is_not_there_has_no_conditions() {
    let (server, _) = start();
    for fields in ["If-None-Match: *\r\n", "If-Match: \"x\"\r\n"] {
        assert_eq!(get_with(&server, "/none", fields).status, 404);
    }
}
