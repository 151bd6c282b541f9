//! The directory that is served, and the only way to open what is in it.
//!
//! The root follows its path. A build that deletes and recreates the directory, or switches a symbolic link to a new one,
//! is served from the next request on. While nothing is there, requests fail.
//!
//! No client gets out of the root, whatever path it asks for and whatever changes meanwhile. With `RESOLVE_BENEATH`,
//! openat2(2) checks each step while it takes it. A check of the path's text before the open would leave time to swap a
//! directory for a symbolic link. Links that stay below the root are followed, absolute ones never are, unless the
//! `--follow-links` option allows all links. Linux has the call since 5.6. Elsewhere the path is resolved, compared, and
//! opened. That is safe if nobody who changes the tree is hostile.
//!
//! A search must not wait, nor disturb others. So it takes a handle of the name first (O_PATH), looks what that is, and
//! opens regular files alone, through the handle. No FIFO gets a reader, and no device is opened.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::beneath::{Beneath, LOCATING, READING, Wait};

#[derive(Debug)]
pub(crate) struct Root {
    /// Absolute, with its symbolic links: they may change.
    path: PathBuf,
    follow_links: bool,
    current: Mutex<Arc<Current>>,
    /// `/proc/self/fd`, where a handle is opened to be read.
    handles: Option<OwnedFd>,
}

/// What the path named when it was last looked at.
#[derive(Debug)]
struct Current {
    beneath: Beneath,
    id: (u64, u64),
}

/// What a path names, not yet opened to be read.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) handle: File,
    pub(crate) metadata: Metadata,
}

impl Root {
    /// # Errors
    ///
    /// Any OS error from opening the directory.
    pub(crate) fn new(path: &Path, follow_links: bool) -> io::Result<Root> {
        let path = std::path::absolute(path)?;
        let current = Current::open(&path, follow_links)?;
        let flags = LOCATING | OFlags::DIRECTORY;
        Ok(Root {
            current: Mutex::new(Arc::new(current)),
            handles: openat(CWD, "/proc/self/fd", flags, Mode::empty()).ok(),
            path,
            follow_links,
        })
    }

    /// The directory that the root's path names now. The open directory keeps its inode number from being reused.
    ///
    /// The look costs a system call. It does not wait: the open directory keeps the path to it in memory.
    fn current(&self) -> Result<Arc<Current>, Errno> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Errno::STALE,
            errno => errno,
        };
        let id = fs::metadata(&self.path).map(|metadata| id(&metadata));
        if id.map_err(errno).map_err(missing)? != current.id {
            let opened = Current::open(&self.path, self.follow_links);
            *current = Arc::new(opened.map_err(missing)?);
        }
        Ok(current.clone())
    }

    fn try_open(&self, path: &Path, flags: OFlags, wait: Wait) -> Result<OwnedFd, Errno> {
        let last = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_too_slow = last.beneath.is_too_slow(wait);
        drop(last);
        if is_too_slow {
            return Err(Errno::AGAIN);
        }
        self.current()?.beneath.open(path, flags, wait)
    }

    /// Finds what a relative path names.
    ///
    /// # Errors
    ///
    /// `NotFound` also for what is outside of the root; `StaleNetworkFileHandle` if the root itself is missing;
    /// `WouldBlock` if the search must not wait and would have to.
    pub(crate) fn locate(&self, path: &Path, wait: Wait) -> io::Result<Located> {
        let handle = match self.try_open(path, LOCATING, wait) {
            Err(Errno::NOSYS) => self.locate_resolved(path),
            result => result.map_err(not_found_or),
        };
        let handle = File::from(handle?);
        let metadata = handle.metadata()?;
        Ok(Located { handle, metadata })
    }

    /// Opens a regular file that was located at `path`, to be read.
    ///
    /// # Errors
    ///
    /// Any OS error from opening it.
    pub(crate) fn read(&self, path: &Path, located: Located, wait: Wait) -> io::Result<File> {
        if !cfg!(target_os = "linux") {
            return Ok(located.handle);
        }
        if let Some(handles) = &self.handles {
            let name = DecInt::new(located.handle.as_raw_fd());
            return Ok(openat(handles, name, READING, Mode::empty())?.into());
        }
        // Without procfs only the path leads to it, and may lead to another file by now.
        let file = self.try_open(path, READING, wait).map_err(not_found_or)?;
        let file = File::from(file);
        let is_same = id(&file.metadata()?) == id(&located.metadata);
        is_same
            .then_some(file)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    /// If the kernel cannot check the way, this checks where it leads.
    fn locate_resolved(&self, path: &Path) -> io::Result<OwnedFd> {
        let resolve = || {
            let root = self.path.canonicalize()?;
            let resolved = root.join(path).canonicalize()?;
            let metadata = fs::metadata(&resolved)?;
            let is_inside = self.follow_links || resolved.starts_with(&root);
            if !is_inside || !(metadata.is_file() || metadata.is_dir()) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let flags = LOCATING | OFlags::NOFOLLOW;
            Ok(openat(CWD, &resolved, flags, Mode::empty())?)
        };
        resolve().map_err(|error: io::Error| match Errno::from_io_error(&error) {
            Some(errno) => not_found_or(errno),
            None => error,
        })
    }
}

impl Current {
    fn open(path: &Path, follow_links: bool) -> Result<Current, Errno> {
        let beneath = Beneath::new(path, follow_links)?;
        let id = id(&beneath.metadata().map_err(errno)?);
        Ok(Current { beneath, id })
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Says "not found" if there is nothing to serve: a way through a file or out of the root, a loop of links, a name that
/// no file can have.
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
