//! Conditional requests.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::client::{Client, Response, get, get_with};
use super::server::Server;

const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// Starts a server with a file that was last modified half a second after [`THEN`], and returns the
/// file's tag.
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
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let response = get_with(server, "/a", &fields);
    assert_eq!(response.status, status, "{fields}");
    response
}

#[test]
fn a_tag_is_strong_and_changes_with_the_file() {
    let (server, tag) = start();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2);
    assert_eq!(get(&server, "/a").field("etag"), tag);

    server.add("a", 1000);
    let rewritten = get(&server, "/a").field("etag").to_owned();
    assert_ne!(rewritten, tag);

    server.add("b", 1000);
    fs::rename(server.path("b"), server.path("a")).expect("a file in its place");
    assert_ne!(get(&server, "/a").field("etag"), rewritten);
}

#[track_caller]
fn copy_times(server: &Server, from: &str, to: &str) {
    let modified = fs::metadata(server.path(from)).and_then(|facts| facts.modified());
    let file = File::open(server.path(to)).expect("the file");
    let set = file.set_modified(modified.expect("a time"));
    set.expect("a time");
}

/// Deployments change modes and names of files that caches hold.
#[test]
fn a_tag_survives_chmod_ln_and_mv() {
    let (server, tag) = start();
    let mode = |mode| fs::set_permissions(server.path("a"), fs::Permissions::from_mode(mode));
    for bits in [0o600, 0o644, 0o755] {
        mode(bits).expect("a mode");
        assert_eq!(get(&server, "/a").field("etag"), tag, "{bits:o}");
    }
    fs::hard_link(server.path("a"), server.path("b")).expect("a link");
    for target in ["/a", "/b"] {
        assert_eq!(get(&server, target).field("etag"), tag);
    }
    fs::remove_file(server.path("a")).expect("a name");
    fs::rename(server.path("b"), server.path("a")).expect("a name");
    expect(&server, &[("If-None-Match", &tag)], 304);
    expect(&server, &[("Range", "bytes=1-2"), ("If-Range", &tag)], 206);
}

/// The copies have the size and the times of the file that they replace, as `cp -p` and archives
/// make them.
#[test]
fn a_copy_has_another_tag() {
    let (server, tag) = start();
    let bytes = fs::read(server.path("a")).expect("the file");
    for round in 0..20 {
        fs::write(server.path("copy"), &bytes).expect("a copy");
        copy_times(&server, "a", "copy");
        let copied = get(&server, "/copy").field("etag").to_owned();
        assert_ne!(copied, tag, "{round}");
        // The file system may reuse the inode. The birth time differs after a tick of the kernel's
        // clock.
        let born = || fs::metadata(server.path("copy")).and_then(|facts| facts.created());
        let before = born().expect("a file system with birth times");
        while born().expect("a time") == before {
            fs::remove_file(server.path("copy")).expect("the copy");
            fs::write(server.path("copy"), &bytes).expect("a copy");
        }
        copy_times(&server, "a", "copy");
        assert_ne!(get(&server, "/copy").field("etag"), copied, "{round}");
        fs::remove_file(server.path("copy")).expect("the copy");
    }
}

/// `docs/FILE_SERVER.md` documents this exception.
#[test]
fn a_rewrite_in_place_that_restores_size_and_time_keeps_the_tag() {
    let (server, tag) = start();
    server.add("times", 1);
    copy_times(&server, "a", "times");
    server.add("a", 1000);
    assert_ne!(get(&server, "/a").field("etag"), tag);
    copy_times(&server, "times", "a");
    assert_eq!(get(&server, "/a").field("etag"), tag);
    // One nanosecond makes a difference, and so does one byte.
    let modified = fs::metadata(server.path("a")).and_then(|facts| facts.modified());
    let file = File::options().append(true).open(server.path("a")).expect("the file");
    let next = modified.expect("a time") + Duration::from_nanos(1);
    file.set_modified(next).expect("a time");
    assert_ne!(get(&server, "/a").field("etag"), tag);
    (&file).write_all(b"x").expect("a byte");
    copy_times(&server, "times", "a");
    assert_ne!(get(&server, "/a").field("etag"), tag);
}

#[test]
fn if_none_match_with_the_present_tag_gives_304() {
    let (server, tag) = start();
    let weak = format!("W/{tag}");
    for tags in
        [&tag, &weak, "*", &format!("\"x\", {tag}"), &format!("\"a,b\",W/\"c\" ,,{tag}, \"d\"")]
    {
        let response = expect(&server, &[("If-None-Match", tags)], 304);
        assert_eq!(response.field("etag"), tag);
        assert_eq!(response.field("vary"), "Accept-Encoding");
        assert!(response.has("date") && !response.has("content-length"));
    }
    for tags in ["\"x\"", "", "x", "\"unclosed", &tag.replace('"', "")] {
        expect(&server, &[("If-None-Match", tags)], 200);
    }
    expect(&server, &[("If-None-Match", "\"x\""), ("If-None-Match", &tag)], 304);
}

