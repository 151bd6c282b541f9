//! The program of a side: this one, or another.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::before::program_of;
use super::side::{Side, measured};

#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// A side of this program.
    pub fn own(name: &str, arguments: &[&Path]) -> Result<Program> {
        let (path, name) = program_of(name)?;
        let mut all = vec!["side".into(), name.into()];
        all.extend(arguments.iter().map(OsString::from));
        Ok(Program { path, arguments: all })
    }

    /// A script of `peers/`.
    pub fn python(folder: &Path, script: &str, arguments: &[&Path]) -> Result<Program> {
        let mut all = vec![Path::new("peers").join(script).into()];
        all.extend(arguments.iter().map(OsString::from));
        Ok(Program { path: python(folder)?, arguments: all })
    }

    pub fn start(&self) -> Result<Side> {
        let mut command = measured(&self.path);
        command.args(&self.arguments);
        Side::start(command)
    }

    /// Starts it under strace, which writes its counts to a file when the side ends.
    pub fn start_traced(&self, counts: &Path) -> Result<Side> {
        self.start_under_strace(&["-c", "-U", "calls,name"], counts)
    }

    /// Starts it under strace with these options.
    pub fn start_under_strace(&self, options: &[&str], output: &Path) -> Result<Side> {
        let mut command = measured(Path::new("strace"));
        command.arg("-f").args(options).arg("-o").arg(output);
        command.arg(&self.path).args(&self.arguments);
        Side::start(command)
    }
}

/// Returns the interpreter of the virtual environment, and creates that if needed.
fn python(folder: &Path) -> Result<PathBuf> {
    let place = std::path::absolute(folder.join("venv"))?;
    let interpreter = place.join("bin/python");
    if !interpreter.exists() {
        let mut command = Command::new("python3");
        let made = command.args(["-m", "venv"]).arg(&place).status()?;
        ensure!(made.success(), "python3 -m venv failed");
    }
    Ok(interpreter)
}
