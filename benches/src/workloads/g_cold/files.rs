//! Files that are not in memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::geteuid;

use crate::runner::side::Side;
use crate::servers::Site;

/// A file that can be made cold again and again.
pub trait Cold {
    fn name(&self) -> &'static str;
    fn title(&self) -> String;
    fn path(&self) -> &Path;
    /// The path of the file below the servers' root.
    fn url(&self) -> String;
    fn size(&self) -> u64;
    /// Makes the file cold.
    fn cool(&self) -> Result<()>;
}

/// A file on the disk, evicted from the page cache.
pub struct OnDisk {
    path: PathBuf,
    size: u64,
}

impl OnDisk {
    pub fn new(site: &Site, size: u64) -> Result<OnDisk> {
        let path = site.root.join(site.file(size)?);
        // The kernel does not evict dirty pages.
        File::open(&path)?.sync_all()?;
        Ok(OnDisk { path, size })
    }
}

impl Cold for OnDisk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn title(&self) -> String {
        format!("{} MiB of a disk", self.size >> 20)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn url(&self) -> String {
        self.size.to_string()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn cool(&self) -> Result<()> {
        let file = File::open(&self.path)?;
        Ok(posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
    }
}

/// A file of a FUSE file system. A read takes 100 ms, and opening the file makes it cold.
pub struct Slow {
    point: PathBuf,
    path: PathBuf,
    _side: Side,
}

const SLOW_SIZE: u64 = 1 << 20;
const DELAY_MS: u64 = 100;

impl Slow {
    /// Returns `None` if FUSE is not available.
    pub fn mount(site: &Site) -> Result<Option<Slow>> {
        if !geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("G fuse is left out: it takes root and /dev/fuse");
            return Ok(None);
        }
        let point = site.root.join("slow");
        // An interrupted run can leave a mount.
        let _ = umount2(&point, MntFlags::MNT_DETACH);
        fs::create_dir_all(&point)?;
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        attach(&device, &point)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["side", "slow-fs", &SLOW_SIZE.to_string(), &DELAY_MS.to_string()]);
        let side = Side::start_with(command, device.into()).inspect_err(|_| {
            let _ = umount2(&point, MntFlags::MNT_DETACH);
        });
        Ok(Some(Slow {
            path: point.join("file"),
            _side: side.context("the slow file system")?,
            point,
        }))
    }
}

fn attach(device: &File, point: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    let options =
        format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = Some(options.as_str());
    Ok(mount(Some("sendloop-slow"), point, Some("fuse"), flags, options)?)
}

/// Unmounts before the server ends. Otherwise an unreachable mount would stay.
impl Drop for Slow {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.point, MntFlags::MNT_DETACH) {
            eprintln!("{} is still mounted: {error}", self.point.display());
        }
    }
}

impl Cold for Slow {
    fn name(&self) -> &'static str {
        "fuse"
    }

    fn title(&self) -> String {
        let size = SLOW_SIZE >> 20;
        format!("{size} MiB of a file system that takes {DELAY_MS} ms for a read")
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn url(&self) -> String {
        "slow/file".into()
    }

    fn size(&self) -> u64 {
        SLOW_SIZE
    }

    fn cool(&self) -> Result<()> {
        Ok(())
    }
}
