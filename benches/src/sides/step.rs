//! A bare sendfile loop with given call sizes, steps and socket options, for the experiment on call
//! sizes.
//!
//! A line `CALL STEP NODELAY CORK CONNECTIONS BYTES` orders a job: accept the connections and send
//! the bytes over each. The loop works like sendloop: one step of each connection in turn, then a
//! poll that does not wait. The answer is a [`Taken`].

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::sendfile::sendfile64;
use nix::time::{ClockId, clock_gettime};
use rustix::net::sockopt::set_tcp_cork;

/// A job.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The largest count of a call, and the most that one step sends.
    pub call: u64,
    pub step: u64,
    pub nodelay: bool,
    /// Sets TCP_CORK for each step.
    pub cork: bool,
    pub connections: u64,
    /// The bytes of each connection.
    pub bytes: u64,
}

impl Job {
    pub fn line(&self) -> String {
        let Job { call, step, connections, bytes, .. } = self;
        let [nodelay, cork] = [self.nodelay, self.cork].map(u64::from);
        format!("{call} {step} {nodelay} {cork} {connections} {bytes}")
    }

    fn parse(line: &str) -> Result<Job> {
        let [call, step, nodelay, cork, connections, bytes] = numbers(line)?;
        Ok(Job { call, step, nodelay: nodelay == 1, cork: cork == 1, connections, bytes })
    }
}

/// The cost of a job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    pub cpu_ns: u64,
    pub wall_ns: u64,
    pub calls: u64,
    pub full: u64,
    pub polls: u64,
    pub voluntary: u64,
    pub involuntary: u64,
}

impl Taken {
    fn line(&self) -> String {
        let Taken { cpu_ns, wall_ns, calls, full, polls, voluntary, involuntary } = self;
        format!("{cpu_ns} {wall_ns} {calls} {full} {polls} {voluntary} {involuntary}")
    }

    pub fn parse(line: &str) -> Result<Taken> {
        let [cpu_ns, wall_ns, calls, full, polls, voluntary, involuntary] = numbers(line)?;
        Ok(Taken { cpu_ns, wall_ns, calls, full, polls, voluntary, involuntary })
    }
}

fn numbers<const COUNT: usize>(line: &str) -> Result<[u64; COUNT]> {
    let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    let numbers = numbers.try_into();
    numbers.map_err(|numbers| anyhow::anyhow!("{COUNT} numbers, not {numbers:?}"))
}

pub fn run(arguments: &[String]) -> Result<()> {
    let [path, network] = arguments else {
        bail!("step-loop FILE shared|own");
    };
    if network == "own" {
        unshare(CloneFlags::CLONE_NEWNET)?;
    }
    let file = File::open(path)?;
    let listener = TcpListener::bind("0.0.0.0:0")?;
    super::print_ready(listener.local_addr()?.port());
    for line in io::stdin().lock().lines() {
        let taken = work(&listener, &file, Job::parse(&line?)?)?;
        println!("{}", taken.line());
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    sent: u64,
    waits_for_edge: bool,
}

enum Stepped {
    Done,
    Full,
    More,
}

fn work(listener: &TcpListener, file: &File, job: Job) -> Result<Taken> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for number in 0..job.connections as usize {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(job.nodelay)?;
        let fd = stream.as_raw_fd();
        let registry = poll.registry();
        registry.register(&mut SourceFd(&fd), Token(number), Interest::WRITABLE)?;
        connections.push(Connection { stream, sent: 0, waits_for_edge: false });
    }
    let mut taken = Taken::default();
    let start = Start::now()?;
    transfer(file, job, &mut connections, &mut poll, &mut taken)?;
    start.end(&mut taken)?;
    Ok(taken)
}

fn transfer(
    file: &File,
    job: Job,
    connections: &mut [Connection],
    poll: &mut Poll,
    taken: &mut Taken,
) -> Result<()> {
    let mut events = Events::with_capacity(256);
    let mut queue: VecDeque<usize> = (0..connections.len()).collect();
    let mut left = connections.len();
    while left > 0 {
        for _ in 0..queue.len() {
            let number = queue.pop_front().context("counted")?;
            match step(file, job, &mut connections[number], taken)? {
                Stepped::Done => left -= 1,
                Stepped::Full => connections[number].waits_for_edge = true,
                Stepped::More => queue.push_back(number),
            }
        }
        if left == 0 {
            break;
        }
        let timeout = if queue.is_empty() { None } else { Some(Duration::ZERO) };
        taken.polls += 1;
        poll.poll(&mut events, timeout)?;
        for event in &events {
            let Token(number) = event.token();
            if std::mem::take(&mut connections[number].waits_for_edge) {
                queue.push_back(number);
            }
        }
    }
    Ok(())
}

fn step(file: &File, job: Job, connection: &mut Connection, taken: &mut Taken) -> Result<Stepped> {
    if job.cork {
        set_tcp_cork(&connection.stream, true)?;
    }
    let mut budget = job.step.min(job.bytes - connection.sent);
    let mut is_full = false;
    while budget > 0 && !is_full {
        let mut offset = connection.sent as i64;
        let count = budget.min(job.call) as usize;
        taken.calls += 1;
        match sendfile64(&connection.stream, file, Some(&mut offset), count) {
            Err(Errno::EAGAIN) => is_full = true,
            result => {
                let moved = result? as u64;
                ensure!(moved > 0, "the file is too short");
                connection.sent += moved;
                budget -= moved;
            }
        }
    }
    if job.cork {
        set_tcp_cork(&connection.stream, false)?;
    }
    taken.full += u64::from(is_full);
    Ok(match is_full {
        true => Stepped::Full,
        false if connection.sent == job.bytes => Stepped::Done,
        false => Stepped::More,
    })
}

struct Start {
    cpu: Duration,
    time: Instant,
    voluntary: i64,
    involuntary: i64,
}

impl Start {
    fn now() -> Result<Start> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        Ok(Start {
            cpu: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into(),
            time: Instant::now(),
            voluntary: usage.voluntary_context_switches(),
            involuntary: usage.involuntary_context_switches(),
        })
    }

    fn end(self, taken: &mut Taken) -> Result<()> {
        let now = Start::now()?;
        taken.cpu_ns = (now.cpu - self.cpu).as_nanos() as u64;
        taken.wall_ns = (now.time - self.time).as_nanos() as u64;
        taken.voluntary = (now.voluntary - self.voluntary) as u64;
        taken.involuntary = (now.involuntary - self.involuntary) as u64;
        Ok(())
    }
}
