//! The command line.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use lexopt::{Arg, Parser};

use crate::listen::Address;
use crate::rules::{CacheControl, Rules};

pub(crate) const USAGE: &str = "\
usage: file_server [OPTION...] ROOT

Serves the files of the directory ROOT over HTTP/1.1, until SIGINT or SIGTERM.

Where and how long
  --addr ADDRESS            HOST:PORT, :PORT for all addresses, or unix:PATH; port 0 is any free one
                            [127.0.0.1:8080]
  --socket-mode MODE        the permissions of the Unix socket, in octal [as the umask has it]
  --threads N               event loops, each with a thread and a listener [1]
  --limit-connections N     at most so many at a time, shared out among the loops [10000]
  --header-timeout SECONDS  for a request, from its first byte to the end of its header [10]
  --idle-timeout SECONDS    for the next request to begin [60]
  --stall-timeout SECONDS   for a client that takes nothing of its response [60]
  --grace SECONDS           for what is under way when the server is to end [10]

What is served
  --hidden                  serve names that begin with a dot; /.well-known/ always is
  --follow-links            follow symbolic links out of ROOT
  --spa FILE                serve FILE of ROOT for everything that is not found
  --not-found FILE          show FILE of ROOT with each 404 [404.html]
  --charset CHARSET         of all texts, as utf-8; without it their type has none
  --cache-control [PATTERN:]VALUE
                            as '*.js: max-age=3600'; may be repeated, the first that fits is sent
  --cors                    let scripts of all origins read everything
  --no-cache                open each file anew for each request

The log
  --log FILE                in Combined Log Format: - is the standard output, off is none [-]
  --trusted-proxy IP[/LEN]  believe its X-Forwarded-For, also \"unix\"; may be repeated

  --help, --version

SECONDS may have a fraction.
";

/// The command of the user.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Box<Options>),
    Help,
    Version,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) root: PathBuf,
    pub(crate) address: Address,
    pub(crate) socket_mode: Option<u32>,
    pub(crate) threads: NonZeroUsize,
    pub(crate) limit: NonZeroUsize,
    pub(crate) patience: Patience,
    pub(crate) grace: Duration,
    pub(crate) log: Destination,
    pub(crate) cache: bool,
    pub(crate) rules: Rules,
}

/// The time limits of a client. All are finite, so that no client keeps its memory for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) stall: Duration,
}

/// The destination of the access log.
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
/// A line with the mistake.
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
    Ok(Command::Serve(options.into()))
}

impl Default for Options {
    fn default() -> Options {
        Options {
            root: PathBuf::new(),
            address: Address::Tcp("127.0.0.1".into(), 8080),
            socket_mode: None,
            threads: NonZeroUsize::MIN,
            limit: NonZeroUsize::MIN.saturating_add(9_999),
            patience: Patience {
                header: Duration::from_secs(10),
                idle: Duration::from_secs(60),
                stall: Duration::from_secs(60),
            },
            grace: Duration::from_secs(10),
            log: Destination::Stdout,
            cache: true,
            rules: Rules::default(),
        }
    }
}

impl Options {
    fn set(&mut self, name: &str, parser: &mut Parser) -> Result<(), String> {
        let mut value = || parser.value().map_err(|_| "a value is missing".to_owned());
        let rules = &mut self.rules;
        match name {
            "addr" => self.address = Address::read(&string(value()?)?)?,
            "socket-mode" => self.socket_mode = Some(mode(&string(value()?)?)?),
            "threads" => self.threads = value()?.parse().map_err(text)?,
            "limit-connections" => self.limit = value()?.parse().map_err(text)?,
            "header-timeout" => self.patience.header = timeout(&value()?)?,
            "idle-timeout" => self.patience.idle = timeout(&value()?)?,
            "stall-timeout" => self.patience.stall = timeout(&value()?)?,
            "grace" => self.grace = seconds(&value()?)?,
            "log" => self.log = destination(value()?),
            "trusted-proxy" => rules.proxies.add(&string(value()?)?)?,
            "hidden" => rules.hidden = true,
            "follow-links" => rules.follow_links = true,
            "spa" => rules.spa = Some(below_root(&string(value()?)?)?),
            "not-found" => rules.not_found = Some(below_root(&string(value()?)?)?),
            "charset" => rules.charset = Some(charset(string(value()?)?)?),
            "cache-control" => {
                let rule = CacheControl::read(&string(value()?)?)?;
                rules.cache_control.push(rule);
            }
            "cors" => rules.cors = true,
            "no-cache" => self.cache = false,
            _ => return Err("there is no such option".into()),
        }
        Ok(())
    }
}

fn string(value: OsString) -> Result<String, String> {
    let wrong = |value| format!("{value:?} is no UTF-8");
    value.into_string().map_err(wrong)
}

/// A file's path below the root, which may begin with a slash as it does in an address.
fn below_root(value: &str) -> Result<PathBuf, String> {
    match value.trim_start_matches('/') {
        "" => Err("the name of a file is missing".into()),
        path => Ok(path.into()),
    }
}

fn charset(value: String) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
    match !value.is_empty() && value.bytes().all(is_part) {
        true => Ok(value),
        false => Err(format!("{value:?} is no charset")),
    }
}

fn mode(value: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(value, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("{value:?} is no octal mode"))
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
