//! The measured HTTP servers. Each has one thread for its connections.

mod get;
mod many_files;
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
pub use many_files::ManyFiles;
pub use nginx::Variant;
pub use programs::require;

/// The served files and the folder of the servers' own files.
pub struct Site {
    pub root: PathBuf,
    folder: PathBuf,
}

impl Site {
    /// # Errors
    ///
    /// Also if a program is missing.
    pub fn new(folder: &Path) -> Result<Site> {
        let root = folder.join("site");
        fs::create_dir_all(&root)?;
        Site::at(&root, folder)
    }

    /// A site whose files exist.
    ///
    /// # Errors
    ///
    /// Also if a program is missing.
    pub fn at(root: &Path, folder: &Path) -> Result<Site> {
        programs::require("nginx", "nginx-light")?;
        Ok(Site { root: root.canonicalize()?, folder: folder.canonicalize()? })
    }

    /// Creates a file of a given size, which is also its name. Its bytes depend on their offset.
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
        // nginx logs there before it has read its configuration.
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

    /// static-web-server, which is on tokio. It has a thread for each core that it may use: one.
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

/// Returns a free port. If another process takes it first, the server fails.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Returns bytes that depend on their offset: a repeat or a gap changes them.
pub fn content(offset: u64, len: u64) -> Vec<u8> {
    (offset..offset + len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
