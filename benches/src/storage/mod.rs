//! Mounted file systems, slow disks, and page caches that lack pages.

mod mounts;
pub mod page_cache;
mod throttle;

pub use mounts::{FileSystem, Mounted, ext4_image, folder_on_ext4};
pub use throttle::{Limit, Throttle};

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a command. The error holds the command's output.
pub fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", report.trim());
    Ok(())
}
