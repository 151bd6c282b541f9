//! Scenarios that change their process, so each runs in a child process.
#![allow(unsafe_code, reason = "signals are set and sent by libc alone")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, ChildStdout, Stdio};
use std::ptr;
use std::thread;

use super::util::{Test, test, this_program};

const SCENARIO: &str = "SENDLOOP_TEST_SCENARIO";
/// The prefix of each line that a scenario writes for its parent.
const MARK: &str = "child says: ";
/// The child ends by SIGALRM after this many seconds.
const SECONDS: u32 = 20;

/// A child process that runs one scenario.
pub struct Scenario {
    child: Child,
    lines: BufReader<ChildStdout>,
    _test: Test,
}

impl Drop for Scenario {
    fn drop(&mut self) {
        // Both fail if the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `scenario` in a child process, which runs the test `name` alone.
///
/// The test must call this first: in the child, this call runs the scenario and exits.
#[track_caller]
pub fn scenario(name: &str, scenario: fn()) -> Scenario {
    if env::var_os(SCENARIO).is_some_and(|running| running == name) {
        // SAFETY: it has no conditions; the default action of SIGALRM ends the process.
        unsafe { libc::alarm(SECONDS) };
        scenario();
        process::exit(0);
    }
    let test = test();
    let mut child = this_program()
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(SCENARIO, name)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child process");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    Scenario { child, lines, _test: test }
}

/// Prints a line for the parent, in the child.
pub fn print_line(what: &str) {
    // One write, so that the test harness cannot write in between.
    let line = format!("\n{MARK}{what}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).expect("written");
    out.flush().expect("flushed");
}

impl Scenario {
    /// Waits until the child prints exactly this line.
    #[track_caller]
    pub fn expect_line(&mut self, what: &str) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("readable") > 0 {
            if let Some(printed) = line.trim_end().strip_prefix(MARK) {
                assert_eq!(printed, what);
                return;
            }
            line.clear();
        }
        panic!("the child ended without {what:?}");
    }

    /// Sends `signal` to the child and waits until one of its threads has taken it.
    #[track_caller]
    pub fn send(&self, signal: i32) {
        let id = self.child.id();
        // SAFETY: the child is not reaped yet, so the id is its own.
        assert_eq!(unsafe { libc::kill(id as libc::pid_t, signal) }, 0);
        while is_pending(id, signal) {
            thread::yield_now();
        }
    }

    /// Waits for the end of the child and returns the signal that ended it.
    #[track_caller]
    pub fn killed_by(mut self) -> Option<i32> {
        let status = self.child.wait().expect("waited");
        if status.signal().is_none() {
            assert!(status.success(), "the scenario failed: {status}");
        }
        status.signal()
    }
}

fn is_pending(id: u32, signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{id}/status")) else {
        return false;
    };
    let ended = status.lines().any(|line| line.starts_with("State:\tZ"));
    if ended {
        return false;
    }
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).expect("hex"));
    mask & (1 << (signal - 1)) != 0
}

/// Raises `signal` on this thread. Its handler has run when this returns.
pub fn raise(signal: i32) {
    // SAFETY: it has no conditions.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Sets the action of `signal`, as the crate `ctrlc` does, and returns the former one.
pub fn set_action(signal: i32, handler: libc::sighandler_t) -> libc::sigaction {
    // SAFETY: all zero is a value of sigaction; the handlers in the tests are async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        let mut before: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, &raw const action, &raw mut before), 0);
        before
    }
}

/// Returns the handler of `signal`.
pub fn handler(signal: i32) -> libc::sighandler_t {
    // SAFETY: all zero is a value of sigaction, and a null action asks for the present one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}
