//! A measured process and its CPU time.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::before::program_of;

/// The core of the measured process, and that of the runner and its clients.
const MEASURED: usize = 0;
const COUNTERPART: usize = 1;

/// Puts this process on the counterpart's core.
pub fn become_counterpart() -> Result<()> {
    stay_on(COUNTERPART)
}

/// Lets this process and its children use every core again.
pub fn use_all_cores() -> Result<()> {
    let mut cores = CpuSet::new();
    for core in 0..std::cmp::min(CpuSet::count(), 64) {
        cores.set(core)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// Puts this thread on the core of the measured process.
pub fn become_measured() -> Result<()> {
    stay_on(MEASURED)
}

fn stay_on(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// The CPU time of a process up to a moment.
#[derive(Clone, Copy)]
pub struct Cpu(Duration);

/// The CPU clock of a process with all its threads, also those that have ended. It agrees with
/// getrusage(2).
pub struct CpuClock(ClockId);

impl CpuClock {
    pub fn of(pid: u32) -> Result<CpuClock> {
        Ok(CpuClock(clock_getcpuclockid(Pid::from_raw(pid as i32))?))
    }

    pub fn now(&self) -> Result<Cpu> {
        Ok(Cpu(clock_gettime(self.0)?.into()))
    }

    pub fn since(&self, start: Cpu) -> Result<Duration> {
        Ok(self.now()?.0.saturating_sub(start.0))
    }
}

pub struct Side {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    pub port: u16,
    pub cpu: CpuClock,
}

impl Side {
    /// Starts a side of this program.
    pub fn own(name: &str, arguments: &[&str]) -> Result<Side> {
        let (program, name) = program_of(name)?;
        let mut command = measured(&program);
        command.args(["side", name]).args(arguments);
        Side::start(command).with_context(|| format!("side {name}"))
    }

    /// Starts a command that prints `ready PORT` as a side does.
    pub fn start(command: Command) -> Result<Side> {
        Side::start_with(command, Stdio::piped())
    }

    /// Does the same with another standard input.
    pub fn start_with(mut command: Command, stdin: Stdio) -> Result<Side> {
        command.stdin(stdin).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{:?}", command.get_program()))?;
        let cpu = CpuClock::of(child.id())?;
        let stdout = child.stdout.take().context("piped")?;
        let mut side =
            Side { stdin: child.stdin.take(), stdout: BufReader::new(stdout), child, port: 0, cpu };
        let line = side.line()?;
        let port = line.strip_prefix("ready ").context("ready PORT")?;
        side.port = port.parse()?;
        Ok(side)
    }

    /// Starts a server of another project. It is ready when it accepts a connection.
    pub fn serving(mut command: Command, port: u16) -> Result<Side> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{:?}", command.get_program()))?;
        let stdout = child.stdout.take().context("piped")?;
        let side = Side {
            cpu: CpuClock::of(child.id())?,
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout),
            child,
            port,
        };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > end {
                bail!("{:?} accepts no connections", command.get_args());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(side)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("the side ended: {:?}", self.child.wait()?);
        }
        Ok(line.trim_end().to_string())
    }

    /// Like [`ask`](Side::ask), but returns `None` if no answer comes in time.
    pub fn ask_within(&mut self, line: &str, limit: Duration) -> Result<Option<String>> {
        let stdin = self.stdin.as_mut().context("open")?;
        writeln!(stdin, "{line}")?;
        stdin.flush()?;
        let mut fds = [PollFd::new(self.stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(limit)?)? {
            0 => Ok(None),
            _ => self.line().map(Some),
        }
    }

    /// Sends a line and waits for the answer.
    pub fn ask(&mut self, line: &str) -> Result<String> {
        let stdin = self.stdin.as_mut().context("open")?;
        writeln!(stdin, "{line}")?;
        stdin.flush()?;
        self.line()
    }

    /// Returns the resident memory of the side in bytes.
    pub fn resident(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(file)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("VmRSS")?.trim().parse::<u64>()? << 10)
    }

    /// Returns the same after the process has become idle.
    pub fn resident_at_rest(&self) -> Result<u64> {
        for _ in 0..200 {
            let cpu = self.cpu.now()?;
            thread::sleep(Duration::from_millis(100));
            if self.cpu.since(cpu)?.is_zero() {
                return self.resident();
            }
        }
        bail!("the side does not become idle");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the side by closing its standard input, so that a tracer can write its report.
    pub fn end(mut self) -> Result<()> {
        self.stdin = None;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns how long a process's main thread, or this thread ("thread-self"), was ready to run while
/// others had the core.
pub fn waited_for_core(process: &str) -> Duration {
    let path = format!("/proc/{process}/schedstat");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let nanos = text.split(' ').nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// A command on the measured core.
pub fn measured(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &MEASURED.to_string()]).arg(program);
    command
}
