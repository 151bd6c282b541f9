//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "usage: file_server ROOT [--addr 127.0.0.1:8080]";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) root: PathBuf,
    pub(crate) addr: SocketAddr,
}

impl Options {
    /// Reads the arguments that follow the program's name. They are not text but `OsString`s, as a path need not be text.
    pub(crate) fn read(mut args: impl Iterator<Item = OsString>) -> Result<Options, String> {
        let mut root = None;
        let mut addr = SocketAddr::from(([127, 0, 0, 1], 8080));
        while let Some(arg) = args.next() {
            if arg == "--addr" {
                addr = read_addr(args.next())?;
            } else if arg.as_encoded_bytes().starts_with(b"--") {
                return Err(format!("unknown option {}", arg.to_string_lossy()));
            } else if root.replace(PathBuf::from(arg)).is_some() {
                return Err("one ROOT is enough".into());
            }
        }
        let root = root.ok_or("ROOT is missing")?;
        Ok(Options { root, addr })
    }
}

fn read_addr(arg: Option<OsString>) -> Result<SocketAddr, String> {
    let arg = arg.ok_or("--addr needs an address")?;
    let text = arg.to_str().unwrap_or_default();
    text.parse().map_err(|_| {
        format!(
            "{} is no address like 127.0.0.1:8080",
            arg.to_string_lossy()
        )
    })
}
