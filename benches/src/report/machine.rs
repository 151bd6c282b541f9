//! The machine and the versions of a run.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Returns the first line that a command prints.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next()?.trim().to_string();
    (!line.is_empty()).then_some(line)
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    let model = text.lines().find(|line| line.starts_with("model name"))?;
    let model = model.split_once(':')?.1.trim();
    Some(format!("{count} cores, {model}"))
}

/// Returns the locked versions of the crates.
fn crates() -> Vec<String> {
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        // The newest one, if dependencies need several.
        let entry = lock.split(&format!("name = \"{name}\"\nversion = \"")).last()?;
        Some(format!("{name} {}", entry.split('"').next()?))
    };
    ["mio", "tokio", "smol", "async-io", "async-executor", "monoio"]
        .into_iter()
        .filter_map(version)
        .collect()
}

pub fn lines(folder: &Path) -> Vec<String> {
    let python = folder.join("venv/bin/python").display().to_string();
    let uvloop = "import uvloop; print('uvloop', uvloop.__version__)";
    let lines = [
        cpu(),
        first_line("uname", &["-sr"]),
        first_line("rustc", &["--version"]),
        Some(crates().join(", ")),
        first_line(&python, &["--version"]).or_else(|| first_line("python3", &["--version"])),
        first_line(&python, &["-c", uvloop]),
        first_line("nginx", &["-v"]),
        first_line("wrk", &["-v"])
            .map(|line| line.split(" [").next().unwrap_or_default().to_string()),
    ];
    lines.into_iter().flatten().collect()
}
