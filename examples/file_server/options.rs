//! The command line.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use lexopt::{Arg, Parser};

pub(crate) const USAGE: &str = "\
usage: file_server [OPTION...] ROOT

Serves the files of the directory ROOT over HTTP/1.1, until SIGINT or SIGTERM.

  --addr IP:PORT            where to listen; port 0 is any free one [127.0.0.1:8080]
  --threads N               event loops, each with a thread and a listener [1]
  --limit-connections N     at most so many at a time, shared out among the loops [10000]
  --header-timeout SECONDS  for a request, from its first byte to the end of its header [10]
  --idle-timeout SECONDS    for the next request to begin [60]
  --stall-timeout SECONDS   for a client that takes nothing of its response [60]
  --grace SECONDS           for what is under way when the server is to end [10]
  --log FILE                the access log, in Combined Log Format: - is the standard output, off is none [-]
  --help, --version

SECONDS may have a fraction.
";

/// What the program is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Options),
    Help,
    Version,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) root: PathBuf,
    pub(crate) addr: SocketAddr,
    pub(crate) threads: NonZeroUsize,
    pub(crate) limit: NonZeroUsize,
    pub(crate) patience: Patience,
    pub(crate) grace: Duration,
    pub(crate) log: Destination,
}

/// How long a client may take. None of these is ever "for ever": what a client holds it would hold for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) stall: Duration,
}

/// Where the access log goes.
#[derive(Debug)]
pub(crate) enum Destination {
    Off,
    Stdout,
    File(PathBuf),
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
///
/// A line that says what is wrong with them.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(args);
    let mut options = Options::default();
    let mut root = None;
    while let Some(arg) = parser.next().map_err(text)? {
        match arg {
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("version") | Short('V') => return Ok(Command::Version),
            Value(path) if root.is_none() => root = Some(PathBuf::from(path)),
            Long(name) => {
                let name = name.to_owned();
                let known = options.set(&name, &mut parser);
                known.map_err(|problem| format!("--{name}: {problem}"))?;
            }
            Value(_) => return Err("one ROOT is enough".into()),
            Arg::Short(_) => return Err(text(arg.unexpected())),
        }
    }
    options.root = root.ok_or("ROOT is missing")?;
    Ok(Command::Serve(options))
}

impl Default for Options {
    fn default() -> Options {
        Options {
            root: PathBuf::new(),
            addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            threads: NonZeroUsize::MIN,
            limit: NonZeroUsize::MIN.saturating_add(9_999),
            patience: Patience {
                header: Duration::from_secs(10),
                idle: Duration::from_secs(60),
                stall: Duration::from_secs(60),
            },
            grace: Duration::from_secs(10),
            log: Destination::Stdout,
        }
    }
}

impl Options {
    fn set(&mut self, name: &str, parser: &mut Parser) -> Result<(), String> {
        let mut value = || parser.value().map_err(|_| "a value is missing".to_owned());
        match name {
            "addr" => self.addr = value()?.parse().map_err(text)?,
            "threads" => self.threads = value()?.parse().map_err(text)?,
            "limit-connections" => self.limit = value()?.parse().map_err(text)?,
            "header-timeout" => self.patience.header = timeout(&value()?)?,
            "idle-timeout" => self.patience.idle = timeout(&value()?)?,
            "stall-timeout" => self.patience.stall = timeout(&value()?)?,
            "grace" => self.grace = seconds(&value()?)?,
            "log" => self.log = destination(value()?),
            _ => return Err("there is no such option".into()),
        }
        Ok(())
    }
}

fn seconds(value: &OsStr) -> Result<Duration, String> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    number
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{value:?} is no number of seconds"))
}

fn timeout(value: &OsStr) -> Result<Duration, String> {
    match seconds(value)? {
        Duration::ZERO => Err("no client can do anything in no time".into()),
        timeout => Ok(timeout),
    }
}

fn destination(value: OsString) -> Destination {
    match value.to_str() {
        Some("off") => Destination::Off,
        Some("-") => Destination::Stdout,
        _ => Destination::File(value.into()),
    }
}

fn text(error: lexopt::Error) -> String {
    error.to_string()
}
