//! Where the server listens.

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

/// A server of a directory with one file, and what it says of its address.
struct Listening {
    child: Child,
    says: String,
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
        let mut says = String::new();
        out.read_line(&mut says).expect("a line");
        let says = says.trim_end().to_owned();
        Listening { child, says, out }
    }

    /// Ends it in order.
    #[track_caller]
    fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        assert!(self.child.wait().expect("it ends").success());
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
fn hosts_may_be_names_or_left_out() {
    let site = directory();
    for (address, says) in [
        ("localhost:0", "listening on http://127.0.0.1:"),
        ("127.0.0.1:0", "listening on http://127.0.0.1:"),
        (":0", "listening on http://"),
        ("[::1]:0", "listening on http://[::1]:"),
    ] {
        let server = Listening::start(&site, &["--log", "off", "--addr", address]);
        assert!(server.says.starts_with(says), "{}", server.says);
        let port = server.says.rsplit(':').next().expect("a port");
        let host = if address.starts_with('[') {
            "[::1]"
        } else {
            "127.0.0.1"
        };
        expect_content(TcpStream::connect(format!("{host}:{port}")).expect("a connection"));
    }
}

struct Place {
    _directory: TempDir,
    path: PathBuf,
    address: String,
}

fn place() -> Place {
    let directory = directory();
    let path = directory.path().join("socket");
    let address = format!("unix:{}", path.display());
    Place {
        _directory: directory,
        path,
        address,
    }
}

#[test]
fn it_may_listen_at_a_unix_socket() {
    let (site, place) = (directory(), place());
    for threads in ["1", "3"] {
        let options = ["--threads", threads, "--addr", &place.address];
        let mut server = Listening::start(&site, &options);
        assert_eq!(server.says, format!("listening on {}", place.address));
        for _ in 0..10 {
            expect_content(unix(&place.path));
            let mut line = String::new();
            server.out.read_line(&mut line).expect("a line of the log");
            assert!(line.starts_with("unix: - - ["), "{line}");
        }
        server.end();
        assert!(!place.path.exists(), "the socket stays");
    }
}

/// Its clients have no address, but for the one that a trusted proxy names.
#[test]
fn the_proxy_at_a_unix_socket_may_be_trusted() {
    let (site, place) = (directory(), place());
    let options = ["--trusted-proxy", "unix", "--addr", &place.address];
    let mut server = Listening::start(&site, &options);
    let request = b"GET /a HTTP/1.0\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
    unix(&place.path).write_all(request).expect("sent");
    let mut line = String::new();
    server.out.read_line(&mut line).expect("a line of the log");
    assert!(line.starts_with("198.51.100.7 - - ["), "{line}");
}

#[test]
fn large_files_go_through_a_unix_socket_too() {
    let (site, place) = (directory(), place());
    let bytes = super::server::content((8 << 20) + 1);
    fs::write(site.path().join("large"), &bytes).expect("a file");
    let _server = Listening::start(&site, &["--log", "off", "--addr", &place.address]);
    let mut stream = unix(&place.path);
    stream
        .write_all(b"GET /large HTTP/1.0\r\n\r\n")
        .expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("received");
    assert!(all.ends_with(&bytes));
}

#[test]
fn the_socket_of_a_server_that_was_killed_is_replaced() {
    let (site, place) = (directory(), place());
    let options = ["--log", "off", "--addr", &place.address];
    drop(Listening::start(&site, &options));
    assert!(place.path.exists(), "it was killed");
    let server = Listening::start(&site, &options);
    expect_content(unix(&place.path));
    server.end();
}

#[test]
fn a_path_that_is_in_use_is_left_alone() {
    let (site, place) = (directory(), place());
    let refuse = || {
        let output = Command::new(executable())
            .arg(site.path())
            .args(["--addr", &place.address])
            .output()
            .expect("the example is built");
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = format!("file_server: cannot listen on {}: ", place.address);
        assert!(said.starts_with(&expected), "{said}");
    };
    fs::write(&place.path, "a file").expect("a file");
    refuse();
    assert_eq!(fs::read(&place.path).expect("the file"), b"a file");
    fs::remove_file(&place.path).expect("the file");
    let other = UnixListener::bind(&place.path).expect("a listener");
    refuse();
    unix(&place.path);
    drop(other);
}

#[test]
fn the_socket_has_the_mode_of_the_option() {
    let (site, place) = (directory(), place());
    let options = ["--log", "off", "--addr", &place.address];
    for mode in ["600", "666"] {
        let options = [&options[..], &["--socket-mode", mode]].concat();
        let _server = Listening::start(&site, &options);
        let metadata = fs::metadata(&place.path).expect("the socket");
        let permissions = metadata.permissions().mode() & 0o777;
        assert_eq!(format!("{permissions:o}"), mode);
    }
}
