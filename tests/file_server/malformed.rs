//! Requests that are malformed, too long or ambiguous.

use super::client::{Client, ask, get};
use super::server::Server;

#[track_caller]
fn expect(server: &Server, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let mut client = Client::connect(server);
    client.try_send(request);
    let response = client.response();
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]);
    assert_eq!(response.status, status, "{shown:?}");
    // The server does not know where the next request would begin.
    assert_eq!(response.field("connection"), "close", "{shown:?}");
    client.expect_end();
}

#[test]
fn a_request_needs_exactly_one_valid_host() {
    let server = Server::start();
    server.add("a", 10);
    for host in [
        "Host: t",
        "Host:",
        "Host: t:",
        "Host: [::1]",
        "Host: [::1]:80",
        "Host: [2001:db8::7:ffff:192.0.2.1]",
        "Host: [fe80::1%25eth0]:80",
        "Host: [v1.a:b]",
        "Host: t:65535",
        "Host: a%2db_c",
        "host:\texample.org:8080 ",
    ] {
        let response = ask(&server, format!("GET /a HTTP/1.1\r\n{host}\r\n\r\n"));
        assert_eq!(response.status, 200, "{host}");
    }
    for hosts in [
        "X: y",
        "Host: t\r\nHost: t",
        "Host: a b",
        "Host: a/b",
        "Host: a@b",
        "Host: a:b@c",
        "Host: :80",
        "Host: t:65536",
        "Host: t:-1",
        "Host: t:99999999999999999999",
        "Host: a%2",
        "Host: a%zz",
        "Host: []",
        "Host: [zz]",
        "Host: [1:2:3]",
        "Host: [v.a]",
        "Host: [fe80::1%]",
        "Host: a, b",
        "Host: a\"b",
        "Host: a:b",
        "Host: a:80:80",
        "Host: ::1",
        "Host: [::1",
        "Host: [::1]80",
        "Host: a[::1]",
    ] {
        expect(&server, format!("GET /a HTTP/1.1\r\n{hosts}\r\n\r\n"), 400);
    }
    expect(&server, "GET http://t/a HTTP/1.1\r\n\r\n", 400);
    expect(&server, "GET /a HTTP/1.0\r\nHost: t\r\nHost: t\r\n\r\n", 400);
    assert_eq!(ask(&server, "GET /a HTTP/1.0\r\n\r\n").status, 200);
}

