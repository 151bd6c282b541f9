//! Opens paths below a directory with openat2(2), and knows when that may be done on the loop's
//! thread.
//!
//! Since Linux 5.12 `RESOLVE_CACHED` makes openat2 fail with EAGAIN if the path is not in the
//! kernel's cache, instead of reading the disk. So the loop's thread opens cached paths, and the
//! executor opens the others. Three cases need care:
//!
//! - On FUSE and network file systems the open itself may ask another process, even if the path is
//!   cached. The loop's thread opens only on file systems that never do ([`Speed`]), with
//!   `RESOLVE_NO_XDEV` against mounts below.
//! - tmpfs does not cache missing names. It never waits either, and needs no flag.
//! - openat2 also fails with EAGAIN if the tree changes during the search. Then the executor tries
//!   again.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Opens a file to be read. O_NONBLOCK means nothing to regular files, and no other file waits.
pub(crate) const READING: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Gets a handle of a name. No FIFO gets a reader, and no device is opened.
#[cfg(target_os = "linux")]
pub(crate) const LOCATING: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(crate) const LOCATING: OFlags = READING;

/// The permission of a search to wait for a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// On the loop's thread.
    Never,
    /// On the executor.
    Allowed,
}

/// How to open without waiting on some file system.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux can say"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speed {
    /// It never waits.
    Memory,
    /// It does not wait if the path is cached.
    Cached,
    /// It may wait at any time.
    Unknown,
}

/// A directory, and whether symbolic links may lead out of it.
#[derive(Debug)]
pub(crate) struct Beneath {
    directory: File,
    speed: Speed,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only openat2 needs it"))]
    follow_links: bool,
}

impl Beneath {
    pub(crate) fn new(path: &Path, follow_links: bool) -> Result<Beneath, Errno> {
        let flags = LOCATING | OFlags::DIRECTORY;
        let directory = File::from(openat(CWD, path, flags, Mode::empty())?);
        let speed = Speed::of(&directory);
        Ok(Beneath { directory, speed, follow_links })
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.directory.metadata()
    }

    /// Returns whether such a search must run on the executor.
    pub(crate) fn is_too_slow(&self, wait: Wait) -> bool {
        wait == Wait::Never && self.speed == Speed::Unknown
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open(&self, _: &Path, _: OFlags, _: Wait) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }
}

#[cfg(not(target_os = "linux"))]
impl Speed {
    fn of(_: &File) -> Speed {
        Speed::Unknown
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::is_watched;

#[cfg(target_os = "linux")]
mod linux {
    use super::{Beneath, Errno, File, Mode, OFlags, OwnedFd, Path, Speed, Wait};
    use rustix::fs::{ResolveFlags, StatFs, fstatfs, openat2};

    /// The attempts of a search during which the tree changes.
    const ATTEMPTS: usize = 16;

    /// The file systems whose changes all cause events, as statfs(2) numbers them: ext2 to ext4,
    /// XFS, Btrfs, F2FS, overlayfs, SquashFS, EROFS, tmpfs.
    const WATCHED: [u64; 8] =
        [0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x794c7630, 0x73717368, 0xe0f5e1e2, TMPFS];
    const TMPFS: u64 = 0x01021994;
    const RAMFS: u64 = 0x858458f6;
    const ZFS: u64 = 0x2fc12fc1;

    /// The type is signed on some architectures, and its 32 bits are not.
    fn kind(facts: &StatFs) -> u64 {
        facts.f_type as u64 & 0xffff_ffff
    }

    /// Returns whether inotify reports all changes of a file system.
    pub(crate) fn is_watched(facts: &StatFs) -> bool {
        WATCHED.contains(&kind(facts))
    }

    impl Speed {
        /// By the file system that holds the directory.
        pub(super) fn of(directory: &File) -> Speed {
            match fstatfs(directory).as_ref().map(kind) {
                Ok(TMPFS | RAMFS) => Speed::Memory,
                Ok(kind) if kind == ZFS || WATCHED.contains(&kind) => Speed::Cached,
                _ => Speed::Unknown,
            }
        }
    }

    impl Beneath {
        /// Opens a relative path. Fails with EAGAIN if it must not wait and would have to.
        pub(crate) fn open(
            &self,
            path: &Path,
            flags: OFlags,
            wait: Wait,
        ) -> Result<OwnedFd, Errno> {
            let mut resolve = ResolveFlags::NO_MAGICLINKS;
            if !self.follow_links {
                resolve |= ResolveFlags::BENEATH;
            }
            let attempt =
                |more| openat2(&self.directory, path, flags, Mode::empty(), resolve | more);
            match (wait, self.speed) {
                (Wait::Allowed, _) => persist(|| attempt(ResolveFlags::empty())),
                (Wait::Never, Speed::Unknown) => Err(Errno::AGAIN),
                (Wait::Never, Speed::Memory) => at_once(attempt(ResolveFlags::NO_XDEV)),
                (Wait::Never, Speed::Cached) => {
                    at_once(attempt(ResolveFlags::NO_XDEV | ResolveFlags::CACHED))
                }
            }
        }
    }

    fn persist(mut attempt: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
        let again = |result: &Result<_, Errno>| matches!(result, Err(Errno::AGAIN | Errno::INTR));
        let mut results = (0..ATTEMPTS).map(|_| attempt());
        results.find(|result| !again(result)).unwrap_or(Err(Errno::AGAIN))
    }

    /// Leaves it to the executor to find out why: the kernel lacks the flag, or the path crosses a
    /// mount or leaves the root.
    fn at_once(result: Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
        result.map_err(|errno| match errno {
            Errno::INVAL | Errno::XDEV | Errno::INTR => Errno::AGAIN,
            errno => errno,
        })
    }
}