#[test]
fn dates_work_as_conditions() {
    let (server, _) = start();
    for date in [THEN, AFTER, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
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

/// Dates before 1970, leap seconds and the obsolete formats are valid (RFC 9110, section 5.6.7).
#[test]
fn unusual_dates_are_parsed() {
    let (server, _) = start();
    for date in [
        "Mon, 01 Jan 1900 00:00:00 GMT",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 01 Jan 0001 00:00:00 GMT",
        "Sat, 30 Jun 1990 23:59:60 GMT",
        "Sunday, 06-Nov-77 08:49:37 GMT",
        "Sun Nov  6 08:49:36 1994",
        "Thu Jan 10 00:00:60 1963",
        "Sun, 06 Nov 1994 08:48:60 GMT",
    ] {
        expect(&server, &[("If-Unmodified-Since", date)], 412);
        expect(&server, &[("If-Modified-Since", date)], 200);
    }
    for date in [
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 31 Dec 2000 23:59:60 GMT",
        "Saturday, 06-Nov-60 08:49:37 GMT",
        "Tuesday, 29-Feb-00 00:00:00 GMT",
        "Sun Nov 13 08:49:37 1994",
        "Fri, 31 Dec 9999 23:59:60 GMT",
    ] {
        expect(&server, &[("If-Unmodified-Since", date)], 200);
        expect(&server, &[("If-Modified-Since", date)], 304);
    }
    for none in [
        "Mon, 01 Jan 1900 00:00:61 GMT",
        "Mon, 01 Jan 1900 00:60:00 GMT",
        "Mon, 01 Jan 1900 24:00:00 GMT",
        "Mon, 00 Jan 1900 00:00:00 GMT",
        "Thu, 29 Feb 1900 00:00:00 GMT",
        "Mon, 31 Apr 1900 00:00:00 GMT",
        "Mon, 1 Jan 1900 00:00:00 GMT",
        "Mon, 01 Jan 1900 00:00:00 CET",
        "Mon, 01 jan 1900 00:00:00 GMT",
        "Moo, 01 Jan 1900 00:00:00 GMT",
        "Mon, 01 Jan 1900 00:00:00 GMT x",
        "01 Jan 1900 00:00:00 GMT",
        "Mon, 01 Jan -900 00:00:00 GMT",
        "Mon, 01 Jan +900 00:00:00 GMT",
        "Mon, 01-Jan-1900 00:00:00 GMT",
        "0",
        "-1",
    ] {
        expect(&server, &[("If-Unmodified-Since", none)], 200);
        expect(&server, &[("If-Modified-Since", none)], 200);
    }
}

/// Nix and reproducible builds give such times to every version of a file.
#[test]
fn the_first_two_seconds_of_1970_are_no_dates() {
    let (server, _) = start();
    let file = File::open(server.path("a")).expect("the file");
    for nanoseconds in [0, 500_000_000, 1_000_000_000, 1_999_999_999] {
        let time = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        file.set_modified(time).expect("a time");
        let response = get(&server, "/a");
        assert!(!response.has("last-modified"), "{response:?}");
        let tag = response.field("etag").to_owned();
        for date in [
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Thu, 01 Jan 1970 00:00:01 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            THEN,
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            expect(&server, &[("If-Modified-Since", date)], 200);
            expect(&server, &[("If-Unmodified-Since", date)], 200);
            let range = ("Range", "bytes=1-2");
            expect(&server, &[range, ("If-Range", date)], 200);
        }
        expect(&server, &[("If-None-Match", &tag)], 304);
    }
    file.set_modified(UNIX_EPOCH + Duration::from_secs(2)).expect("a time");
    let date = "Thu, 01 Jan 1970 00:00:02 GMT";
    assert_eq!(get(&server, "/a").field("last-modified"), date);
    expect(&server, &[("If-Modified-Since", date)], 304);
}

/// A page has no tag and no date.
#[test]
fn a_listing_obeys_conditions() {
    let (server, tag) = start();
    for (fields, status) in [
        ("If-None-Match: *", 304),
        ("If-None-Match: \"x\"", 200),
        (&format!("If-None-Match: {tag}"), 200),
        ("If-Match: *", 200),
        ("If-Match: \"x\"", 412),
        ("If-Match: *\r\nIf-None-Match: *", 304),
        ("If-Match: \"x\"\r\nIf-None-Match: *", 412),
        (&format!("If-Modified-Since: {AFTER}"), 200),
        (&format!("If-Unmodified-Since: {BEFORE}"), 200),
        ("Range: bytes=0-1\r\nIf-Range: \"x\"", 200),
        ("Range: bytes=0-1", 200),
    ] {
        let response = get_with(&server, "/", &format!("{fields}\r\n"));
        assert_eq!(response.status, status, "{fields}");
        assert_eq!(response.has("vary"), status != 412, "{fields}");
    }
    fs::create_dir(server.path("d")).expect("a directory");
    assert_eq!(get_with(&server, "/d", "If-Match: \"x\"\r\n").status, 301);
}

#[test]
fn if_match_requires_the_present_version() {
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
fn conditions_are_evaluated_in_the_order_of_the_rfc() {
    let (server, tag) = start();
    let other = "\"x\"";
    for (status, fields) in [
        // A tag outweighs a date.
        (200, &[("If-Match", tag.as_str()), ("If-Unmodified-Since", BEFORE)][..]),
        (412, &[("If-Match", other), ("If-Unmodified-Since", AFTER)]),
        (200, &[("If-None-Match", other), ("If-Modified-Since", AFTER)]),
        (304, &[("If-None-Match", &tag), ("If-Modified-Since", BEFORE)]),
        // `If-Match` and `If-Unmodified-Since` come before the other two.
        (412, &[("If-None-Match", &tag), ("If-Match", other)]),
        (304, &[("If-None-Match", &tag), ("If-Match", &tag)]),
        (412, &[("If-Modified-Since", AFTER), ("If-Unmodified-Since", BEFORE)]),
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
fn if_range_sends_a_part_only_of_the_same_version() {
    let (server, tag) = start();
    let range = ("Range", "bytes=1-2");
    for same in [&tag, THEN] {
        expect(&server, &[range, ("If-Range", same)], 206);
    }
    for other in ["\"x\"", &format!("W/{tag}"), BEFORE, AFTER, "x", "", "*", "\""] {
        let response = expect(&server, &[range, ("If-Range", other)], 200);
        assert_eq!(response.body.len(), 1000, "{other}");
    }
    expect(&server, &[("Range", "bytes=5000-"), ("If-Range", "\"x\"")], 200);
    expect(&server, &[("If-Range", &tag)], 200);
}

/// Two versions of one second have the same date (RFC 9110, section 8.8.2.2).
#[test]
fn a_date_is_not_strong_within_its_second() {
    let (server, _) = start();
    let file = File::open(server.path("a")).expect("the file");
    let part = |date: &str| {
        let fields = format!("Range: bytes=1-2\r\nIf-Range: {date}\r\n");
        get_with(&server, "/a", &fields).status
    };
    let part_of_version = |modified: SystemTime| {
        file.set_modified(modified).expect("a time");
        let date = get(&server, "/a").field("last-modified").to_owned();
        part(&date)
    };
    loop {
        let now = SystemTime::now();
        let status = part_of_version(now);
        // On a busy machine, the second may have passed.
        if now.elapsed().is_ok_and(|age| age < Duration::from_secs(1)) {
            assert_eq!(status, 200);
            break;
        }
    }
    let later = SystemTime::now() + Duration::from_secs(1_000_000);
    assert_eq!(part_of_version(later), 200);
    let before = SystemTime::now() - Duration::from_secs(2);
    assert_eq!(part_of_version(before), 206);
}

/// `gzip -k` keeps the date. A client could join a part of the file and a part of its variant.
#[test]
fn a_date_is_not_strong_if_codings_share_it() {
    let (server, _) = start();
    server.add("a.gz", 500);
    copy_times(&server, "a", "a.gz");
    for accept in ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: br\r\n"] {
        let ask = |validator: &str| {
            let fields = format!("{accept}Range: bytes=1-2\r\nIf-Range: {validator}\r\n");
            get_with(&server, "/a", &fields)
        };
        assert_eq!(ask(THEN).status, 200, "{accept}");
        let tag = get_with(&server, "/a", accept).field("etag").to_owned();
        assert_eq!(ask(&tag).status, 206, "{accept}");
    }
    fs::remove_file(server.path("a.gz")).expect("the variant");
    expect(&server, &[("Range", "bytes=1-2"), ("If-Range", THEN)], 206);
}

#[test]
fn head_obeys_conditions_and_ignores_ranges() {
    let (server, tag) = start();
    let mut client = Client::connect(&server);
    let mut head = |fields: &str| {
        client.send(format!("HEAD /a HTTP/1.1\r\nHost: t\r\n{fields}\r\n\r\n"));
        client.head()
    };
    assert_eq!(head(&format!("If-None-Match: {tag}")).status, 304);
    assert_eq!(head("If-Match: \"x\"").status, 412);
    let ranged = head("Range: bytes=0-1\r\nIf-Range: \"x\"");
    assert_eq!((ranged.status, ranged.field("content-length")), (200, "1000"));
    assert_eq!(ranged.field("etag"), tag);
}

#[test]
fn conditions_do_not_apply_to_missing_files() {
    let (server, _) = start();
    for fields in ["If-None-Match: *\r\n", "If-Match: \"x\"\r\n"] {
        assert_eq!(get_with(&server, "/none", fields).status, 404);
    }
}
