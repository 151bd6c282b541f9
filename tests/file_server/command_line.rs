//! Options and arguments on the command line.

use std::net::TcpListener;
use std::process::{Command, Output};

use super::client::get;
use super::server::{Server, executable};

#[track_caller]
fn run(args: &[&str]) -> Output {
    let output = Command::new(executable()).args(args).output();
    output.expect("the example is built")
}

#[test]
fn help_and_version_are_printed() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).expect("text");
    for option in [
        "--addr",
        "--threads",
        "--limit-connections",
        "--header-timeout",
        "--idle-timeout",
        "--stall-timeout",
        "--grace",
        "--log",
        "--socket-mode",
        "--hidden",
        "--follow-links",
        "--spa",
        "--not-found",
        "--charset",
        "--cache-control",
        "--cors",
        "--trusted-proxy",
        "--help",
        "--version",
    ] {
        assert!(text.contains(option), "no {option} in {text}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let expected = concat!("file_server ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
}

#[test]
fn a_wrong_option_is_reported_in_one_line() {
    for (args, problem) in [
        (&[][..], "ROOT is missing"),
        (&["a", "b"], "one ROOT is enough"),
        (&[".", "--port", "1"], "--port: there is no such option"),
        (&[".", "-x"], "invalid option '-x'"),
        (&[".", "--addr"], "--addr: a value is missing"),
        (&[".", "--addr", "nowhere"], "--addr: \"nowhere\" is neither"),
        (&[".", "--addr", "unix:"], "--addr: a path is missing"),
        (&[".", "--addr", "::1:80"], "--addr: \"::1:80\" is neither"),
        (&[".", "--addr", "[]:80"], "--addr: "),
        (&[".", "--addr", "localhost:65536"], "--addr: "),
        (&[".", "--socket-mode", "888"], "--socket-mode: "),
        (&[".", "--spa", "/"], "--spa: "),
        (&[".", "--charset", "utf 8"], "--charset: "),
        (&[".", "--cache-control", "*.js:"], "--cache-control: "),
        (&[".", "--trusted-proxy", "10.0.0.0/33"], "--trusted-proxy: "),
        (&[".", "--trusted-proxy", "proxy"], "--trusted-proxy: "),
        (&[".", "--threads", "0"], "--threads: "),
        (&[".", "--limit-connections", "-1"], "--limit-connections: "),
        (&[".", "--idle-timeout", "0"], "--idle-timeout: "),
        (&[".", "--header-timeout", "soon"], "--header-timeout: "),
        (&[".", "--stall-timeout", "inf"], "--stall-timeout: "),
        (&[".", "--grace", "-1"], "--grace: "),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.starts_with(&format!("file_server: {problem}")), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn a_root_address_or_log_that_cannot_be_used_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    let listen = format!("cannot listen on {addr}: ");
    for (args, problem) in [
        (&["/nowhere/at/all"][..], "cannot serve /nowhere/at/all: "),
        (&["/dev/null"], "cannot serve /dev/null: "),
        (&[".", "--addr", &addr], &listen),
        (&[".", "--addr", &addr, "--threads", "2"], &listen),
        (&[".", "--addr", "unix:/nowhere/at/all"], "cannot listen on unix:/nowhere/at/all: "),
        (&[".", "--addr", "no.such.host.invalid:0"], "cannot listen on no.such.host.invalid:0: "),
        (
            &[".", "--addr", "127.0.0.1:0", "--log", "/nowhere/at/all"],
            "cannot open the log /nowhere/at/all: ",
        ),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.starts_with(&format!("file_server: {problem}")), "{errors}");
    }
}

/// Each thread has its own listener with SO_REUSEPORT. Without a check, two servers would share the
/// port silently.
#[test]
fn a_second_server_with_threads_cannot_take_the_same_port() {
    let server = Server::start_without_log(&["--threads", "2"]);
    server.add("a", 10);
    let addr = server.addr.to_string();
    let output = run(&[".", "--addr", &addr, "--threads", "2"]);
    assert_eq!(output.status.code(), Some(1));
    for _ in 0..20 {
        assert_eq!(get(&server, "/a").status, 200);
    }
}

#[test]
fn a_thread_or_output_that_fails_ends_the_server() {
    for (set_up, problem) in [
        // There is address space for two of the stacks.
        ("export RUST_MIN_STACK=1073741824 && ulimit -v 3000000", "cannot start: "),
        ("exec >/dev/full", "cannot start: cannot write to the standard output: "),
    ] {
        let script = format!("{set_up} && exec timeout -s KILL 30 \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(executable());
        let output = command.args([".", "--addr", "127.0.0.1:0", "--threads", "4"]).output();
        let output = output.expect("a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(&format!("file_server: {problem}")), "{errors}");
    }
}
