//! Finds what a request gets: a file, its precompressed variant, the index of a directory, or its
//! listing.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

use rustix::io::Errno;

use crate::beneath::Wait;
use crate::conditional::Validators;
use crate::encoding::{Acceptable, Coding};
use crate::media_type::media_type;
use crate::range::Part;
use crate::root::{Located, Root, Tree};
use crate::rules::Rules;
use crate::target::Target;

/// The file that the server sends for a directory.
const INDEX: &str = "index.html";

/// The page that is sent with a 404 unless the options name another file.
const NOT_FOUND: &str = "404.html";

/// The size of the largest part that is sent in one call together with its header.
///
/// A response holds no more in memory while its client does not take it.
/// sendfile(2) saves a copy, and costs system calls for the header, the file and the page cache.
/// Below this size the copy is cheaper.
pub(crate) const MAX_COPIED: u64 = 16 << 10;

/// The target of a search, and the codings that the client accepts.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(crate) struct Wanted {
    pub(crate) target: Target,
    pub(crate) acceptable: Acceptable,
}

/// The result of a search.
#[derive(Debug)]
pub(crate) enum Found {
    File(Arc<Opened>),
    /// The page that is shown with a 404.
    Missing(Arc<Opened>),
    /// A directory without an index. Its listing is made by [`Pages`](crate::pages::Pages).
    Listing(PathBuf),
    /// A directory that was asked for without the slash at its end. Relative links would lead
    /// elsewhere from there.
    Directory(PathBuf),
    /// A file in no coding that the client accepts.
    NotAcceptable,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    /// The path of the file without the suffix of its coding. It decides the media type.
    pub(crate) path: PathBuf,
    pub(crate) coding: Option<Coding>,
    pub(crate) metadata: Metadata,
    pub(crate) rules: Arc<Rules>,
    /// The whole content of a small file that is cached.
    pub(crate) content: OnceLock<Box<[u8]>>,
    /// The second since 1970 in which all of it was sent and was found in memory.
    pub(crate) in_memory: AtomicU64,
    validators: OnceLock<Validators>,
    /// The fields of a response with all of it.
    pub(crate) fields: OnceLock<String>,
}

impl Opened {
    pub(crate) fn validators(&self) -> &Validators {
        let make = || Validators::new(self.etag(), self.metadata.modified().ok());
        self.validators.get_or_init(make)
    }

    /// Appends a part of the file to `bytes`. Returns `false` and changes nothing if it is too
    /// large or not in memory. Never waits.
    pub(crate) fn append_to(&self, bytes: &mut Vec<u8>, part: Part) -> bool {
        if part.count > MAX_COPIED {
            return false;
        }
        let Some(whole) = self.content.get() else {
            return read_in_memory(bytes, &self.file, part);
        };
        bytes.extend_from_slice(&whole[part.offset as usize..part.end() as usize]);
        true
    }

    /// Reads the whole content of a small file, if it is in memory.
    pub(crate) fn keep_content(&self) {
        let mut content = Vec::new();
        let count = self.metadata.len();
        if self.append_to(&mut content, Part { offset: 0, count }) {
            let _ = self.content.set(content.into_boxed_slice());
        }
    }

    pub(crate) fn media_type(&self) -> String {
        media_type(&self.path, self.rules.charset.as_deref())
    }

    /// Returns a strong tag of the inode, its birth time, the size and the modification time.
    ///
    /// A write changes the modification time. A file that replaces another has another inode, and
    /// a reused inode has another birth time. `chmod` and `ln` change none of these.
    /// Writers that restore the size and the time keep the tag. If the file system has no birth
    /// times, the status change time stands in, and `chmod` changes the tag.
    fn etag(&self) -> String {
        let metadata = &self.metadata;
        let nanoseconds = |seconds, rest| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
        let born = metadata.created().ok();
        let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.map_or_else(
            || nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            |born| born.as_nanos() as i128,
        );
        let (inode, size) = (metadata.ino(), metadata.len());
        let coding = self.coding.map_or("", Coding::name);
        format!("\"{inode:x}-{born:x}-{size:x}-{modified:x}{coding}\"")
    }
}

/// A path below the root, and what a search found there.
pub(crate) type Seen = (PathBuf, Option<Stamp>);

/// The identity and state of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    id: (u64, u64),
    size: u64,
    times: [(i64, i64); 2],
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Stamp {
            id: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            times: [modified, changed],
        }
    }
}

/// Finds the file or directory of a request. If it must not wait, it goes as far as it can; then
/// the executor begins anew. Adds each path that it checks to `seen`.
///
/// # Errors
///
/// Of kind `NotFound` also if the path is outside or hidden, or is neither a file nor a directory;
/// `WouldBlock` if it must not wait and would have to; ESTALE if the root is missing.
pub(crate) fn find(
    root: &Root,
    rules: &Arc<Rules>,
    wanted: &Wanted,
    wait: Wait,
    seen: &mut Vec<Seen>,
) -> io::Result<Found> {
    let mut search = Search { tree: &*root.tree(wait)?, rules, wanted, wait, seen };
    match search.named() {
        Err(error) if error.kind() == ErrorKind::NotFound => search.instead(error),
        found => found,
    }
}

struct Search<'a> {
    tree: &'a Tree,
    rules: &'a Arc<Rules>,
    wanted: &'a Wanted,
    wait: Wait,
    seen: &'a mut Vec<Seen>,
}

