//! The access log.

use std::fs;
use std::thread;
use std::time::Duration;

use super::client::{Client, ask, get, get_with};
use super::server::Server;

/// The line without its time, which is looked at here.
#[track_caller]
fn timeless(line: &str) -> String {
    let (before, rest) = line.split_once(" [").expect("a time");
    let (time, after) = rest.split_once("] ").expect("the end of the time");
    let shape: String = time
        .chars()
        .map(|char| match char {
            '0'..='9' => '0',
            'a'..='z' => 'a',
            'A'..='Z' => 'A',
            other => other,
        })
        .collect();
    assert_eq!(shape, "00/Aaa/0000:00:00:00 +0000");
    format!("{before} {after}")
}

#[test]
fn each_response_has_a_line() {
    let mut server = Server::start_with(&[]);
    server.add("a", 1000);
    let fields = "Referer: http://there/\r\nUser-Agent: me/1.0 (x)\r\n";
    get_with(&server, "/a?b=c", fields);
    let mut expect = |expected: &str| {
        assert_eq!(
            timeless(&server.line()),
            format!("127.0.0.1 - - {expected}\n")
        );
    };
    expect("\"GET /a?b=c HTTP/1.1\" 200 1000 \"http://there/\" \"me/1.0 (x)\"");
}

#[test]
fn a_line_has_the_bytes_of_the_body_and_no_others() {
    let mut server = Server::start_with(&[]);
    server.add("a", 1000);
    let mut client = Client::connect(&server);
    let mut expect = |request: &str, expected: &str| {
        client.send(format!("{request}\r\n\r\n"));
        assert_eq!(
            timeless(&server.line()),
            format!("127.0.0.1 - - {expected}\n")
        );
    };
    expect(
        "GET /a HTTP/1.1\r\nHost: t\r\nRange: bytes=1-2",
        "\"GET /a HTTP/1.1\" 206 2 \"-\" \"-\"",
    );
    expect(
        "HEAD /a HTTP/1.1\r\nHost: t",
        "\"HEAD /a HTTP/1.1\" 200 - \"-\" \"-\"",
    );
    expect(
        "GET /none HTTP/1.1\r\nHost: t",
        "\"GET /none HTTP/1.1\" 404 14 \"-\" \"-\"",
    );
    expect(
        "GET /a HTTP/1.1\r\nHost: t\r\nIf-None-Match: *",
        "\"GET /a HTTP/1.1\" 304 - \"-\" \"-\"",
    );
    expect("GET /a HTTP/9.9", "\"GET /a HTTP/9.9\" 505 31 \"-\" \"-\"");
}

#[test]
fn several_parts_are_counted_with_what_is_between() {
    let mut server = Server::start_with(&[]);
    server.add("a", 1000);
    let response = get_with(&server, "/a", "Range: bytes=0-1,900-901\r\n");
    let line = timeless(&server.line());
    let expected = format!("\" 206 {} \"", response.body.len());
    assert!(line.contains(&expected), "{line}");
}

/// Of a response that was cut short, the line has what went out.
#[test]
fn what_the_client_did_not_take_is_not_counted() {
    let mut server = Server::start_with(&[]);
    server.add("a", 64 << 20);
    let mut client = Client::connect(&server);
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client.bytes(100_000);
    drop(client);
    let line = timeless(&server.line());
    let bytes = line
        .split(' ')
        .nth(7)
        .and_then(|word| word.parse::<usize>().ok());
    let bytes = bytes.expect("a number");
    assert!((100_000..64 << 20).contains(&bytes), "{line}");
}

#[test]
fn no_client_can_forge_a_line() {
    let mut server = Server::start_with(&[]);
    ask(
        &server,
        b"GET /a\"b\\c\x1b[31m\xff HTTP/1.1\r\nHost: t\r\n\r\n",
    );
    let line = timeless(&server.line());
    let expected = r#"127.0.0.1 - - "GET /a\x22b\x5Cc\x1B[31m\xFF HTTP/1.1" 400 16 "-" "-""#;
    assert_eq!(line.trim_end(), expected);

    get_with(
        &server,
        "/%0d%0a",
        "User-Agent: x\" 200 1\t\u{85}\r\nReferer: \\\r\n",
    );
    let line = timeless(&server.line());
    let expected =
        r#"127.0.0.1 - - "GET /%0d%0a HTTP/1.1" 404 14 "\x5C" "x\x22 200 1\x09\xC2\x85""#;
    assert_eq!(line.trim_end(), expected);

    get_with(
        &server,
        &format!("/{}", "x".repeat(8000)),
        &format!("Referer: {}\r\n", "y".repeat(4000)),
    );
    let line = server.line();
    assert!(line.len() < 1500, "{} bytes", line.len());
    assert!(
        line.contains("x...\" ") && line.contains("y...\" "),
        "{line}"
    );
}

#[test]
fn it_may_go_to_a_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log");
    fs::write(&path, "before\n").expect("a file");
    let server = Server::start_with(&["--log", path.to_str().expect("text")]);
    for _ in 0..100 {
        get(&server, "/none");
    }
    let lines = || fs::read_to_string(&path).expect("the log").lines().count();
    while lines() < 101 {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(
        fs::read_to_string(&path)
            .expect("the log")
            .starts_with("before\n127.0.0.1 - - [")
    );
}

/// As `file_server | head` leaves it.
#[test]
fn nobody_reading_it_is_no_reason_to_end() {
    let mut server = Server::start_with(&[]);
    server.close_out();
    for _ in 0..3 {
        assert_eq!(get(&server, "/none").status, 404);
        thread::sleep(Duration::from_millis(120));
    }
}
