//! The server serves nothing outside the root, and nothing but regular files.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::client::{ask, get};
use super::server::{Server, content};

const SECRET: &[u8] = b"nobody must see this";

/// Starts a server with a secret beside its root and directories in the root.
#[track_caller]
fn start() -> Server {
    let server = Server::start();
    fs::write(server.outside("secret"), SECRET).expect("a file outside");
    fs::create_dir(server.outside("vault")).expect("a directory outside");
    fs::write(server.outside("vault/secret"), SECRET).expect("a file in it");
    fs::create_dir_all(server.path("a/b")).expect("directories");
    server
}

/// Asserts the status of the refusal, and that the body has no part of the secret.
#[track_caller]
fn expect_refusal(server: &Server, target: &str, status: u16) {
    let response = get(server, target);
    assert_eq!(response.status, status, "{target}");
    let leaks = response.body.windows(6).any(|part| part == b"nobody");
    assert!(!leaks, "{target}: {response:?}");
}

#[test]
fn dot_segments_are_refused_in_any_encoding() {
    let server = start();
    for target in [
        "/../secret",
        "/..",
        "/a/..",
        "/a/../../secret",
        "/a/b/../../../secret",
        "/%2e%2e/secret",
        "/.%2E/secret",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/a/%2e%2e/%2e%2e/secret",
        "//../secret",
        "http://host/../secret",
        "http://host/%2e%2e/secret",
    ] {
        expect_refusal(&server, target, 400);
    }
}

#[test]
fn encoded_slashes_and_nuls_are_refused() {
    let server = start();
    for target in [
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/%2E%2E%2Fsecret",
        "/a%2fb",
        "/%2fetc/passwd",
        "/a%00",
        "/%00",
        "/a%00/../../secret",
    ] {
        expect_refusal(&server, target, 400);
    }
    let response = ask(&server, b"GET /a\0b HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(response.status, 400);
}

#[test]
fn names_that_resemble_dot_segments_are_not_found() {
    let server = start();
    for target in [
        "//etc/passwd",
        "///etc/passwd",
        "/%252e%252e/secret",
        "/%252e%252e%252fsecret",
        "/..%5csecret",
        "/.../secret",
        "/%c0%ae%c0%ae/secret",
        "http://host//etc/passwd",
    ] {
        expect_refusal(&server, target, 404);
    }
}

#[test]
fn links_out_of_the_root_are_not_found() {
    let server = start();
    let link = |to: &str, name: &str| symlink(to, server.path(name)).expect("a link");
    link("../secret", "file");
    link("../vault", "directory");
    link("/etc/passwd", "absolute");
    link("/proc/self/root/etc/passwd", "magic");
    link("..", "up");
    link("directory", "a/chain");
    link("file", "linked");
    link("a/../../secret", "winding");
    link("loop", "loop");
    link("gone", "dangling");
    fs::create_dir(server.path("site")).expect("a directory");
    link("../../vault/secret", "site/index.html");
    for target in [
        "/file",
        "/directory/secret",
        "/directory",
        "/absolute",
        "/magic",
        "/up/secret",
        "/up/site/file",
        "/a/chain/secret",
        "/linked",
        "/winding",
        "/loop",
        "/dangling",
        "/site/",
    ] {
        expect_refusal(&server, target, 404);
    }
}

#[test]
fn links_that_stay_inside_are_followed() {
    let server = start();
    let bytes = server.add("a/file", 1000);
    let link = |to: &str, name: &str| symlink(to, server.path(name)).expect("a link");
    link("a/file", "file");
    link("../a", "a/b/up");
    link("../b/../file", "a/b/winding");
    link("../file", "a/b/index.html");
    for target in ["/file", "/a/b/up/../file", "/a/b/index.html", "/a/b/"] {
        let expected = if target.contains("..") { 400 } else { 200 };
        assert_eq!(get(&server, target).status, expected, "{target}");
    }
    symlink("../../a/file", server.path("a/b/far")).expect("a link");
    assert_eq!(get(&server, "/a/b/far").body, bytes);
}

#[test]
fn special_files_are_not_found_and_do_not_block() {
    let server = start();
    let fifo = server.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
    symlink("fifo", server.path("linked")).expect("a link");
    symlink("/dev/zero", server.path("device")).expect("a link");
    symlink("/proc/self/fd/0", server.path("input")).expect("a link");
    let _socket = UnixListener::bind(server.path("socket")).expect("a socket");
    let began = Instant::now();
    for target in ["/fifo", "/linked", "/device", "/input", "/socket", "/fifo/x"] {
        expect_refusal(&server, target, 404);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "requests took {:?}", began.elapsed());
}

/// A thread switches a name between a directory and a link to a directory outside. No request gets
/// the file outside.
#[test]
fn a_name_that_changes_during_the_lookup_does_not_escape_the_root() {
    let server = start();
    fs::create_dir(server.path("real")).expect("a directory");
    fs::write(server.path("real/secret"), content(20)).expect("a file");
    symlink("../vault", server.path("trap")).expect("a link");
    let (real, trap, moving) = (server.path("real"), server.path("trap"), server.path("moving"));
    let (renaming, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while ended.try_recv() == Err(TryRecvError::Empty) {
                for one in [&real, &trap] {
                    fs::rename(one, &moving).expect("renaming");
                    fs::rename(&moving, one).expect("renaming");
                }
            }
        });
        // Moves the sender into this scope: its drop, also after a panic, ends the thread.
        let _renaming = renaming;
        for _ in 0..2000 {
            let response = get(&server, "/moving/secret");
            assert_ne!(response.body, SECRET);
        }
    });
}
