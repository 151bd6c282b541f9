//! The access log.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use super::client::{Client, ask, get, get_with};
use super::server::{Server, executable};

/// Returns the line without its time and asserts the time's format.
#[track_caller]
fn without_time(line: &str) -> String {
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
        assert_eq!(without_time(&server.line()), format!("127.0.0.1 - - {expected}\n"));
    };
    expect("\"GET /a?b=c HTTP/1.1\" 200 1000 \"http://there/\" \"me/1.0 (x)\"");
}

#[test]
fn a_line_counts_only_the_bytes_of_the_body() {
    let mut server = Server::start_with(&[]);
    server.add("a", 1000);
    let mut client = Client::connect(&server);
    let mut expect = |request: &str, expected: &str| {
        client.send(format!("{request}\r\n\r\n"));
        assert_eq!(without_time(&server.line()), format!("127.0.0.1 - - {expected}\n"));
    };
    expect(
        "GET /a HTTP/1.1\r\nHost: t\r\nRange: bytes=1-2",
        "\"GET /a HTTP/1.1\" 206 2 \"-\" \"-\"",
    );
    expect("HEAD /a HTTP/1.1\r\nHost: t", "\"HEAD /a HTTP/1.1\" 200 - \"-\" \"-\"");
    expect("GET /none HTTP/1.1\r\nHost: t", "\"GET /none HTTP/1.1\" 404 14 \"-\" \"-\"");
    expect(
        "GET /a HTTP/1.1\r\nHost: t\r\nIf-None-Match: *",
        "\"GET /a HTTP/1.1\" 304 - \"-\" \"-\"",
    );
    expect("GET /a HTTP/9.9", "\"GET /a HTTP/9.9\" 505 31 \"-\" \"-\"");
}

#[test]
fn a_multipart_body_is_counted_with_its_boundaries() {
    let mut server = Server::start_with(&[]);
    server.add("a", 1000);
    let response = get_with(&server, "/a", "Range: bytes=0-1,900-901\r\n");
    let line = without_time(&server.line());
    let expected = format!("\" 206 {} \"", response.body.len());
    assert!(line.contains(&expected), "{line}");
}

/// The line counts the bytes that were sent.
#[test]
fn a_response_that_is_cut_short_is_counted_as_far_as_it_was_sent() {
    let mut server = Server::start_with(&[]);
    server.add("a", 64 << 20);
    let mut client = Client::connect(&server);
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client.bytes(100_000);
    drop(client);
    let line = without_time(&server.line());
    let bytes = line.split(' ').nth(7).and_then(|word| word.parse::<usize>().ok());
    let bytes = bytes.expect("a number");
    assert!((100_000..64 << 20).contains(&bytes), "{line}");
}

#[test]
fn clients_cannot_forge_a_line() {
    let mut server = Server::start_with(&[]);
    ask(&server, b"GET /a\"b\\c\x1b[31m\xff HTTP/1.1\r\nHost: t\r\n\r\n");
    let line = without_time(&server.line());
    let expected = r#"127.0.0.1 - - "GET /a\x22b\x5Cc\x1B[31m\xFF HTTP/1.1" 400 16 "-" "-""#;
    assert_eq!(line.trim_end(), expected);

    get_with(&server, "/%0d%0a", "User-Agent: x\" 200 1\t\u{85}\r\nReferer: \\\r\n");
    let line = without_time(&server.line());
    let expected =
        r#"127.0.0.1 - - "GET /%0d%0a HTTP/1.1" 404 14 "\x5C" "x\x22 200 1\x09\xC2\x85""#;
    assert_eq!(line.trim_end(), expected);
    // Not all bytes are UTF-8.
    ask(&server, b"GET /none HTTP/1.0\r\nUser-Agent: \xff\r\n\r\n");
    assert!(server.line().ends_with("\"-\" \"\\xFF\"\n"));

    get_with(
        &server,
        &format!("/{}", "x".repeat(8000)),
        &format!("Referer: {}\r\n", "y".repeat(4000)),
    );
    let line = server.line();
    assert!(line.len() < 1500, "{} bytes", line.len());
    assert!(line.contains("x...\" ") && line.contains("y...\" "), "{line}");
}

#[test]
fn the_log_can_be_a_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log");
    // Another server ended in the middle of a line.
    fs::write(&path, "before").expect("a file");
    let server = Server::start_with(&["--log", path.to_str().expect("text")]);
    for _ in 0..100 {
        get(&server, "/none");
    }
    let lines = || fs::read_to_string(&path).expect("the log").lines().count();
    while lines() < 101 {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(fs::read_to_string(&path).expect("the log").starts_with("before\n127.0.0.1 - - ["));
}

/// `file_server | head` closes the pipe while the server runs.
#[test]
fn the_server_survives_a_closed_standard_output() {
    let mut server = Server::start_with(&[]);
    server.close_out();
    for _ in 0..3 {
        assert_eq!(get(&server, "/none").status, 404);
        thread::sleep(Duration::from_millis(120));
    }
}

