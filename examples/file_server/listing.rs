//! The entries of a directory, as far as they are served.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use crate::beneath::Wait;
use crate::index::{Entry, Kind};
use crate::root::Tree;

/// The largest directory that has a listing. A larger one would take too much memory, and a part
/// would seem to be the whole.
const MAX_ENTRIES: usize = 500_000;

/// Lists the directory at `path`, hidden names only if they are served. Blocks: for the executor.
///
/// It leaves out entries that the server does not serve: links to outside, and entries that are
/// neither file nor directory.
///
/// # Errors
///
/// Any OS error from reading it; `OutOfMemory` if it has too many entries.
pub(crate) fn list(tree: &Tree, path: &Path, hidden: bool) -> io::Result<Vec<Entry>> {
    let directory = tree.locate(path, Wait::Allowed)?.handle;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(&directory, ".", flags, Mode::empty())?;
    let mut entries = Vec::new();
    for found in Dir::read_from(&directory)? {
        let found = found?;
        let name = OsStr::from_bytes(found.file_name().to_bytes());
        let is_hidden = name.as_bytes().starts_with(b".") && !hidden;
        if is_hidden || name == "." || name == ".." {
            continue;
        }
        // A name that went away meanwhile is not there.
        let Ok(stat) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let stat = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => linked(tree, &path.join(name))?,
            _ => Some(stat),
        };
        entries.extend(stat.and_then(|stat| entry(name, &stat)));
        if entries.len() > MAX_ENTRIES {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
    }
    Ok(entries)
}

fn entry(name: &OsStr, stat: &Stat) -> Option<Entry> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        _ => return None,
    };
    let since = u64::try_from(stat.st_mtime).ok().map(Duration::from_secs);
    Some(Entry {
        name: name.to_owned(),
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: since.and_then(|since| UNIX_EPOCH.checked_add(since)),
    })
}

/// Finds what a link leads to, as a request for it would. A lack of descriptors must not make it
/// seem to be missing.
fn linked(tree: &Tree, path: &Path) -> io::Result<Option<Stat>> {
    match tree.locate(path, Wait::Allowed) {
        Ok(located) => Ok(Some(fstat(&located.handle)?)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Err(error),
            _ => Ok(None),
        },
    }
}
