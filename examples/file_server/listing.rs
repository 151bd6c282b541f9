//! What a directory holds, as far as it would be served.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};

use crate::beneath::Wait;
use crate::index::{Entry, Kind};
use crate::root::Root;

/// A page has at most so many entries, those that the system names first: who asks for it must not be able to fill the memory.
const MOST: usize = 4096;

/// Lists a directory that was opened at `path`. Blocks: for the executor.
///
/// Left out are names that begin with a dot (who hides a file does not want it found, and it is served to those who know its name),
/// what is neither file nor directory, and links to outside.
pub(crate) fn list(root: &Root, path: &Path, directory: OwnedFd) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for found in Dir::read_from(&directory)? {
        let found = found?;
        let name = OsStr::from_bytes(found.file_name().to_bytes());
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        // What went away meanwhile is not there.
        let Ok(stat) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let entry = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => linked(root, &path.join(name)),
            kind => entry(kind, &stat),
        };
        entries.extend(entry.map(|entry| entry.named(name)));
        if entries.len() == MOST {
            break;
        }
    }
    Ok(entries)
}

/// An entry without its name.
struct Unnamed {
    kind: Kind,
    size: u64,
    modified: Option<SystemTime>,
}

impl Unnamed {
    fn named(self, name: &OsStr) -> Entry {
        Entry {
            name: name.to_owned(),
            kind: self.kind,
            size: self.size,
            modified: self.modified,
        }
    }
}

fn entry(kind: FileType, stat: &Stat) -> Option<Unnamed> {
    let kind = match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        _ => return None,
    };
    let since = u64::try_from(stat.st_mtime).ok().map(Duration::from_secs);
    Some(Unnamed {
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: since.and_then(|since| UNIX_EPOCH.checked_add(since)),
    })
}

/// What a link leads to, by the way that a request for it would take.
fn linked(root: &Root, path: &Path) -> Option<Unnamed> {
    let (_, metadata) = root.open(path, Wait::Allowed).ok()?;
    Some(Unnamed {
        kind: kind(&metadata)?,
        size: metadata.len(),
        modified: metadata.modified().ok(),
    })
}

fn kind(metadata: &Metadata) -> Option<Kind> {
    match metadata {
        _ if metadata.is_file() => Some(Kind::File),
        _ if metadata.is_dir() => Some(Kind::Directory),
        _ => None,
    }
}
