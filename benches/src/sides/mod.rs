//! The measured processes: each is one peer with one workload.
//!
//! A side prints `ready PORT` when it can be used. A side without a port prints `ready 0` and takes
//! its orders from its standard input. Every side ends when its standard input ends.

mod churn;
pub mod cold;
mod echo;
mod proxy;
pub mod send;
mod slow_fs;
pub mod step;
mod tasks;
mod udp;

use std::io::{self, BufRead, Write};

use anyhow::{Result, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// Runs the side that the first argument names until the runner ends it.
pub fn run(arguments: &[String]) -> Result<()> {
    let [name, rest @ ..] = arguments else {
        bail!("side NAME ARGUMENT…");
    };
    let Some((kind, peer)) = name.split_once('-') else {
        bail!("{name} is no WORK-PEER");
    };
    match kind {
        "churn" => churn::run(peer),
        "echo" => echo::run(peer),
        "proxy" => proxy::run(peer, rest),
        "cold" => cold::run(peer),
        "slow" => slow_fs::run(rest),
        "step" => step::run(rest),
        "send" => send::run(peer, rest),
        "tasks" => tasks::run(peer),
        "udp" => udp::run(peer),
        _ => bail!("no side has the name {name}"),
    }
}

fn print_ready(port: u16) {
    println!("ready {port}");
    io::stdout().flush().expect("the runner reads");
}

/// Reports the port of a server that the runner stops at times.
///
/// A stopped process does not see the end of its standard input, so it also dies with its parent.
fn print_ready_to_stop(port: u16) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    print_ready(port);
    end_with_stdin();
    Ok(())
}

/// Ends the process when its standard input ends: a server takes its orders over its port.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
}

/// Does the work that each line of standard input names, and prints `done` after each.
fn answer_lines(mut work: impl FnMut(&str, u64)) -> Result<()> {
    print_ready(0);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let Some((what, count)) = line.split_once(' ') else {
            bail!("{line} is no SCENARIO COUNT");
        };
        work(what, count.parse()?);
        println!("done");
    }
    Ok(())
}
