//! The system calls of a server for a request, counted by strace(1).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Bursts;
use super::client::Client;
use super::latencies;
use crate::runner::results::Sample;
use crate::runner::rounds::Peer;

/// The waits that requests share.
const POLLS: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// Counts the calls of a number of bursts, by name for one request, and those that are no waits.
pub fn count_calls(folder: &Path, peer: &Peer, client: &mut Client, bursts: u64) -> Result<Sample> {
    let file = folder.join("calls");
    let (server, mut latencies) = (peer.side.id(), latencies()?);
    let strace = attach(server, &file)?;
    for _ in 0..bursts {
        client.burst(server, &mut latencies)?;
    }
    end(strace)?;
    let units = (bursts * client.len() as u64) as f64;
    let calls = parse(&fs::read_to_string(&file)?)?;
    let mut other: BTreeMap<_, _> =
        calls.into_iter().map(|(name, calls)| (name, calls / units)).collect();
    let beside = other.iter().filter(|(name, _)| !POLLS.contains(&name.as_str()));
    let beside: f64 = beside.map(|(_, calls)| calls).sum();
    other.insert("beside polls".to_string(), beside);
    Ok(Sample { units, cpu: 0.0, wall: 0.0, other })
}

/// Attaches strace to all threads of a process.
fn attach(process: u32, file: &Path) -> Result<Child> {
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-U", "calls,name", "-p", &process.to_string()]);
    command.arg("-o").arg(file).stderr(Stdio::piped());
    let mut strace = command.spawn().context("strace")?;
    let stderr = strace.stderr.take().context("piped")?;
    let mut line = String::new();
    BufReader::new(stderr).read_line(&mut line)?;
    if !line.contains("attached") {
        bail!("{line}");
    }
    Ok(strace)
}

fn end(mut strace: Child) -> Result<()> {
    kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT)?;
    strace.wait()?;
    Ok(())
}

/// Parses a summary of two columns.
fn parse(summary: &str) -> Result<BTreeMap<String, f64>> {
    let mut calls = BTreeMap::new();
    for line in summary.lines() {
        let mut words = line.split_whitespace();
        let count = words.next().and_then(|count| count.parse().ok());
        if let (Some(count), Some(name)) = (count, words.next()) {
            calls.insert(name.to_string(), count);
        }
    }
    calls.remove("total").context("a summary has a total")?;
    Ok(calls)
}
