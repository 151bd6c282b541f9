//! The server under test and the files that it serves.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process,
    pidfd_getfd, pidfd_open, prlimit,
};
use socket2::SockRef;
use tempfile::TempDir;

/// Longer than any test here takes, also on a slow machine.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(120);

/// A running server with a temporary root. Dropping it kills the server. A watchdog kills the
/// server and aborts the test if the test hangs.
pub(crate) struct Server {
    child: Arc<Mutex<Child>>,
    pub(crate) addr: SocketAddr,
    out: Option<BufReader<ChildStdout>>,
    /// The server serves `site` in it and must never serve anything beside `site`.
    directory: TempDir,
    /// Dropping it stops the watchdog.
    _watchdog: Sender<()>,
}

impl Server {
    #[track_caller]
    pub(crate) fn start() -> Server {
        Server::start_without_log(&[])
    }

    /// Starts the server with these options and without an access log.
    #[track_caller]
    pub(crate) fn start_without_log(options: &[&str]) -> Server {
        Server::start_with(&[&["--log", "off"], options].concat())
    }

    /// Starts the server with these options. By default, its access log is on standard output.
    #[track_caller]
    pub(crate) fn start_with(options: &[&str]) -> Server {
        let mut command = Command::new(executable());
        command.args(options);
        Server::start_as(&mut command)
    }

    /// Starts the server with this descriptor limit.
    #[track_caller]
    pub(crate) fn start_with_descriptors(limit: usize) -> Server {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(executable());
        command.args(["--log", "off"]);
        Server::start_as(&mut command)
    }

    /// Starts the server with this file as its standard error, at most 100 connections and no
    /// access log.
    #[track_caller]
    pub(crate) fn start_logging_to(errors: &fs::File) -> Server {
        let mut command = Command::new(executable());
        command.args(["--log", "off", "--limit-connections", "100"]);
        command.stderr(errors.try_clone().expect("a descriptor"));
        Server::start_as(&mut command)
    }

