//! The served directory, and the only way to open its files.
//!
//! The root follows its path. A build that deletes and recreates the directory, or switches a
//! symbolic link to a new one, is served from the next request on. While nothing is there, requests
//! fail.
//!
//! No client gets out of the root, whatever path it asks for and whatever changes meanwhile. With
//! `RESOLVE_BENEATH`, openat2(2) checks each step while it takes it. A check of the path's text
//! before the open would leave time to swap a directory for a symbolic link. Links that stay below
//! the root are followed, absolute ones never are, unless the `--follow-links` option allows all
//! links. Linux has the call since 5.6. Elsewhere the server resolves the path, compares it, and
//! opens it. A hostile writer of the tree can outrun that.
//!
//! A search must not wait, nor disturb other programs. It first gets a handle of the name (O_PATH),
//! which opens nothing. Then it opens regular files alone, through the handle. No FIFO gets a
//! reader, and no device is opened.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::beneath::{Beneath, LOCATING, READING, Wait};

#[derive(Debug)]
pub(crate) struct Root {
    /// Absolute, with its symbolic links: they may change.
    path: PathBuf,
    follow_links: bool,
    present: Mutex<Arc<Tree>>,
}

/// The directory that the root's path names, or named.
#[derive(Debug)]
pub(crate) struct Tree {
    beneath: Beneath,
    id: (u64, u64),
    path: PathBuf,
    follow_links: bool,
}

/// A handle of a name, which is not open for reading.
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
        let tree = Tree::open(&path, follow_links)?;
        // Now, while there are descriptors.
        handles();
        Ok(Root { present: Mutex::new(Arc::new(tree)), path, follow_links })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory that the root's path names now, for one search.
    ///
    /// The check costs a system call. It does not wait, as the open directory keeps the path to it
    /// in memory. It also keeps its inode number from being used again.
    ///
    /// # Errors
    ///
    /// ESTALE if the root is missing; `WouldBlock` if the search must not wait and could have to.
    pub(crate) fn tree(&self, wait: Wait) -> io::Result<Arc<Tree>> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.beneath.is_too_slow(wait) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if id(&fs::metadata(&self.path).map_err(missing)?) != present.id {
            let opened = Tree::open(&self.path, self.follow_links);
            *present = Arc::new(opened.map_err(missing)?);
        }
        Ok(present.clone())
    }
}

fn missing(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Errno::STALE.into(),
        _ => error,
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Tree {
    fn open(path: &Path, follow_links: bool) -> io::Result<Tree> {
        let beneath = Beneath::new(path, follow_links)?;
        Ok(Tree { id: id(&beneath.metadata()?), beneath, path: path.to_owned(), follow_links })
    }

    /// Finds what a relative path names.
    ///
    /// # Errors
    ///
    /// `NotFound` also if it is outside; `WouldBlock` if the search must not wait and would have
    /// to.
    pub(crate) fn locate(&self, path: &Path, wait: Wait) -> io::Result<Located> {
        let handle = match self.beneath.open(path, LOCATING, wait) {
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
        if let Some(handles) = handles() {
            let name = DecInt::new(located.handle.as_raw_fd());
            return Ok(openat(handles, name, READING, Mode::empty())?.into());
        }
        // Without procfs only the path leads to it, and may lead to another file by now.
        let opened = self.beneath.open(path, READING, wait);
        let file = File::from(opened.map_err(not_found_or)?);
        let is_same = id(&file.metadata()?) == id(&located.metadata);
        is_same.then_some(file).ok_or(io::ErrorKind::NotFound.into())
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

/// The directory in procfs where handles can be opened to be read.
fn handles() -> Option<&'static OwnedFd> {
    static HANDLES: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let flags = LOCATING | OFlags::DIRECTORY;
    let open = || openat(CWD, "/proc/self/fd", flags, Mode::empty()).ok();
    HANDLES.get_or_init(open).as_ref()
}

/// Says "not found" if there is nothing to serve: a way through a file or out of the root, a loop
/// of links, a name that no file can have.
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