/// A client can forge entries at the start of the list. The last address that is not a trusted
/// proxy's is the client's.
#[test]
fn the_log_has_the_client_of_a_trusted_proxy() {
    let trusted = ["127.0.0.0/8", "10.1.2.3", "2001:db8::/32"];
    let options = trusted.map(|proxy| ["--trusted-proxy", proxy]).concat();
    let mut server = Server::start_with(&options);
    let mut expect = |fields: &str, client: &str| {
        get_with(&server, "/none", fields);
        let line = server.line();
        assert!(line.starts_with(&format!("{client} - - [")), "{line}");
    };
    expect("", "127.0.0.1");
    expect("X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7");
    expect("X-Forwarded-For: 1.1.1.1, 198.51.100.7\r\n", "198.51.100.7");
    expect("X-Forwarded-For: 198.51.100.7, 10.1.2.3\r\n", "198.51.100.7");
    let twice = "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 10.1.2.3\r\n";
    expect(twice, "198.51.100.7");
    expect("X-Forwarded-For: 198.51.100.7, 10.1.2.4\r\n", "10.1.2.4");
    expect("X-Forwarded-For: ::1, 2001:db8::9\r\n", "::1");
    expect("X-Forwarded-For: [2001:db9::1]:80\r\n", "2001:db9::1");
    expect("X-Forwarded-For: 198.51.100.7:4711\r\n", "198.51.100.7");
    expect("X-Forwarded-For: 198.51.100.7, unknown\r\n", "127.0.0.1");
    expect("X-Forwarded-For: 198.51.100.7, , 10.1.2.3,\r\n", "198.51.100.7");
    expect("X-Forwarded-For: \x1b[31m\" 200\r\n", "127.0.0.1");
}

#[test]
fn a_forwarded_address_from_an_untrusted_client_is_ignored() {
    let mut server = Server::start_with(&["--trusted-proxy", "10.0.0.0/8"]);
    get_with(&server, "/none", "X-Forwarded-For: 10.1.1.1\r\n");
    assert!(server.line().starts_with("127.0.0.1 - - ["));
}

/// Polls until the condition holds, for at most 20 s. The server does not report that it has
/// written a file.
#[track_caller]
fn wait_until(mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the condition does not hold after 20 s");
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// logrotate moves the file away and then sends the signal.
#[test]
fn sighup_reopens_a_log_that_was_moved() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, moved) = (directory.path().join("log"), directory.path().join("moved"));
    let options = ["--threads", "2", "--log", path.to_str().expect("text")];
    let server = Server::start_with(&options);
    get(&server, "/one");
    wait_until(|| !lines(&path).is_empty());
    fs::rename(&path, &moved).expect("moved");
    server.signal(Signal::HUP);
    wait_until(|| path.exists());
    // Every loop opens the file, and the last one may open it later.
    get(&server, "/two");
    wait_until(|| !lines(&path).is_empty());
    assert!(lines(&path)[0].contains("/two"));
    assert_eq!(lines(&moved).len(), 1);
}

#[test]
fn sighup_does_not_end_a_server_without_a_log_file() {
    for log in ["off", "-"] {
        let server = Server::start_with(&["--log", log]);
        for _ in 0..3 {
            server.signal(Signal::HUP);
            assert_eq!(get(&server, "/none").status, 404);
        }
    }
}

/// A limit on the file's size has the effect of a full disk: a part of a line may still fit.
#[test]
fn lost_lines_are_counted_and_an_incomplete_line_is_ended() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, report) = (directory.path().join("log"), directory.path().join("report"));
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -S -f 1; exec \"$0\" \"$@\"";
    command.arg("-c").arg(script).arg(executable());
    command.arg("--log").arg(&path);
    command.stderr(fs::File::create(&report).expect("a file"));
    let server = Server::start_as(&mut command);
    let mut requests = 0;
    let mut ask = || {
        requests += 1;
        get(&server, &format!("/number-{requests}"));
    };
    let size = || fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let reports = |text: &str| lines(&report).iter().any(|line| line.contains(text));
    wait_until(|| {
        ask();
        reports("cannot write the access log")
    });
    let full = size();
    for _ in 0..10 {
        ask();
    }
    let unlimited = Rlimit { current: None, maximum: None };
    prlimit(Some(server.pid()), Resource::Fsize, unlimited).expect("a limit");
    wait_until(|| {
        ask();
        reports("lacks")
    });
    server.signal(Signal::TERM);
    server.wait();
    let text = fs::read(&path).expect("the log");
    assert_ne!(text[full as usize - 1], b'\n', "the last line in the full file is complete");
    assert_eq!(text[full as usize], b'\n', "no line feed after the incomplete line");
    let whole = |line: &&String| line.starts_with("127.0.0.1 - - [") && line.ends_with('"');
    let written = lines(&path).iter().filter(whole).count();
    let reported = lines(&report);
    let lost = reported.iter().filter_map(|line| {
        let count = line.strip_prefix("the access log lacks ")?;
        count.split(' ').next()?.parse::<usize>().ok()
    });
    assert_eq!(written + lost.sum::<usize>(), requests);
}
