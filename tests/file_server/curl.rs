//! Requests by curl.

use std::fs;
use std::process::Command;

use super::server::Server;

/// Runs curl and returns its standard output.
#[track_caller]
fn curl(server: &Server, target: &str, args: &[&str]) -> Vec<u8> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60"]);
    command.args(args).arg(format!("http://{}{target}", server.addr));
    let output = command.output().expect("curl is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    output.stdout
}

const STATUS: [&str; 4] = ["--output", "/dev/null", "--write-out", "%{http_code}"];

#[test]
fn curl_resumes_a_broken_download() {
    let server = Server::start();
    let bytes = server.add("a", 1_000_001);
    let to = server.outside("fetched");
    let path = to.to_str().expect("text");
    fs::write(&to, &bytes[..345_678]).expect("the beginning");
    curl(&server, "/a", &["-C", "-", "--output", path]);
    assert!(fs::read(&to).expect("what was fetched") == bytes, "the content differs");
}

#[test]
fn curl_fetches_ranges() {
    let server = Server::start();
    let bytes = server.add("a", 100_000);
    assert!(curl(&server, "/a", &["-r", "-5000"]) == bytes[95_000..]);
    let several = curl(&server, "/a", &["-r", "0-9,50000-50009"]);
    let text = String::from_utf8_lossy(&several);
    assert!(text.contains("Content-Range: bytes 50000-50009/100000"), "{text}");
}

#[test]
fn curl_does_not_fetch_an_unchanged_file_again() {
    let server = Server::start();
    server.add("a", 1000);
    let (copy, tag) = (server.outside("copy"), server.outside("tag"));
    let (copy, tag) = (copy.to_str().expect("text"), tag.to_str().expect("text"));
    curl(&server, "/a", &["--remote-time", "--output", copy, "--etag-save", tag]);
    assert_eq!(curl(&server, "/a", &[&["-z", copy], &STATUS[..]].concat()), b"304");
    assert_eq!(curl(&server, "/a", &[&["--etag-compare", tag], &STATUS[..]].concat()), b"304");
    server.add("a", 1001);
    assert_eq!(curl(&server, "/a", &[&["--etag-compare", tag], &STATUS[..]].concat()), b"200");
}

#[test]
fn curl_decompresses_a_variant() {
    let server = Server::start();
    let bytes = server.add("a.js", 10_000);
    let status = Command::new("gzip").arg("--keep").arg(server.path("a.js")).status();
    assert!(status.expect("gzip is installed").success());
    assert!(curl(&server, "/a.js", &["--compressed"]) == bytes, "the content differs");
    let head = curl(&server, "/a.js", &["-I", "--compressed"]);
    let head = String::from_utf8(head).expect("text");
    assert!(head.contains("Content-Encoding: gzip\r\n"), "{head}");
}

#[test]
fn curl_sends_head_and_follows_redirects() {
    let server = Server::start();
    fs::create_dir(server.path("d")).expect("a directory");
    let bytes = server.add("d/index.html", 100);
    assert_eq!(curl(&server, "/d", &["-L"]), bytes);
    let head = String::from_utf8(curl(&server, "/d/", &["-I"])).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 100\r\n"));
}

#[test]
fn curl_does_not_send_an_upload_that_is_refused() {
    let server = Server::start();
    let upload = server.outside("upload");
    fs::write(&upload, vec![b'x'; 3 << 20]).expect("a file");
    let args = ["-T", upload.to_str().expect("text"), "-H", "Expect: 100-continue"];
    assert_eq!(curl(&server, "/a", &[&args, &STATUS[..]].concat()), b"405");
}