impl Search<'_> {
    fn named(&mut self) -> io::Result<Found> {
        let Target { path, is_directory, .. } = &self.wanted.target;
        if self.rules.hides(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let located = match self.locate(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !is_directory => {
                return self.file_at(with_suffix(path, ".html"));
            }
            located => located?,
        };
        if located.metadata.is_file() {
            return self.file(path.clone(), located);
        }
        if !located.metadata.is_dir() {
            return Err(ErrorKind::NotFound.into());
        }
        if !is_directory {
            return Ok(Found::Directory(path.clone()));
        }
        let index = path.join(INDEX);
        match self.locate(&index) {
            Ok(located) if located.metadata.is_file() => self.file(index, located),
            // An index that leads outside is not found. A listing would hide the mistake.
            Err(error) if Errno::from_io_error(&error) != Some(Errno::NOENT) => Err(error),
            _ => Ok(Found::Listing(path.clone())),
        }
    }

    /// Finds the application, or the page that is sent with a 404.
    fn instead(&mut self, error: io::Error) -> io::Result<Found> {
        let Rules { spa, not_found, .. } = &**self.rules;
        let is_missing = spa.is_none();
        let path = spa.as_ref().or(not_found.as_ref());
        match self.file_at(path.map_or_else(|| NOT_FOUND.into(), PathBuf::clone)) {
            Ok(Found::File(opened)) if is_missing => Ok(Found::Missing(opened)),
            // The page cannot be shown, and the file is missing nevertheless.
            Ok(Found::NotAcceptable) if is_missing => Err(error),
            Err(other)
                if matches!(other.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
            {
                Err(error)
            }
            found => found,
        }
    }

    fn locate(&mut self, path: &Path) -> io::Result<Located> {
        let located = self.tree.locate(path, self.wait);
        let stamp = located.as_ref().ok().map(|found| Stamp::of(&found.metadata));
        self.seen.push((path.to_owned(), stamp));
        located
    }

    /// Finds a path that is served only if it names a file.
    fn file_at(&mut self, path: PathBuf) -> io::Result<Found> {
        let located = self.locate(&path)?;
        match located.metadata.is_file() {
            true => self.file(path, located),
            false => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Finds the best of a file and its precompressed variants.
    fn file(&mut self, path: PathBuf, located: Located) -> io::Result<Found> {
        // This is a compressed SVG, which is not found by way of the name of another file.
        let own = path.extension().filter(|suffix| *suffix == "svgz");
        if own.is_some() {
            return self.open(&path.clone(), path, Some(Coding::Gzip), located);
        }
        let acceptable = self.wanted.acceptable;
        for coding in acceptable.codings.into_iter().flatten() {
            let name = with_suffix(&path, coding.suffix());
            let Some(variant) = self.variant(&name, &located.metadata)? else {
                continue;
            };
            match self.open(&name, path.clone(), Some(coding), variant) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                found => return found,
            }
        }
        match acceptable.identity {
            true => self.open(&path.clone(), path, None, located),
            false => Ok(Found::NotAcceptable),
        }
    }

    /// Opens a file that was located at `name`, and is served as `path`.
    fn open(
        &self,
        name: &Path,
        path: PathBuf,
        coding: Option<Coding>,
        located: Located,
    ) -> io::Result<Found> {
        let metadata = located.metadata.clone();
        Ok(Found::File(Arc::new(Opened {
            file: self.tree.read(name, located, self.wait)?,
            path,
            coding,
            metadata,
            rules: self.rules.clone(),
            content: OnceLock::new(),
            in_memory: AtomicU64::new(0),
            validators: OnceLock::new(),
            fields: OnceLock::new(),
        })))
    }

    /// Returns a precompressed variant, unless it is older than its file. Then the file was
    /// changed and not compressed again.
    fn variant(&mut self, name: &Path, of: &Metadata) -> io::Result<Option<Located>> {
        match self.locate(name) {
            Ok(located) => {
                let is_fresh = is_fresh(&located.metadata, of);
                Ok((located.metadata.is_file() && is_fresh).then_some(located))
            }
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::PermissionDenied => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// Many tools (pigz, brotli, tar) copy a file's time in whole seconds. A variant of such a time is
/// as old as its file.
fn is_fresh(variant: &Metadata, of: &Metadata) -> bool {
    let by_seconds = variant.mtime_nsec() == 0;
    let nanoseconds = if by_seconds { 0 } else { of.mtime_nsec() };
    (variant.mtime(), variant.mtime_nsec()) >= (of.mtime(), nanoseconds)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(target_os = "linux")]
fn read_in_memory(bytes: &mut Vec<u8>, file: &File, part: Part) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;

    let begin = bytes.len();
    bytes.resize(begin + part.count as usize, 0);
    let place = &mut [IoSliceMut::new(&mut bytes[begin..])];
    let read = preadv2(file, place, part.offset, ReadWriteFlags::NOWAIT);
    let is_all = read.is_ok_and(|read| read as u64 == part.count);
    if !is_all {
        bytes.truncate(begin);
    }
    is_all
}

#[cfg(not(target_os = "linux"))]
fn read_in_memory(_: &mut Vec<u8>, _: &File, _: Part) -> bool {
    false
}
