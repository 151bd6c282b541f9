//! File systems for tests: an overlay, and read-only images on loop devices. Only root can mount
//! them.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// A mounted file system with one file named `file`.
///
/// Dropping it unmounts the file system.
#[derive(Debug)]
pub struct Mounted {
    directory: TempDir,
}

impl Mounted {
    /// Opens the file for reading.
    pub fn open(&self) -> File {
        File::open(self.path()).expect("a file")
    }

    /// Opens the file for reading and writing, and creates it if it is missing.
    pub fn file(&self) -> File {
        let mut options = File::options();
        options.read(true).write(true).create(true);
        options.open(self.path()).expect("a file")
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("merged").join("file")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = self.directory.path().join("merged");
        let _ = unmount(path, UnmountFlags::DETACH);
    }
}

/// Creates a folder with an empty folder `merged`, to mount on.
fn directory() -> TempDir {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    fs::create_dir(directory.path().join("merged")).expect("a folder");
    directory
}

fn skipped(what: &str, why: impl std::fmt::Display) {
    eprintln!("skipped: {what} cannot be mounted: {why}");
}

/// Mounts an overlay over a lower layer that holds `content`.
pub fn overlay(content: &[u8]) -> Option<Mounted> {
    let directory = directory();
    let path = |name| {
        let path = directory.path().join(name);
        fs::create_dir_all(&path).expect("a folder");
        path.to_str().expect("text").to_owned()
    };
    if !content.is_empty() {
        write(&Path::new(&path("lower")).join("file"), content);
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("upper"), path("work"));
    let options = CString::new(options).expect("no NUL");
    let (target, flags) = (path("merged"), MountFlags::empty());
    match mount("overlay", target, "overlay", flags, &*options) {
        Ok(()) => Some(Mounted { directory }),
        Err(error) => {
            skipped("overlayfs", error);
            None
        }
    }
}

/// Mounts an image of `content` on a loop device.
///
/// `make` returns the command that creates the image. Its first word is the program.
fn image(
    content: &[u8],
    what: &str,
    make: impl Fn(&Path, &Path) -> Vec<String>,
) -> Option<Mounted> {
    let directory = directory();
    let (source, image) = (directory.path().join("source"), directory.path().join("image"));
    fs::create_dir(&source).expect("a folder");
    write(&source.join("file"), content);
    let command = make(&source, &image);
    let merged = directory.path().join("merged");
    let (image, merged) = (image.to_str()?, merged.to_str()?);
    let mount = ["mount", "-t", what, "-o", "loop,ro", image, merged].map(str::to_owned);
    for words in [&command[..], &mount[..]] {
        let ran = Command::new(&words[0]).args(&words[1..]).output();
        match ran {
            Ok(ran) if ran.status.success() => {}
            Ok(ran) => {
                skipped(what, String::from_utf8_lossy(&ran.stderr));
                return None;
            }
            Err(error) => {
                skipped(what, format!("{}: {error}", words[0]));
                return None;
            }
        }
    }
    Some(Mounted { directory })
}

/// Mounts a squashfs image, uncompressed, so that its pages are those of the content.
pub fn squashfs(content: &[u8]) -> Option<Mounted> {
    image(content, "squashfs", |source, image| {
        let (source, image) = (source.display().to_string(), image.display().to_string());
        let options = "-noI -noD -noF -noX -no-progress -quiet".split(' ');
        let words = ["mksquashfs".to_owned(), source, image].into_iter();
        words.chain(options.map(str::to_owned)).collect()
    })
}

/// Mounts an EROFS image.
pub fn erofs(content: &[u8]) -> Option<Mounted> {
    image(content, "erofs", |source, image| {
        let (source, image) = (source.display().to_string(), image.display().to_string());
        vec!["mkfs.erofs".to_owned(), "--quiet".to_owned(), image, source]
    })
}

/// Writes a file with all its bytes to the disk, for all users to read.
///
/// The page cache cannot evict bytes that are not on the disk yet.
fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("room");
    File::open(path).and_then(|file| file.sync_all()).expect("written");
}
