//! Addresses that the server listens on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::server::executable;

/// A server of a directory with one file, and the line that it prints about its address.
struct Listening {
    child: Child,
    first_line: String,
    out: BufReader<std::process::ChildStdout>,
}

impl Listening {
    #[track_caller]
    fn start(site: &TempDir, options: &[&str]) -> Listening {
        fs::write(site.path().join("a"), "content").expect("a file");
        let mut child = Command::new(executable())
            .arg(site.path())
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example is built");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut first_line = String::new();
        out.read_line(&mut first_line).expect("a line");
        let first_line = first_line.trim_end().to_owned();
        Listening { child, first_line, out }
    }

    /// Shuts the server down gracefully.
    #[track_caller]
    fn shut_down(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a server that runs");
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "the server ends with {status}");
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[track_caller]
fn expect_content(mut stream: impl Read + Write) {
    let request = b"GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("sent");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("received");
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(all.ends_with("\r\n\r\ncontent"), "{all}");
}

#[track_caller]
fn unix(path: &Path) -> UnixStream {
    UnixStream::connect(path).expect("a connection")
}

#[test]
fn the_host_can_be_a_name_or_empty() {
    let site = directory();
    for (address, first_line) in [
        ("localhost:0", "listening on http://127.0.0.1:"),
        ("127.0.0.1:0", "listening on http://127.0.0.1:"),
        (":0", "listening on http://"),
        ("[::1]:0", "listening on http://[::1]:"),
    ] {
        let server = Listening::start(&site, &["--log", "off", "--addr", address]);
        assert!(server.first_line.starts_with(first_line), "{}", server.first_line);
        let port = server.first_line.rsplit(':').next().expect("a port");
        let host = if address.starts_with('[') { "[::1]" } else { "127.0.0.1" };
        expect_content(TcpStream::connect(format!("{host}:{port}")).expect("a connection"));
    }
}

struct UnixSocket {
    _directory: TempDir,
    path: PathBuf,
    address: String,
}

fn unix_socket() -> UnixSocket {
    let directory = directory();
    let path = directory.path().join("socket");
    let address = format!("unix:{}", path.display());
    UnixSocket { _directory: directory, path, address }
}

#[test]
fn the_server_listens_on_a_unix_socket() {
    let (site, socket) = (directory(), unix_socket());
    for threads in ["1", "3"] {
        let options = ["--threads", threads, "--addr", &socket.address];
        let mut server = Listening::start(&site, &options);
        assert_eq!(server.first_line, format!("listening on {}", socket.address));
        for _ in 0..10 {
            expect_content(unix(&socket.path));
            let mut line = String::new();
            server.out.read_line(&mut line).expect("a line of the log");
            assert!(line.starts_with("unix: - - ["), "{line}");
        }
        server.shut_down();
        assert!(!socket.path.exists(), "the socket's file is still there");
    }
}

/// Clients of a Unix socket have no address, except the one that a trusted proxy names.
#[test]
fn a_proxy_on_a_unix_socket_can_be_trusted() {
    let (site, socket) = (directory(), unix_socket());
    let options = ["--trusted-proxy", "unix", "--addr", &socket.address];
    let mut server = Listening::start(&site, &options);
    let request = b"GET /a HTTP/1.0\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
    unix(&socket.path).write_all(request).expect("sent");
    let mut line = String::new();
    server.out.read_line(&mut line).expect("a line of the log");
    assert!(line.starts_with("198.51.100.7 - - ["), "{line}");
}

#[test]
fn a_unix_socket_takes_large_files() {
    let (site, socket) = (directory(), unix_socket());
    let bytes = super::server::content((8 << 20) + 1);
    fs::write(site.path().join("large"), &bytes).expect("a file");
    let _server = Listening::start(&site, &["--log", "off", "--addr", &socket.address]);
    let mut stream = unix(&socket.path);
    stream.write_all(b"GET /large HTTP/1.0\r\n\r\n").expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("received");
    assert!(all.ends_with(&bytes));
}

#[test]
fn the_server_replaces_the_socket_of_a_killed_server() {
    let (site, socket) = (directory(), unix_socket());
    let options = ["--log", "off", "--addr", &socket.address];
    drop(Listening::start(&site, &options));
    assert!(socket.path.exists(), "the socket's file is gone after a kill");
    let server = Listening::start(&site, &options);
    expect_content(unix(&socket.path));
    server.shut_down();
}

#[test]
fn the_server_leaves_a_used_path_alone() {
    let (site, socket) = (directory(), unix_socket());
    let expect_refusal = || {
        let output = Command::new(executable())
            .arg(site.path())
            .args(["--addr", &socket.address])
            .output()
            .expect("the example is built");
        let errors = String::from_utf8_lossy(&output.stderr);
        let expected = format!("file_server: cannot listen on {}: ", socket.address);
        assert!(errors.starts_with(&expected), "{errors}");
    };
    fs::write(&socket.path, "a file").expect("a file");
    expect_refusal();
    assert_eq!(fs::read(&socket.path).expect("the file"), b"a file");
    fs::remove_file(&socket.path).expect("the file");
    let other = UnixListener::bind(&socket.path).expect("a listener");
    expect_refusal();
    unix(&socket.path);
    drop(other);
}

#[test]
fn socket_mode_sets_the_mode_of_the_socket() {
    let (site, socket) = (directory(), unix_socket());
    let options = ["--log", "off", "--addr", &socket.address];
    for mode in ["600", "666"] {
        let options = [&options[..], &["--socket-mode", mode]].concat();
        let _server = Listening::start(&site, &options);
        let metadata = fs::metadata(&socket.path).expect("the socket");
        let permissions = metadata.permissions().mode() & 0o777;
        assert_eq!(format!("{permissions:o}"), mode);
    }
}
