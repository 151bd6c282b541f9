//! The measured processes: each is one peer that does one kind of work.
//!
//! A side says `ready PORT` when it may be used, or `ready 0` where it listens to nobody but its standard input, and ends when
//! its standard input does.

pub mod cold;
mod echo;
pub mod send;
mod slow_fs;
pub mod step;
mod tasks;

use std::io::{self, BufRead, Write};

use anyhow::{Result, bail};

/// Runs the side that the first argument names, until the runner has no more use for it.
pub fn run(arguments: &[String]) -> Result<()> {
    let [name, rest @ ..] = arguments else {
        bail!("side NAME ARGUMENT…");
    };
    let Some((kind, peer)) = name.split_once('-') else {
        bail!("a side is WORK-PEER");
    };
    match kind {
        "echo" => echo::run(peer),
        "cold" => cold::run(peer),
        "slow" => slow_fs::run(rest),
        "step" => step::run(rest),
        "send" => send::run(peer, rest),
        "tasks" => tasks::run(peer),
        _ => bail!("no side has the name {name}"),
    }
}

fn say_ready(port: u16) {
    println!("ready {port}");
    io::stdout().flush().expect("the runner reads");
}

/// A server is used over its port. Its process ends with the runner's end of its standard input.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
}

/// Does what each line of standard input asks for, and says when it is done.
fn answer_lines(mut work: impl FnMut(&str, u64)) -> Result<()> {
    say_ready(0);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let Some((what, count)) = line.split_once(' ') else {
            bail!("a line is WHAT COUNT");
        };
        work(what, count.parse()?);
        println!("done");
    }
    Ok(())
}
