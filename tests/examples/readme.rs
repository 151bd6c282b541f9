//! The first program of README.md, built in a new package, as a reader would build it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::examples::program::{Program, TIMEOUT, cargo, connect, content, read_all, target};

const ADDRESS: &str = "127.0.0.1:8080";

/// The first block of Rust code.
fn code() -> &'static str {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```rust,no_run\n").expect("a program");
    rest.split_once("```\n").expect("the end of the program").0
}

/// Builds the program once. The test replaces the fixed address by one from the environment.
fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| {
        let package = target().join("readme/package");
        fs::create_dir_all(package.join("src")).expect("a folder");
        let root = env!("CARGO_MANIFEST_DIR");
        let manifest = format!(
            "[package]\nname = \"readme\"\nedition = \"2024\"\n\n\
             [dependencies]\nsendloop = {{ path = {root:?} }}\n\n[workspace]\n"
        );
        let literal = format!("{ADDRESS:?}");
        assert_eq!(code().matches(&literal).count(), 1);
        let program = code().replace(&literal, "std::env::var(\"ADDRESS\").unwrap()");
        write(&package.join("Cargo.toml"), &manifest);
        write(&package.join("src/main.rs"), &program);
        fs::copy(Path::new(root).join("Cargo.lock"), package.join("Cargo.lock")).expect("copied");
        let mut build = cargo();
        build.args(["build", "--quiet", "--offline", "--target-dir"]);
        build.arg(target().join("readme")).current_dir(package);
        assert!(build.status().expect("cargo runs").success());
        target().join("readme/debug/readme")
    })
}

/// Writes a file unless it has this text already, because cargo builds again after a change of its
/// time.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return;
    }
    fs::write(path, text).expect("room");
}

/// Starts the program in a folder whose `Cargo.toml` has `len` bytes.
struct Server {
    program: Program,
    address: SocketAddr,
    _folder: TempDir,
    /// A socket that is bound and does not listen, so that no other process takes the port.
    _port: Socket,
}

impl Server {
    #[track_caller]
    fn start(len: usize) -> Server {
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        port.set_reuse_address(true).expect("set");
        port.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        let address = port.local_addr().ok().and_then(|addr| addr.as_socket()).expect("bound");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Cargo.toml"), content(len)).expect("room");
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 20 && exec \"$0\""]).arg(executable());
        command.env("ADDRESS", address.to_string()).current_dir(&folder);
        let program = Program::spawn(&mut command);
        Server { program, address, _folder: folder, _port: port }
    }

    /// Connects once the program listens. The program prints nothing then, so this retries.
    #[track_caller]
    fn connect(&self) -> TcpStream {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(start.elapsed() < TIMEOUT, "the program does not listen after {TIMEOUT:?}");
            thread::sleep(Duration::from_millis(5));
        }
        connect(self.address)
    }
}

#[test]
fn readme_program_serves_several_clients_and_ends_silently_on_ctrl_c() {
    let server = Server::start(4_000_001);
    let slow = server.connect();
    for _ in 0..3 {
        assert!(read_all(connect(server.address)) == content(4_000_001));
    }
    assert!(read_all(slow) == content(4_000_001));
    let _waiting = connect(server.address);
    server.program.signal(Signal::INT);
    let (status, errors) = server.program.wait();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn readme_program_survives_an_accept_error() {
    let server = Server::start(4_000_001);
    drop(server.connect());
    // More than its descriptors, and none of them reads.
    let clients: Vec<TcpStream> = (0..30).map(|_| connect(server.address)).collect();
    for client in clients {
        assert!(read_all(client) == content(4_000_001));
    }
    server.program.signal(Signal::INT);
    let (status, errors) = server.program.wait();
    assert_eq!(status.code(), Some(0));
    assert!(errors.lines().count() > 0, "the program never ran out of descriptors");
    let is_expected = |line: &str| line.starts_with("cannot accept: Too many open files");
    assert!(errors.lines().all(is_expected), "{errors}");
}
