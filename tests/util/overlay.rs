//! A file system of which the kernel tells nothing, and which can be written.
#![allow(unreachable_pub, reason = "a module of test binaries")]

use std::ffi::CString;
use std::fs::{self, File};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// An overlay, for root alone; unmounted when it is dropped.
#[derive(Debug)]
pub struct Overlay {
    directory: TempDir,
}

impl Overlay {
    pub fn mount() -> Option<Overlay> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let path = |name| {
            let path = directory.path().join(name);
            fs::create_dir(&path).expect("a folder");
            path.to_str().expect("text").to_owned()
        };
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            path("lower"),
            path("upper"),
            path("work")
        );
        let options = CString::new(options).expect("no NUL");
        let target = path("merged");
        let mounted = mount("overlay", target, "overlay", MountFlags::empty(), &*options);
        match mounted {
            Ok(()) => Some(Overlay { directory }),
            Err(error) => {
                eprintln!("skipped: no overlay can be mounted: {error}");
                None
            }
        }
    }

    pub fn file(&self) -> File {
        let path = self.directory.path().join("merged").join("file");
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(path).expect("a file")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let path = self.directory.path().join("merged");
        let _ = unmount(path, UnmountFlags::DETACH);
    }
}
