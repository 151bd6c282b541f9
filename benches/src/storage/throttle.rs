//! A limit on reads from a block device: blkio of cgroup v1, or io.max of v2.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use nix::sys::stat::{major, minor};

/// The limited quantity.
#[derive(Clone, Copy)]
pub enum Limit {
    BytesPerSecond(u64),
    ReadsPerSecond(u64),
}

/// A control group of this benchmark. Its processes must have ended when it is dropped.
pub struct Throttle {
    group: PathBuf,
}

impl Throttle {
    /// Limits reads from the device that `path` lies on.
    pub fn new(path: &Path, limit: Limit) -> Result<Throttle> {
        let device = fs::metadata(path)?.st_dev();
        let device = format!("{}:{}", major(device), minor(device));
        let (hierarchy, is_v2) = hierarchy().context("no cgroup hierarchy can limit reads")?;
        let (kind, name) = match limit {
            Limit::BytesPerSecond(_) => ("bps", "rbps"),
            Limit::ReadsPerSecond(_) => ("iops", "riops"),
        };
        let group = hierarchy.join(format!("sendloop-bench-{kind}-{}", process::id()));
        fs::create_dir_all(&group)?;
        let throttle = Throttle { group };
        let (Limit::BytesPerSecond(rate) | Limit::ReadsPerSecond(rate)) = limit;
        let (file, line) = match is_v2 {
            true => ("io.max".to_string(), format!("{device} {name}={rate}")),
            false => {
                let file = format!("blkio.throttle.read_{kind}_device");
                (file, format!("{device} {rate}"))
            }
        };
        fs::write(throttle.group.join(file), line).context("the kernel refuses the limit")?;
        Ok(throttle)
    }

    /// Limits a process with its threads and later children.
    pub fn add(&self, process: u32) -> Result<()> {
        fs::write(self.group.join("cgroup.procs"), process.to_string())?;
        Ok(())
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.group) {
            eprintln!("cannot remove {}: {error}", self.group.display());
        }
    }
}

/// The folder of control groups that can limit reads, and whether it is cgroup v2.
fn hierarchy() -> Option<(PathBuf, bool)> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut second = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
        match kind {
            "cgroup" if options.split(',').any(|option| option == "blkio") => {
                return Some((point.into(), false));
            }
            "cgroup2" => second = Some(PathBuf::from(point)),
            _ => {}
        }
    }
    let point = second?;
    fs::write(point.join("cgroup.subtree_control"), "+io").ok()?;
    Some((point, true))
}
