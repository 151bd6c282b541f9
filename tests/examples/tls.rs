//! `https_server`: an adapter under rustls, used by curl and by OpenSSL.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::examples::program::{Program, connect, content, read_all, send};

/// A server with a new certificate, and a folder of files.
struct Server {
    _program: Program,
    address: SocketAddr,
    folder: TempDir,
}

impl Server {
    #[track_caller]
    fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -subj /CN=localhost -addext subjectAltName=DNS:localhost";
        let mut openssl = Command::new("openssl");
        openssl.args(request.split_whitespace());
        openssl.args(["-keyout", &key, "-out", &cert]).stderr(Stdio::null());
        assert!(openssl.status().expect("openssl runs").success());
        let root = folder.path().join("root");
        fs::create_dir(&root).expect("a folder");
        let root = root.display().to_string();
        let mut program = Program::start("https_server", &[&root, &cert, &key, "127.0.0.1:0"]);
        let address = program.address();
        Server { _program: program, address, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs curl, which checks the certificate, and returns its standard output.
    #[track_caller]
    fn curl(&self, path: &str, options: &[&str]) -> Vec<u8> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--path-as-is", "--max-time", "60", "--cacert"]);
        curl.arg(self.path("cert.pem")).args(options);
        let port = self.address.port();
        let to = format!("localhost:{port}:{}", self.address.ip());
        curl.args(["--resolve", &to]);
        curl.arg(format!("https://localhost:{port}/{path}"));
        let output = curl.stderr(Stdio::inherit()).output().expect("curl runs");
        assert!(output.status.success(), "{}", output.status);
        output.stdout
    }

    /// Sends bytes through `openssl s_client`, and returns the response up to the end.
    #[track_caller]
    fn s_client(&self, version: &str, request: &[u8]) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-verify_return_error", version, "-CAfile"]);
        openssl.arg(self.path("cert.pem")).args(["-servername", "localhost", "-connect"]);
        openssl.arg(self.address.to_string()).stdin(Stdio::piped());
        let mut child =
            openssl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("openssl");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(request).expect("room in the pipe");
        let output = child.wait_with_output().expect("a child");
        drop(input);
        assert!(output.status.success(), "{}", output.status);
        output.stdout
    }
}

#[test]
fn https_server_serves_whole_files_to_curl() {
    let server = Server::start();
    // Empty, one byte, around one block, and many blocks.
    for len in [0, 1, 131_071, 131_072, 131_073, 5_000_001] {
        fs::write(server.path("root/file"), content(len)).expect("room");
        for version in ["--tlsv1.2", "--tls-max"] {
            let options: &[&str] =
                if version == "--tls-max" { &[version, "1.2"] } else { &[version] };
            assert!(server.curl("file", options) == content(len), "{len} bytes");
        }
    }
}

#[test]
fn https_server_serves_openssl_with_both_versions() {
    let server = Server::start();
    fs::write(server.path("root/file"), content(300_000)).expect("room");
    for version in ["-tls1_2", "-tls1_3"] {
        let answer = server.s_client(version, b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n";
        assert!(answer.starts_with(head), "{version}");
        assert!(answer[head.len()..] == content(300_000), "{version}");
    }
}

#[test]
fn https_server_opens_nothing_outside_its_folder() {
    let server = Server::start();
    fs::write(server.path("outside"), "secret").expect("room");
    fs::create_dir(server.path("root/folder")).expect("a folder");
    for path in ["missing", "folder", "../outside", "folder/../../outside", ""] {
        let status = server.curl(path, &["-o", "/dev/null", "-w", "%{http_code}"]);
        assert_eq!(status, b"404", "{path}");
    }
}

#[test]
fn https_server_survives_clients_that_do_not_speak_tls() {
    let server = Server::start();
    fs::write(server.path("root/file"), "text").expect("room");
    let plain = connect(server.address);
    send(&plain, b"GET / HTTP/1.1\r\n\r\n");
    read_all(&plain);
    drop(connect(server.address));
    assert_eq!(server.curl("file", &[]), b"text");
}

#[test]
fn https_server_serves_twenty_clients_at_once() {
    let server = Server::start();
    fs::write(server.path("root/file"), content(2_000_001)).expect("room");
    std::thread::scope(|scope| {
        let client = || assert!(server.curl("file", &[]) == content(2_000_001));
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(client)).collect();
        clients.into_iter().for_each(|client| client.join().expect("served"));
    });
}
