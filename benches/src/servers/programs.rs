//! Installed programs, and those that a run builds once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

/// Fails with the package to install if a program is missing.
pub fn require(program: &str, package: &str) -> Result<()> {
    let mut command = Command::new(program);
    let answer = command.arg("-v").stdout(Stdio::null()).stderr(Stdio::null());
    match answer.status() {
        Ok(_) => Ok(()),
        Err(_) => bail!("{program} is missing; works E and G need it: apt-get install {package}"),
    }
}

/// Builds the `file_server` example of this tree, once in a run.
pub fn file_server(folder: &Path) -> Result<PathBuf> {
    static BUILT: OnceLock<()> = OnceLock::new();
    let target = folder.join("tree");
    let program = target.join("release/examples/file_server");
    if BUILT.get().is_some() {
        return Ok(program);
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--release"]);
    cargo.args(["--example", "file_server", "--manifest-path", "../Cargo.toml"]);
    succeed(cargo.arg("--target-dir").arg(&target))?;
    BUILT.get_or_init(|| ());
    Ok(program)
}

pub fn static_web_server(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("tools");
    let program = root.join("bin/static-web-server");
    if !program.exists() {
        let mut cargo = Command::new("cargo");
        // Its default features are compression and directory pages.
        cargo.args(["install", "--quiet", "--locked", "--no-default-features"]);
        succeed(cargo.args(["static-web-server@^2", "--root"]).arg(&root))?;
    }
    Ok(program)
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
