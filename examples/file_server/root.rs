//! The directory that is served, and the only way to open what is in it.
//!
//! No client gets out of the root, whatever path it asks for and whatever changes meanwhile: openat2(2) with `RESOLVE_BENEATH`
//! has the kernel check each step while it takes it, where a check of a path's text and a later open leave time for somebody to
//! swap a directory for a symbolic link. Links that stay below the root are followed; absolute ones never are, wherever they
//! lead. Linux has the call since 5.6; elsewhere the path is resolved, compared, and opened: safe as long as nobody who
//! changes the tree is hostile.
//!
//! Opening must not wait either: a FIFO without a writer would keep a thread of the executor for ever. `O_NONBLOCK` makes it open
//! at once, fstat(2) on what was opened says what it is, and means nothing to the regular files that remain.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::beneath::{self, Speed, Wait};

pub(crate) const READING: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

/// The root, opened once: renaming it later changes nothing.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// Without symbolic links, for where paths must be compared.
    path: PathBuf,
    speed: Speed,
}

impl Root {
    pub(crate) fn new(path: &Path) -> io::Result<Root> {
        let path = path.canonicalize()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, &path, flags, Mode::empty())?;
        let speed = Speed::of(&directory);
        Ok(Root {
            directory,
            path,
            speed,
        })
    }

    /// Opens what a relative path names.
    ///
    /// # Errors
    ///
    /// `NotFound` also for what exists and is not to be served: what is outside. `WouldBlock` where it must not wait and would
    /// have to.
    pub(crate) fn open(&self, path: &Path, wait: Wait) -> io::Result<(File, Metadata)> {
        let opened = beneath::open(&self.directory, path, self.speed, wait);
        let file = match opened {
            Err(Errno::NOSYS) => self.open_resolved(path),
            result => result.map(File::from).map_err(not_found_or),
        }?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    /// Where the kernel cannot check the way, this checks where it leads.
    fn open_resolved(&self, path: &Path) -> io::Result<File> {
        let resolved = self.path.join(path).canonicalize();
        let resolved = resolved.map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => not_found_or(errno),
            None => error,
        })?;
        if !resolved.starts_with(&self.path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = openat(CWD, &resolved, READING | OFlags::NOFOLLOW, Mode::empty());
        file.map(File::from).map_err(not_found_or)
    }
}

/// Says "not found" for all that there is nothing to serve at: a way through a file or out of the root, a loop of links, a name
/// that no file can have, a socket, a device without a driver.
fn not_found_or(errno: Errno) -> io::Error {
    match errno {
        Errno::NOTDIR
        | Errno::XDEV
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::NODEV => io::ErrorKind::NotFound.into(),
        _ => errno.into(),
    }
}
