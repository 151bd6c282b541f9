//! From a path to what is to be sent: the file, its compressed neighbour, the index of a directory, or the page of one.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

use rustix::io::Errno;

use crate::beneath::Wait;
use crate::conditional::Validators;
use crate::encoding::{Acceptable, Coding};
use crate::index;
use crate::listing;
use crate::response::media_type;
use crate::root::Root;
use crate::target::Target;

/// What a directory is served as.
const INDEX: &str = "index.html";

/// What a request is looking for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) target: Target,
    pub(crate) acceptable: Acceptable,
}

/// What a path names.
#[derive(Debug)]
pub(crate) enum Found {
    File(Arc<Opened>),
    /// The page of a directory without an index.
    Page(String),
    /// A directory that was asked for without the slash at its end. Relative links would lead elsewhere from there.
    Directory(PathBuf),
    /// A file in no coding that the client takes.
    NotAcceptable,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    /// What was asked for; it says what is in it, whatever its coding.
    pub(crate) path: PathBuf,
    pub(crate) coding: Option<Coding>,
    pub(crate) metadata: Metadata,
    /// All of a small file, once somebody has read it; nothing where that would have had to wait.
    pub(crate) content: OnceLock<Option<Box<[u8]>>>,
    validators: OnceLock<Validators>,
    media_type: OnceLock<String>,
    /// The fields of a response with all of it.
    pub(crate) fields: OnceLock<String>,
}

impl Opened {
    fn new(path: PathBuf, coding: Option<Coding>, (file, metadata): (File, Metadata)) -> Opened {
        Opened {
            file,
            path,
            coding,
            metadata,
            content: OnceLock::new(),
            validators: OnceLock::new(),
            media_type: OnceLock::new(),
            fields: OnceLock::new(),
        }
    }

    pub(crate) fn validators(&self) -> &Validators {
        let make = || Validators::new(self.etag(), self.metadata.modified().ok());
        self.validators.get_or_init(make)
    }

    pub(crate) fn media_type(&self) -> &str {
        self.media_type.get_or_init(|| media_type(&self.path))
    }

    /// Returns a strong tag, made from the inode, its birth time, the size and the modification time.
    ///
    /// A write changes the modification time, a file that replaces another has another inode, and an
    /// inode that is used again has another birth time. `chmod` and `ln` change none of these.
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

/// One search. One that may not wait goes as far as it can; then the executor begins anew.
pub(crate) struct Search<'a> {
    pub(crate) root: &'a Root,
    pub(crate) wanted: &'a Wanted,
    pub(crate) wait: Wait,
}

impl Search<'_> {
    /// # Errors
    ///
    /// Of kind `NotFound` also for what exists and is not to be served: what is outside, or neither a file nor a directory;
    /// `WouldBlock` where it may not wait and would have to.
    pub(crate) fn find(&self) -> io::Result<Found> {
        let path = &self.wanted.target.path;
        let (file, metadata) = self.open(path)?;
        if metadata.is_file() {
            return self.file(path.clone(), file, metadata);
        }
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !self.wanted.target.is_directory {
            return Ok(Found::Directory(path.clone()));
        }
        let index = path.join(INDEX);
        match self.open(&index) {
            Ok((file, metadata)) if metadata.is_file() => self.file(index, file, metadata),
            // One that is there and leads outside is not found, and neither is the page then: it would hide the mistake.
            Err(error) if Errno::from_io_error(&error) != Some(Errno::NOENT) => Err(error),
            _ => self.page(file),
        }
    }

    fn open(&self, path: &Path) -> io::Result<(File, Metadata)> {
        self.root.open(path, self.wait)
    }

    /// The best of a file and its neighbours.
    fn file(&self, path: PathBuf, file: File, metadata: Metadata) -> io::Result<Found> {
        let acceptable = self.wanted.acceptable;
        for coding in acceptable.codings.into_iter().flatten() {
            if let Some((file, metadata)) = self.neighbour(&path, coding, &metadata)? {
                let opened = Opened::new(path, Some(coding), (file, metadata));
                return Ok(Found::File(Arc::new(opened)));
            }
        }
        if !acceptable.identity {
            return Ok(Found::NotAcceptable);
        }
        let opened = Opened::new(path, None, (file, metadata));
        Ok(Found::File(Arc::new(opened)))
    }

    /// A compressed neighbour, unless it is older than its file: somebody has changed that and forgotten the neighbour, and
    /// browsers would go on seeing what was there before.
    fn neighbour(
        &self,
        path: &Path,
        coding: Coding,
        of: &Metadata,
    ) -> io::Result<Option<(File, Metadata)>> {
        let mut name = OsString::from(path);
        name.push(coding.suffix());
        match self.open(Path::new(&name)) {
            Ok((file, metadata)) => {
                let is_fresh = metadata.modified()? >= of.modified()?;
                Ok((metadata.is_file() && is_fresh).then_some((file, metadata)))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Reading a directory may always wait.
    fn page(&self, directory: File) -> io::Result<Found> {
        if self.wait == Wait::Never {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Target { path, decoded, .. } = &self.wanted.target;
        let mut entries = listing::list(self.root, path, directory.into())?;
        Ok(Found::Page(index::page(decoded, &mut entries)))
    }
}
