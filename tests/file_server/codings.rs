//! Precompressed variants.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::client::{Response, get, get_with};
use super::server::Server;

const VARIANTS: [(&str, &str); 3] = [("", "plain"), (".gz", "gzipped"), (".br", "brotli")];

/// Starts a server with a script and two variants, whose contents name their codings.
#[track_caller]
fn start() -> Server {
    let server = Server::start();
    for (suffix, content) in VARIANTS {
        fs::write(server.path(format!("x.js{suffix}")), content).expect("a file");
    }
    server
}

#[track_caller]
fn ask(server: &Server, accept: &str) -> Response {
    get_with(server, "/x.js", &format!("Accept-Encoding: {accept}\r\n"))
}

#[track_caller]
fn expect(server: &Server, accept: &str, content: &str) {
    let response = ask(server, accept);
    assert_eq!(response.status, 200, "{accept}");
    assert_eq!(response.body, content.as_bytes(), "{accept}");
    assert_eq!(response.field("vary"), "Accept-Encoding");
    assert_eq!(response.field("content-type"), "text/javascript");
    match content {
        "plain" => assert!(!response.has("content-encoding")),
        "gzipped" => assert_eq!(response.field("content-encoding"), "gzip"),
        _ => assert_eq!(response.field("content-encoding"), "br"),
    }
}

#[test]
fn a_client_gets_the_coding_that_it_prefers() {
    let server = start();
    assert_eq!(get(&server, "/x.js").body, b"plain");
    for (accept, content) in [
        ("gzip", "gzipped"),
        ("x-gzip", "gzipped"),
        ("GZip, deflate", "gzipped"),
        ("gzip, deflate, br, zstd", "brotli"),
        ("gzip;q=1.0, br;q=0.9", "gzipped"),
        ("gzip; q=0.5 , br ; q=0.501", "brotli"),
        ("*", "brotli"),
        ("*, br;q=0", "gzipped"),
        ("br;q=0, gzip;q=0", "plain"),
        ("*;q=0.5, gzip;q=1", "gzipped"),
        ("identity", "plain"),
        ("identity, gzip;q=0.5", "plain"),
        ("identity;q=0.5, gzip", "gzipped"),
        ("identity;q=0, gzip;q=0.001", "gzipped"),
        ("deflate", "plain"),
        ("", "plain"),
        ("gzip;q=x", "plain"),
        ("gzip;q=0.000", "plain"),
        ("gzipped, brotli", "plain"),
        ("deflate\r\nAccept-Encoding: gzip", "gzipped"),
    ] {
        expect(&server, accept, content);
    }
}

#[test]
fn a_client_can_refuse_the_identity_coding() {
    let server = start();
    expect(&server, "identity;q=0, br", "brotli");
    for accept in ["identity;q=0", "*;q=0", "identity;q=0, deflate"] {
        let response = ask(&server, accept);
        assert_eq!(response.status, 406, "{accept}");
        assert_eq!(response.field("vary"), "Accept-Encoding");
    }
    server.add("lonely", 10);
    let response = get_with(&server, "/lonely", "Accept-Encoding: *;q=0\r\n");
    assert_eq!(response.status, 406);
}

/// A client must not join bytes of one coding with bytes of another.
#[test]
fn each_coding_has_its_own_tag_and_ranges() {
    let server = start();
    let tag = |accept: &str| ask(&server, accept).field("etag").to_owned();
    let tags = [tag(""), tag("gzip"), tag("br")];
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);

    let part = |tag: &str| {
        let fields = format!("Accept-Encoding: gzip\r\nRange: bytes=0-3\r\nIf-Range: {tag}\r\n");
        get_with(&server, "/x.js", &fields)
    };
    let same = part(&tags[1]);
    assert_eq!((same.status, &same.body[..]), (206, &b"gzip"[..]));
    assert_eq!(same.field("content-range"), "bytes 0-3/7");
    assert_eq!(same.field("content-encoding"), "gzip");
    assert_eq!(part(&tags[0]).status, 200);

    let fields = format!("Accept-Encoding: gzip\r\nIf-None-Match: {}\r\n", tags[0]);
    assert_eq!(get_with(&server, "/x.js", &fields).status, 200);
}

/// A variant is stale if its file was changed after the compression.
#[test]
fn a_stale_variant_is_not_served() {
    let server = start();
    let set = |name: &str, age: u64| {
        let file = File::open(server.path(name)).expect("the file");
        let when = SystemTime::now() - Duration::from_secs(age);
        file.set_modified(when).expect("a time");
    };
    set("x.js", 100);
    set("x.js.br", 101);
    set("x.js.gz", 99);
    expect(&server, "gzip, br", "gzipped");
    set("x.js.gz", 200);
    expect(&server, "gzip, br", "plain");
}

#[test]
fn a_variant_is_a_file_in_the_root_beside_its_original() {
    let server = start();
    fs::write(server.outside("secret"), "secret").expect("a file outside");
    fs::remove_file(server.path("x.js.gz")).expect("the variant");
    symlink("../secret", server.path("x.js.gz")).expect("a link");
    expect(&server, "gzip", "plain");

    fs::remove_file(server.path("x.js.gz")).expect("the link");
    fs::create_dir(server.path("x.js.gz")).expect("a directory");
    expect(&server, "gzip", "plain");

    fs::remove_file(server.path("x.js")).expect("the file");
    assert_eq!(ask(&server, "br").status, 404);
    let response = get_with(&server, "/x.js.br", "Accept-Encoding: br\r\n");
    assert_eq!(response.body, b"brotli");
    assert!(!response.has("content-encoding"));
}

#[test]
fn an_index_can_have_variants() {
    let server = start();
    fs::write(server.path("index.html"), "plain").expect("a file");
    fs::write(server.path("index.html.gz"), "gzipped").expect("a file");
    let response = get_with(&server, "/", "Accept-Encoding: gzip\r\n");
    assert_eq!(response.body, b"gzipped");
    assert_eq!(response.field("content-type"), "text/html");
}

/// pigz, brotli and tar copy a file's time in whole seconds, so the variant's time is the earlier
/// one.
#[test]
fn a_variant_of_the_same_second_is_fresh() {
    let server = start();
    let set = |name: &str, nanoseconds: u64| {
        let file = File::open(server.path(name)).expect("the file");
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let when = second + Duration::from_nanos(nanoseconds);
        file.set_modified(when).expect("a time");
    };
    set("x.js", 900_000_000);
    set("x.js.gz", 0);
    set("x.js.br", 899_999_999);
    expect(&server, "gzip", "gzipped");
    expect(&server, "br", "plain");
    set("x.js", 1_000_000_000);
    expect(&server, "gzip", "plain");
}
