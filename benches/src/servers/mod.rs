//! The HTTP servers that are measured: programs of their own, each with one thread for its connections.

mod get;
mod nginx;
mod programs;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::runner::rounds::Peer;
use crate::runner::side::{Side, measured};

pub use get::{Connection, check, download};
pub use nginx::Variant;
pub use programs::require;

/// What is served, and where servers keep what they need.
pub struct Site {
    pub root: PathBuf,
    folder: PathBuf,
}

impl Site {
    /// # Errors
    ///
    /// Also where a program is missing.
    pub fn new(folder: &Path) -> Result<Site> {
        let root = folder.join("site");
        fs::create_dir_all(&root)?;
        programs::require("nginx", "nginx-light")?;
        Ok(Site {
            root: root.canonicalize()?,
            folder: folder.canonicalize()?,
        })
    }

    /// A file of so many bytes, each of which says where it stands; it has its size for a name.
    pub fn file(&self, size: u64) -> Result<String> {
        let path = self.root.join(size.to_string());
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size) {
            return Ok(size.to_string());
        }
        fs::write(&path, content(0, size))?;
        Ok(size.to_string())
    }

    pub fn nginx(&self, name: &str, variant: Variant) -> Result<Peer> {
        let port = free_port()?;
        let conf = self.folder.join(format!("nginx-{name}.conf"));
        fs::write(&conf, nginx::configuration(self, variant, port))?;
        let mut command = measured(Path::new("nginx"));
        command.arg("-c").arg(conf);
        // What it says before it has read its configuration goes there too.
        command.arg("-e").arg(self.folder.join("nginx.log"));
        self.peer(name, command, port)
    }

    pub fn file_server(&self) -> Result<Peer> {
        let port = free_port()?;
        let mut command = measured(&programs::file_server(&self.folder)?);
        command.arg(&self.root).args(["--log", "off"]);
        command.args(["--addr", &format!("127.0.0.1:{port}")]);
        self.peer("file_server", command, port)
    }

    /// The tokio-based one: static-web-server, which has as many threads as it sees cores, and it sees the one that it is on.
    pub fn static_web_server(&self) -> Result<Peer> {
        let port = free_port()?;
        let mut command = measured(&programs::static_web_server(&self.folder)?);
        command.arg("--root").arg(&self.root);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--log-level", "error"]);
        self.peer("static-web-server", command, port)
    }

    fn peer(&self, name: &str, command: Command, port: u16) -> Result<Peer> {
        let side = Side::serving(command, port).with_context(|| name.to_string())?;
        Ok(Peer::new(name, side))
    }
}

/// A port that nobody has. Between this and its use somebody could take it, and the server would say so.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Bytes that tell their place: a repeat or a gap shows.
pub fn content(offset: u64, len: u64) -> Vec<u8> {
    (offset..offset + len)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}
