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
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

const READING: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

/// What a directory is served as.
const INDEX: &str = "index.html";

/// The root, opened once: renaming it later changes nothing.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// Without symbolic links, for where paths must be compared.
    path: PathBuf,
}

/// What a path names.
#[derive(Debug)]
pub(crate) enum Found {
    File(Opened),
    /// A directory without an index.
    Directory,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    /// What it was opened as; it says what is in it.
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
}

impl Opened {
    fn of(file: File, path: PathBuf, metadata: &Metadata) -> Opened {
        Opened {
            file,
            path,
            size: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

impl Root {
    pub(crate) fn new(path: &Path) -> io::Result<Root> {
        let path = path.canonicalize()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, &path, flags, Mode::empty())?;
        Ok(Root { directory, path })
    }

    /// Opens what a relative path names: a file, or the index of a directory. Blocks: for the executor.
    ///
    /// # Errors
    ///
    /// Of kind `NotFound` also for what exists and is not to be served: what is outside, or neither a file nor a directory.
    pub(crate) fn find(&self, path: PathBuf) -> io::Result<Found> {
        let (file, metadata) = self.open(&path)?;
        if metadata.is_file() {
            return Ok(Found::File(Opened::of(file, path, &metadata)));
        }
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let index = path.join(INDEX);
        match self.open(&index) {
            Ok((file, metadata)) if metadata.is_file() => {
                Ok(Found::File(Opened::of(file, index, &metadata)))
            }
            Ok(_) => Ok(Found::Directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Directory),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path) -> io::Result<(File, Metadata)> {
        let file = match open_beneath(&self.directory, path) {
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

/// How often to ask again where the tree changed under the search, which openat2 reports as EAGAIN rather than guess.
#[cfg(target_os = "linux")]
const ATTEMPTS: usize = 16;

#[cfg(target_os = "linux")]
fn open_beneath(directory: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let attempt = || openat2(&directory, path, READING, Mode::empty(), resolve);
    let again = |result: &Result<OwnedFd, Errno>| matches!(result, Err(Errno::AGAIN | Errno::INTR));
    let mut results = (0..ATTEMPTS).map(|_| attempt());
    results
        .find(|result| !again(result))
        .unwrap_or(Err(Errno::AGAIN))
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(_: impl AsFd, _: &Path) -> rustix::io::Result<OwnedFd> {
    Err(Errno::NOSYS)
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
