//! `agent`: its heartbeat, its child's lines, and its signals.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::examples::program::{Program, TIMEOUT};

/// An agent, its collector and its configuration.
struct Agent {
    program: Program,
    collector: UdpSocket,
    folder: TempDir,
}

impl Agent {
    #[track_caller]
    fn start(command: &str) -> Agent {
        let folder = tempfile::tempdir().expect("a folder");
        let collector = collector();
        let file = folder.path().join("agent.conf");
        configure(&file, &collector, command);
        let mut program = Program::start("agent", &[file.to_str().expect("text")]);
        assert!(program.line().starts_with("loaded "));
        Agent { program, collector, folder }
    }
}

#[track_caller]
fn collector() -> UdpSocket {
    let collector = UdpSocket::bind("127.0.0.1:0").expect("a port");
    collector.set_read_timeout(Some(TIMEOUT)).expect("set");
    collector
}

#[track_caller]
fn configure(file: &Path, collector: &UdpSocket, command: &str) {
    let address = collector.local_addr().expect("bound");
    fs::write(file, format!("{address}\n20\n{command}\n")).expect("room");
}

#[track_caller]
fn expect_heartbeats(collector: &UdpSocket) {
    for _ in 0..3 {
        let mut buffer = [0; 100];
        let len = collector.recv(&mut buffer).expect("a heartbeat");
        assert_eq!(&buffer[..len], b"alive");
    }
}

/// Returns whether a process runs; a zombie does not.
fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn agent_sends_heartbeats_and_reads_lines_in_any_pieces() {
    let pieces = r#"sh -c 'printf one; sleep 0.1; printf " line\ntwo\n\nlast\n"; sleep 60'"#;
    let mut agent = Agent::start(pieces);
    for line in ["one line", "two", "", "last"] {
        assert_eq!(agent.program.line(), format!("child: {line}").trim_end());
    }
    expect_heartbeats(&agent.collector);
}

#[test]
fn agent_restarts_its_child() {
    let mut agent = Agent::start("echo here");
    for _ in 0..2 {
        assert_eq!(agent.program.line(), "child: here");
    }
}

#[test]
fn agent_reloads_its_configuration_on_sighup_and_ends_on_sigterm() {
    let mut agent = Agent::start("sh -c 'echo $$; exec sleep 60'");
    let first = agent.program.line().replace("child: ", "");
    expect_heartbeats(&agent.collector);
    assert!(runs(&first));

    let other = collector();
    let file = agent.folder.path().join("agent.conf");
    configure(&file, &other, "sh -c 'echo second $$; exec sleep 60'");
    agent.program.signal(Signal::HUP);
    assert!(agent.program.line().starts_with("loaded "));
    let second = agent.program.line().replace("child: second ", "");
    expect_heartbeats(&other);
    assert!(!runs(&first));
    assert!(runs(&second));

    agent.program.signal(Signal::TERM);
    let (status, errors) = agent.program.wait();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    assert!(!runs(&second));
}