/// The host of an absolute target must not be empty.
#[test]
fn the_authority_of_an_absolute_target_is_checked() {
    let server = Server::start();
    let bytes = server.add("a", 10);
    for authority in ["h", "h:", "h:80", "h:00080", "1.2.3.4", "[::1]:80", "a-b.c_d"] {
        for scheme in ["http", "https", "HTTP"] {
            let request = format!("GET {scheme}://{authority}/a HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!(ask(&server, request).body, bytes, "{authority}");
        }
    }
    for authority in [
        "", ":", ":80", "u@h", "u:p@h", "@h", "h@", "h:x", "h:80x", "h:+80", "h:65536", "h:80:80",
        "[::1", "::1", "[]", "[zz]", "[::1]x", "h%", "h\"", "h<", "h\\", "u@[::1]", "\u{e9}",
    ] {
        for path in ["/a", "", "?x"] {
            let target = format!("http://{authority}{path}");
            expect(&server, format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n"), 400);
        }
    }
}

/// The server does not know where the next request begins, whatever the method was.
#[test]
fn a_malformed_target_ends_the_connection() {
    let server = Server::start();
    server.add("f1.bin", 10);
    for target in [
        "f1.bin",
        "*",
        "/../x",
        "/f1.bin/..",
        "/%00",
        "/a%2fb",
        "/%2e%2e/f1.bin",
        "http:///f1.bin",
        "ftp://h/f1.bin",
        "http:/f1.bin",
        "h:443",
        "?x",
        "#",
        "\u{e9}",
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "BREW"] {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: t\r\n\r\n");
            let mut client = Client::connect(&server);
            client.send(format!("{request}GET /f1.bin HTTP/1.1\r\nHost: t\r\n\r\n"));
            let response = match method {
                "HEAD" => client.head(),
                _ => client.response(),
            };
            let ends = (response.status, response.field("connection"));
            assert_eq!(ends, (400, "close"), "{method} {target}");
            client.expect_end();
        }
    }
    expect(&server, "OPTIONS /../a HTTP/1.1\r\nHost: t\r\n\r\n", 400);
}

/// RFC 9110, section 2.5.
#[test]
fn later_minor_versions_are_treated_as_1_1() {
    let server = Server::start();
    let bytes = server.add("a", 10);
    let mut client = Client::connect(&server);
    for version in ["HTTP/1.2", "HTTP/1.9", "HTTP/1.1"] {
        client.send(format!("GET /a {version}\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.field("connection"), "keep-alive");
        assert_eq!(response.body, bytes);
        expect(&server, format!("GET /a {version}\r\n\r\n"), 400);
    }
}

#[test]
fn a_request_line_has_three_words() {
    let server = Server::start();
    server.add("a", 10);
    for line in [
        "GET /a b HTTP/1.1",
        "GET /a b HTTP/2.0",
        "GET /a  HTTP/1.1",
        "GET  /a HTTP/1.1",
        "GET\t/a HTTP/1.1",
        "GET /a\tHTTP/1.1",
        "GET /a HTTP/1.1 ",
        " GET /a HTTP/1.1",
        "GET /a",
        "GET /a ",
        "GET",
        "GET HTTP/1.1",
        "GET /a HTTP/1.10",
        "GET /a HTTP/01.1",
        "GET /a HTTP/1.",
        "GET /a HTTP/1",
        "G(T /a HTTP/1.1",
    ] {
        expect(&server, format!("{line}\r\nHost: t\r\n\r\n"), 400);
    }
    expect(&server, b"GET /\xff HTTP/1.1\r\nHost: t\r\n\r\n", 400);
}

#[test]
fn other_major_versions_get_505() {
    let server = Server::start();
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"] {
        expect(&server, format!("GET / {version}\r\nHost: t\r\n\r\n"), 505);
    }
    expect(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    for version in ["HTTP/11", "HTTPS/1.1", "http/1.1", "FTP/1.0", "HTTP/1.1 x"] {
        expect(&server, format!("GET / {version}\r\nHost: t\r\n\r\n"), 400);
    }
}

#[test]
fn a_target_has_at_most_8_kib() {
    let server = Server::start();
    let target = |len: usize| format!("/{}", "x".repeat(len - 1));
    let of_len = |len| format!("GET {} HTTP/1.1\r\nHost: t\r\n\r\n", target(len));
    assert_eq!(ask(&server, of_len(8 << 10)).status, 404);
    expect(&server, of_len((8 << 10) + 1), 414);
    expect(&server, of_len(1 << 20), 414);
    // The server refuses it without waiting for its end.
    expect(&server, format!("GET {}", target(9000)), 414);
}

/// The server gives the same status if the request arrives in pieces.
#[test]
fn the_status_does_not_depend_on_how_the_request_is_split() {
    let server = Server::start();
    let long = "x".repeat(9000);
    let header = "x".repeat(16 << 10);
    for (request, status) in [
        // An earlier version refused `HTTP/2.` as malformed before the minor version arrived.
        ("PRI * HTTP/2.0\r\n\r\n".to_owned(), 505),
        // The server reports an invalid byte before the limit and never sees one after it.
        (format!("GET /\x01{long} HTTP/1.1\r\nHost: t\r\n\r\n"), 400),
        (format!("GET /{long}\x01 HTTP/1.1\r\nHost: t\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: t\r\nX: {header}\0\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nX: \0{header}\r\n\r\n"), 400),
        // The space makes it a malformed request line, not a HEAD.
        (" HEAD / HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), 400),
    ] {
        expect(&server, &request, status);
        let mut client = Client::connect(&server);
        for piece in request.as_bytes().chunks(request.len().div_ceil(100)) {
            client.try_send(piece);
        }
        assert_eq!(client.response().status, status, "{:?}", &request[..20]);
        client.expect_end();
    }
}

/// Each of these bodies could end in two places. A proxy in front of the server may take the other.
#[test]
fn a_body_with_an_ambiguous_length_is_refused() {
    let server = Server::start();
    server.add("a", 10);
    let smuggled = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";
    for fields in [
        "Content-Length: 28\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 28",
        "Content-Length: 0\r\nContent-Length: 28",
        "Content-Length: 0, 28",
        "Content-Length: x",
        "Content-Length: +0",
        "Content-Length: -1",
        "Content-Length: 0x1c",
        "Content-Length:",
        "Content-Length : 0",
        "Content-Length: 0\r\n Content-Length: 28",
        "Transfer-Encoding:",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, gzip, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
    ] {
        let request = format!("GET /a HTTP/1.1\r\nHost: t\r\n{fields}\r\n\r\n{smuggled}");
        expect(&server, request, 400);
    }
    let request = format!("GET /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}");
    expect(&server, request, 400);
    // The end of these bodies is certain, but the server does not know their coding.
    for codings in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip,deflate ,\tChunked ",
    ] {
        let request = format!("GET /a HTTP/1.1\r\nHost: t\r\n{codings}\r\n\r\n{smuggled}");
        expect(&server, request, 501);
    }
}

#[test]
fn malformed_fields_are_refused() {
    let server = Server::start();
    for field in ["no colon", ": no name", "a b: c", "a\0: b", "a: b\0c", "a: b\rc", "é: x"] {
        let request = format!("GET / HTTP/1.1\r\nHost: t\r\n{field}\r\n\r\n");
        expect(&server, request, 400);
    }
    let response = ask(&server, b"GET / HTTP/1.1\r\nHost: t\r\nX: \xff\xfe\r\n\r\n");
    assert_eq!(response.status, 200);
}

/// The server first answers the earlier requests, and reads nothing after the refused one.
#[test]
fn a_refusal_comes_after_the_earlier_responses() {
    let server = Server::start();
    let bytes = server.add("a", 100_000);
    let mut client = Client::connect(&server);
    client
        .send("\r\nGET /a HTTP/1.1\r\nHost: t\r\n\r\n\r\n\r\nHEAD /a HTTP/1.1\r\nHost: t\r\n\r\n");
    client.send("GET /a HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.response().body == bytes, "the content differs");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.response().status, 400);
    client.expect_end();
}

/// A response to HEAD has no body, whatever the error is.
#[test]
fn a_refused_head_gets_no_body() {
    let server = Server::start();
    for (rest, status) in [
        ("/ HTTP/1.1\r\n\r\n", 400),
        ("/ HTTP/2.0\r\n\r\n", 505),
        ("/ HTTP/1.1\r\nHost: t\r\nExpect: x\r\n\r\n", 417),
        (&format!("/{}", "x".repeat(9000)), 414),
    ] {
        let mut client = Client::connect(&server);
        client.send(format!("HEAD {rest}"));
        let head = client.head();
        assert_eq!(head.status, status);
        assert_ne!(head.field("content-length"), "0");
        client.expect_end();
    }
}

#[test]
fn every_request_of_a_burst_is_answered() {
    let server = Server::start();
    let bytes = server.add("a", 1000);
    let mut client = Client::connect(&server);
    // The server reads less than this at a time, so its reads end anywhere in a request.
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n".repeat(2000));
    client.half_close();
    for number in 0..2000 {
        assert!(client.response().body == bytes, "the content of {number} differs");
    }
    client.expect_end();
    assert_eq!(get(&server, "/a").status, 200);
}

#[test]
fn an_end_before_a_whole_request_gets_no_response() {
    let server = Server::start();
    for bytes in [&b""[..], b"\r\n\r\n\r\n", b"GET / HTTP/1.1\r\nHost: t\r\n"] {
        let mut client = Client::connect(&server);
        client.send(bytes);
        client.half_close();
        client.expect_end();
    }
}