    #[track_caller]
    pub(crate) fn start_as(command: &mut Command) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let site = directory.path().join("site");
        fs::create_dir(&site).expect("a directory to serve");
        command.arg(&site).args(["--addr", "127.0.0.1:0"]);
        let mut child =
            command.stdout(Stdio::piped()).spawn().expect("the example is built beside the tests");
        let out = child.stdout.take().expect("a piped standard output");
        let child = Arc::new(Mutex::new(child));
        let watchdog = watch(child.clone());
        let mut out = BufReader::new(out);
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let addr = line
            .strip_prefix("listening on http://")
            .unwrap_or_else(|| panic!("the first line is {line:?}"));
        Server {
            child,
            addr: addr.trim_end().parse().expect("an address"),
            out: Some(out),
            directory,
            _watchdog: watchdog,
        }
    }

    /// Returns a path in the root.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join("site").join(name)
    }

    /// Returns a path outside the root.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of this size into the root and returns its content.
    #[track_caller]
    pub(crate) fn add(&self, name: impl AsRef<Path>, len: usize) -> Vec<u8> {
        let bytes = content(len);
        fs::write(self.path(name), &bytes).expect("a file to serve");
        bytes
    }

    /// Creates a sparse file of 64 MiB in the root, which takes no time.
    #[track_caller]
    pub(crate) fn add_zeros(&self, name: &str) {
        let file = fs::File::create(self.path(name));
        file.and_then(|file| file.set_len(64 << 20)).expect("a file to serve");
    }

    /// Reads the next line of the server's standard output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let out = self.out.as_mut().expect("standard output is still open");
        out.read_line(&mut line).expect("a line");
        line
    }

    #[track_caller]
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&lock(&self.child))
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&lock(&self.child));
        kill_process(pid, signal).expect("a server that runs");
    }

    /// Waits until the server exits. The watchdog kills it if it does not exit by itself.
    #[track_caller]
    pub(crate) fn wait(&self) -> ExitStatus {
        loop {
            if let Some(status) = lock(&self.child).try_wait().expect("a child") {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Closes the reading end of the server's standard output.
    pub(crate) fn close_out(&mut self) {
        drop(self.out.take());
    }

    /// Returns the CPU time that the server has used, in hundredths of a second.
    #[track_caller]
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let after_name = stat.rsplit(')').next().expect("a name in parentheses");
        let times = after_name.split(' ').skip(12).take(2);
        times.map(|time| time.parse::<u64>().expect("a number")).sum()
    }

    /// Returns the server's resident memory in bytes.
    #[track_caller]
    pub(crate) fn resident(&self) -> usize {
        let statm = self.proc("statm");
        let pages = statm.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
        pages.expect("a number of pages") * rustix::param::page_size()
    }

    #[track_caller]
    fn proc(&self, name: &str) -> String {
        let pid = lock(&self.child).id();
        fs::read_to_string(format!("/proc/{pid}/{name}")).expect("a server that runs")
    }

    /// Waits until the server has this many descriptors open. Polls, because the server does not
    /// report when it has closed one.
    #[track_caller]
    pub(crate) fn expect_descriptors(&self, expected: usize) {
        for _ in 0..2000 {
            if self.descriptors() == expected {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.descriptors(), expected, "open descriptors after 20 s");
    }

    /// Returns the number of descriptors that the server has open.
    #[track_caller]
    pub(crate) fn descriptors(&self) -> usize {
        self.open_descriptors().count()
    }

    /// Returns the number that the kernel will give to the next descriptor.
    #[track_caller]
    pub(crate) fn next_descriptor(&self) -> u64 {
        let open: BTreeSet<u64> = self.open_descriptors().collect();
        let next = (0..).find(|number| !open.contains(number));
        next.expect("a number")
    }

    #[track_caller]
    fn open_descriptors(&self) -> impl Iterator<Item = u64> {
        let pid = lock(&self.child).id();
        let directory = fs::read_dir(format!("/proc/{pid}/fd")).expect("a server that runs");
        directory.map(|entry| {
            let name = entry.expect("an entry").file_name();
            let number = name.to_str().and_then(|name| name.parse().ok());
            number.expect("a number")
        })
    }

    /// Returns a copy of the server's descriptor of this connection, or `None` if the kernel does
    /// not permit pidfd_getfd(2).
    #[track_caller]
    pub(crate) fn server_end_of(&self, client: &TcpStream) -> Option<OwnedFd> {
        let pid = Pid::from_child(&lock(&self.child));
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let addr = client.local_addr().expect("a connection");
        for number in self.open_descriptors() {
            let copy = pidfd_getfd(&process, number as RawFd, PidfdGetfdFlags::empty());
            let descriptor = match copy {
                Ok(descriptor) => descriptor,
                // The server has closed it since the directory was read.
                Err(Errno::BADF) => continue,
                Err(_) => return None,
            };
            let peer = SockRef::from(&descriptor).peer_addr();
            if peer.is_ok_and(|peer| peer.as_socket() == Some(addr)) {
                return Some(descriptor);
            }
        }
        panic!("the server has no connection from {addr}");
    }

    /// Sets the server's descriptor limit and returns the limit before.
    #[track_caller]
    pub(crate) fn set_descriptor_limit(&self, limit: u64) -> u64 {
        let pid = Pid::from_child(&lock(&self.child));
        let limit = Rlimit { current: Some(limit), maximum: getrlimit(Resource::Nofile).maximum };
        let before = prlimit(Some(pid), Resource::Nofile, limit).expect("a server that runs");
        before.current.expect("a limit")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

/// Aborts the test binary if the returned value is not dropped in time. It kills the server first,
/// which would outlive the abort.
fn watch(child: Arc<Mutex<Child>>) -> Sender<()> {
    let (watchdog, dropped) = mpsc::channel();
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if dropped.recv_timeout(WATCHDOG_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} still runs after {WATCHDOG_TIMEOUT:?}");
            kill(&child);
            std::process::abort();
        }
    });
    watchdog
}

fn kill(child: &Mutex<Child>) {
    let mut child = lock(child);
    let _ = child.kill();
    let _ = child.wait();
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the path of the server, `target/…/examples/file_server`. This test is
/// `target/…/deps/file_server-…`.
#[track_caller]
pub(crate) fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of the test");
        let profile = test.ancestors().nth(2).expect("the test lies in deps");
        build_into(profile.parent().expect("the profile's folder lies in target"));
        profile.join("examples").join("file_server")
    })
}

fn describes_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Builds the example. `cargo test` does that too, but `cargo test --test file_server` does not: it
/// would run the program of an earlier build.
#[track_caller]
fn build_into(target: &Path) {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return;
    };
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--quiet", "--example", "file_server"]);
    command.arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    // ring's build script reads these variables. If they differed, cargo would build ring again.
    for (name, _) in std::env::vars().filter(|(name, _)| describes_package(name)) {
        command.env_remove(name);
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "cargo cannot build the example file_server: {status}");
}

/// Returns pseudorandom bytes, so that a test notices each repeat, gap or swap.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(len);
    bytes
}
