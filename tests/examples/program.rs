//! Runs an example as a child process.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any test takes on a slow machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

const NAMES: [&str; 11] = [
    "agent",
    "chat",
    "echo_server",
    "embed_calloop",
    "embed_poll",
    "hyper_server",
    "https_server",
    "line_server",
    "proxy",
    "retry",
    "websocket_echo",
];

/// A running example. Dropping it kills the process, and so does a test that takes too long.
pub(crate) struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
    err: ChildStderr,
    _watched: Sender<()>,
}

impl Program {
    /// Starts an example.
    #[track_caller]
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Program {
        assert!(NAMES.contains(&name), "{name} is not built");
        let mut command = Command::new(examples().join(name));
        command.args(arguments);
        Program::spawn(&mut command)
    }

    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Program {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a program");
        Program {
            out: BufReader::new(child.stdout.take().expect("piped")),
            err: child.stderr.take().expect("piped"),
            _watched: watch(Pid::from_child(&child)),
            child,
        }
    }

    /// Reads one line of the standard output. The line is empty at the end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("text");
        line.truncate(line.trim_end().len());
        line
    }

    /// Reads the address from the first line, such as `listening on http://127.0.0.1:8080`.
    #[track_caller]
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line();
        let address = line.rsplit([' ', '/']).next().expect("a word");
        match (line.starts_with("listening on "), address.parse()) {
            (true, Ok(address)) => address,
            _ => panic!("the first line is {line:?}: {}", self.errors()),
        }
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a running program");
    }

    /// Waits for the end of the program and returns its status and its standard error.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let errors = self.errors();
        (self.child.wait().expect("a child"), errors)
    }

    #[track_caller]
    fn errors(&mut self) -> String {
        let mut text = String::new();
        self.err.read_to_string(&mut text).expect("text");
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills the process unless the returned value is dropped in time.
fn watch(process: Pid) -> Sender<()> {
    let (watched, unwatched) = mpsc::channel();
    thread::spawn(move || {
        if unwatched.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(process, Signal::KILL);
        }
    });
    watched
}

/// Builds the examples once and returns their folder. `cargo test --test examples` does not.
#[track_caller]
fn examples() -> &'static Path {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let mut build = cargo();
        build.args(["build", "--quiet", "--locked", "--target-dir"]).arg(target());
        build.args(NAMES.iter().flat_map(|name| ["--example", name]));
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().expect("cargo runs").success());
        profile().join("examples")
    })
}

/// Returns the folder that cargo builds into, `target` by default.
#[track_caller]
pub(crate) fn target() -> PathBuf {
    profile().parent().expect("a folder in target").to_owned()
}

#[track_caller]
fn profile() -> PathBuf {
    let test = env::current_exe().expect("the path of the test");
    test.ancestors().nth(2).expect("the test is in deps").to_owned()
}

/// Returns cargo without the variables that cargo set for this test. ring's build script reads
/// them, so cargo would build ring and its dependents again.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Connects a blocking client, which fails instead of waiting too long.
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a server");
    stream.set_read_timeout(Some(TIMEOUT)).expect("set");
    stream.set_write_timeout(Some(TIMEOUT)).expect("set");
    stream
}

/// Reads until the end of the stream.
#[track_caller]
pub(crate) fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the end");
    bytes
}

#[track_caller]
pub(crate) fn send(mut stream: impl Write, bytes: &[u8]) {
    stream.write_all(bytes).expect("sent");
}

/// Returns `len` bytes in which a test notices a repeat or a gap.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let words = (0..).map(|n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.flatten().take(len).collect()
}
