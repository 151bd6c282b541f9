//! J: the time to build an echo server from nothing, and the size of the program.
//!
//! Each peer has a package with one dependency and cargo's default release profile. The three
//! programs do the same.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

use super::Scale;
use crate::Options;
use crate::runner::results::{self, Sample, Series, Table};
use crate::runner::side::Side;

/// A peer, its dependency and its program.
struct Package {
    peer: &'static str,
    dependency: &'static str,
    program: &'static str,
}

/// The sendloop of this tree stands in for `TREE`.
const PACKAGES: [Package; 3] = [
    Package {
        peer: "sendloop",
        dependency: "sendloop = { path = \"TREE\" }",
        program: include_str!("../../builds/sendloop.rs"),
    },
    Package {
        peer: "tokio",
        dependency: "tokio = { version = \"1\", features = [\"rt\", \"net\", \"io-util\"] }",
        program: include_str!("../../builds/tokio.rs"),
    },
    Package {
        peer: "smol",
        dependency: "smol = \"2\"",
        program: include_str!("../../builds/smol.rs"),
    },
];

pub fn run(options: &Options) -> Result<()> {
    // Sides of other workloads have one core. A build may use all cores.
    crate::runner::side::use_all_cores()?;
    let rounds = match options.quick {
        true => 1,
        false => Scale::of(options).rounds,
    };
    let mut series = Vec::new();
    for package in &PACKAGES {
        package.write(&options.folder)?;
        series.push(Series { peer: package.peer.to_string(), samples: Vec::new() });
    }
    for _ in 0..rounds {
        for (package, series) in PACKAGES.iter().zip(&mut series) {
            let sample = package.build(&options.folder);
            series.samples.push(sample.with_context(|| package.peer.to_string())?);
        }
    }
    crate::runner::side::become_counterpart()?;
    let table = Table {
        key: "J build".to_string(),
        title: "an echo server, built from nothing".to_string(),
        unit: "build".to_string(),
        series,
    };
    results::save(options, &table)
}

impl Package {
    fn folder(&self, folder: &Path) -> PathBuf {
        folder.join("builds").join(self.peer)
    }

    /// Writes the package. Its dependencies have the versions of this package's lock file.
    fn write(&self, folder: &Path) -> Result<()> {
        let folder = self.folder(folder);
        fs::create_dir_all(folder.join("src"))?;
        let tree = Path::new("..").canonicalize()?;
        let dependency = self.dependency.replace("TREE", &tree.display().to_string());
        let manifest = format!(
            "[package]\nname = \"echo\"\nversion = \"0.0.0\"\nedition = \"2024\"\n
[workspace]\n\n[dependencies]\n{dependency}\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        fs::write(folder.join("src/main.rs"), self.program)?;
        fs::copy("Cargo.lock", folder.join("Cargo.lock"))?;
        let fetch = |offline: &[&str]| {
            let mut command = self.cargo(&folder, "fetch");
            Ok::<bool, anyhow::Error>(command.args(offline).status()?.success())
        };
        // Cargo asks the registry only if a version is not here.
        ensure!(fetch(&["--offline"])? || fetch(&[])?, "cargo fetch failed");
        Ok(())
    }

    fn cargo(&self, folder: &Path, command: &str) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args([command, "--quiet", "--manifest-path"]);
        cargo.arg(folder.join("Cargo.toml"));
        cargo.env("CARGO_TARGET_DIR", folder.join("target"));
        cargo
    }

    /// Builds the package from nothing, strips the program and checks that it echoes.
    fn build(&self, folder: &Path) -> Result<Sample> {
        let folder = self.folder(folder);
        let target = folder.join("target");
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        let (begin, cpu) = (Instant::now(), cpu_of_children()?);
        let mut command = self.cargo(&folder, "build");
        let built = command.args(["--release", "--offline"]).status()?;
        ensure!(built.success(), "cargo build failed");
        let (wall, cpu) = (begin.elapsed().as_secs_f64(), cpu_of_children()? - cpu);
        let (program, stripped) = (target.join("release/echo"), target.join("stripped"));
        let mut strip = Command::new("strip");
        let status = strip.arg(&program).arg("-o").arg(&stripped).status()?;
        ensure!(status.success(), "strip failed");
        check(&stripped)?;
        let other = [("seconds", wall), ("kilobytes", fs::metadata(&stripped)?.len() as f64 / 1e3)];
        Ok(Sample {
            units: 1.0,
            cpu,
            wall,
            other: other.map(|(name, figure)| (name.to_string(), figure)).into(),
        })
    }
}

fn cpu_of_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    Ok(seconds.iter().sum())
}

/// Checks that a program echoes on two connections at once.
fn check(program: &Path) -> Result<()> {
    let side = Side::start(Command::new(program))?;
    let connect = || TcpStream::connect(("127.0.0.1", side.port));
    let mut connections = [connect()?, connect()?];
    for (number, connection) in connections.iter_mut().enumerate().rev() {
        let (sent, mut got) = ([number as u8; 5000], [9; 5000]);
        connection.write_all(&sent)?;
        connection.read_exact(&mut got)?;
        ensure!(sent == got, "a wrong reply");
    }
    Ok(())
}
