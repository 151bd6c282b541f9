//! Places to measure in: file systems mounted for the benchmark, slow disks, and page caches with holes.

mod mounts;
pub mod page_cache;
mod throttle;

pub use mounts::{FileSystem, Mounted, ext4_image, folder_on_ext4};
pub use throttle::{Limit, Throttle};

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a command of the system and fails with what it reports.
pub fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", report.trim());
    Ok(())
}
