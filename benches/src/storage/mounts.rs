//! File systems on the disk of the target folder, in a mount namespace of this process and its
//! children.
//!
//! The kernel unmounts everything when the last process of the namespace ends, also after a kill.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, statfs};
use nix::unistd::geteuid;

use super::succeed;

/// Creates a mount namespace for this process, once. This needs root.
pub fn private_mounts() -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_some() {
        return Ok(());
    }
    ensure!(geteuid().is_root(), "only root may mount file systems");
    unshare(CloneFlags::CLONE_NEWNS).context("no mount namespace")?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
    DONE.get_or_init(|| ());
    Ok(())
}

/// A mounted file system. Dropping it unmounts the file system and frees its loop device.
pub struct Mounted {
    pub point: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
    }
}

/// File systems that can hold the same files as another folder.
#[derive(Clone, Copy)]
pub enum FileSystem {
    Overlayfs,
    Squashfs,
    Erofs,
}

impl FileSystem {
    pub const ALL: [FileSystem; 3] =
        [FileSystem::Overlayfs, FileSystem::Squashfs, FileSystem::Erofs];

    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Overlayfs => "overlayfs",
            FileSystem::Squashfs => "squashfs",
            FileSystem::Erofs => "erofs",
        }
    }

    /// Mounts the files of `files`, on ext4, below `work`. Images are not compressed.
    pub fn mount(self, files: &Path, work: &Path) -> Result<Mounted> {
        private_mounts()?;
        let place = work.join(self.name());
        fs::create_dir_all(&place)?;
        if let FileSystem::Overlayfs = self {
            return overlay(files, &place);
        }
        known(self.name())?;
        let image = place.join("image");
        let _ = fs::remove_file(&image);
        let mut command = match self {
            FileSystem::Squashfs => {
                let mut command = Command::new("mksquashfs");
                command.arg(files).arg(&image);
                command.args(["-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"]);
                command
            }
            _ => {
                let mut command = Command::new("mkfs.erofs");
                command.arg(&image).arg(files);
                command
            }
        };
        succeed(&mut command).with_context(|| format!("no {} image", self.name()))?;
        attach(&image, &place.join("merged"), self.name(), "ro")
    }
}

/// Fails if the running kernel has no such file system and cannot load it.
fn known(name: &str) -> Result<()> {
    let has_it = || -> Result<bool> {
        let all = fs::read_to_string("/proc/filesystems")?;
        Ok(all.split_whitespace().any(|word| word == name))
    };
    if !has_it()? {
        let _ = Command::new("modprobe").arg(name).output();
    }
    ensure!(has_it()?, "this kernel has no {name}");
    Ok(())
}

fn overlay(files: &Path, place: &Path) -> Result<Mounted> {
    let [upper, work, point] = ["upper", "work", "merged"].map(|name| place.join(name));
    for folder in [&upper, &work, &point] {
        fs::create_dir_all(folder)?;
    }
    let [lower, upper, work] = [files, &upper, &work].map(|path| path.display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let (kind, flags) = (Some("overlay"), MsFlags::empty());
    mount(kind, &point, kind, flags, Some(options.as_str())).context("no overlay")?;
    Ok(Mounted { point })
}

/// Mounts an image by a loop device.
fn attach(image: &Path, point: &Path, kind: &str, options: &str) -> Result<Mounted> {
    fs::create_dir_all(point)?;
    let mut command = Command::new("mount");
    command.args(["-t", kind, "-o", &format!("loop,{options}")]);
    succeed(command.arg(image).arg(point))?;
    let point = point.to_path_buf();
    Ok(Mounted { point })
}

/// Creates an ext4 image of a given size in `folder` and mounts it by a loop device.
pub fn ext4_image(folder: &Path, bytes: u64) -> Result<Mounted> {
    private_mounts()?;
    fs::create_dir_all(folder)?;
    let image = folder.join("image");
    let _ = fs::remove_file(&image);
    File::create(&image)?.set_len(bytes)?;
    let mut command = Command::new("mkfs.ext4");
    succeed(command.args(["-q", "-m", "0"]).arg(&image))?;
    attach(&image, &folder.join("mounted"), "ext4", "rw")
}

/// Returns a folder on ext4: `folder` itself, or an image in it. The caller keeps the image.
pub fn folder_on_ext4(folder: &Path, bytes: u64) -> Result<(PathBuf, Option<Mounted>)> {
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    if statfs(&folder)?.filesystem_type() == EXT4_SUPER_MAGIC {
        return Ok((folder, None));
    }
    let image = ext4_image(&folder, bytes)?;
    if statfs(&image.point)?.filesystem_type() != EXT4_SUPER_MAGIC {
        bail!("{} is not on ext4", folder.display());
    }
    Ok((image.point.clone(), Some(image)))
}
