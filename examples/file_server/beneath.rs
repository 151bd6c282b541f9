//! openat2(2), and when it may be called where nothing must wait.
//!
//! Since Linux 5.12 `RESOLVE_CACHED` has it fail with EAGAIN where the way to a file is not in memory, rather than read the
//! disk. So the loop's own thread can open what was opened before, and a name that is known not to be there costs as little;
//! only the rest goes to the executor. Three things are in the way of taking it everywhere, and each has its answer:
//!
//! - On FUSE and network file systems the lookup may be cached and the open itself still asks somebody. It is done here only
//!   below a root whose file system is known not to ask ([`Speed`]), and with `RESOLVE_NO_XDEV`, as other file systems may
//!   be mounted below.
//! - tmpfs does not remember what is not there. It does not wait either, and needs no flag.
//! - A tree that changes meanwhile has EAGAIN for an answer too. It is the same: the executor asks again.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

/// Whether it may wait for a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// On the loop's thread.
    Never,
    /// On the executor.
    Allowed,
}

/// How to open without waiting on some file system.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux can say")
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speed {
    /// It never waits.
    Memory,
    /// It does not where the way is cached.
    Cached,
    /// Nobody knows.
    Unknown,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::open;

#[cfg(not(target_os = "linux"))]
impl Speed {
    pub(crate) fn of(_: &OwnedFd) -> Speed {
        Speed::Unknown
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn open(_: &OwnedFd, _: &Path, _: Speed, wait: Wait) -> Result<OwnedFd, Errno> {
    match wait {
        Wait::Never => Err(Errno::AGAIN),
        Wait::Allowed => Err(Errno::NOSYS),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Errno, OwnedFd, Path, Speed, Wait};
    use crate::root::READING;
    use rustix::fs::{Mode, ResolveFlags, fstatfs, openat2};

    /// How often to ask again where the tree changed under the search, which openat2 reports as EAGAIN rather than guess.
    const ATTEMPTS: usize = 16;

    const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

    /// tmpfs and ramfs, as statfs(2) numbers them.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

    /// ext2 to ext4, XFS, Btrfs, F2FS, overlayfs, ZFS, SquashFS, EROFS.
    const ON_DISK: [u64; 8] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0xf2f5_2010,
        0x794c_7630,
        0x2fc1_2fc1,
        0x7371_7368,
        0xe0f5_e1e2,
    ];

    impl Speed {
        /// By the file system that a directory is in.
        pub(crate) fn of(directory: &OwnedFd) -> Speed {
            // The type is signed on some architectures, and its 32 bits are not.
            match fstatfs(directory).map(|facts| facts.f_type as u64 & 0xffff_ffff) {
                Ok(kind) if IN_MEMORY.contains(&kind) => Speed::Memory,
                Ok(kind) if ON_DISK.contains(&kind) => Speed::Cached,
                _ => Speed::Unknown,
            }
        }
    }

    pub(crate) fn open(
        directory: &OwnedFd,
        path: &Path,
        speed: Speed,
        wait: Wait,
    ) -> Result<OwnedFd, Errno> {
        let attempt = |resolve| openat2(directory, path, READING, Mode::empty(), BENEATH | resolve);
        match (wait, speed) {
            (Wait::Allowed, _) => persist(|| attempt(ResolveFlags::empty())),
            (Wait::Never, Speed::Unknown) => Err(Errno::AGAIN),
            (Wait::Never, Speed::Memory) => at_once(attempt(ResolveFlags::NO_XDEV)),
            (Wait::Never, Speed::Cached) => {
                at_once(attempt(ResolveFlags::NO_XDEV | ResolveFlags::CACHED))
            }
        }
    }

    fn persist(mut attempt: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
        let again = |result: &Result<_, Errno>| matches!(result, Err(Errno::AGAIN | Errno::INTR));
        let mut results = (0..ATTEMPTS).map(|_| attempt());
        results
            .find(|result| !again(result))
            .unwrap_or(Err(Errno::AGAIN))
    }

    /// A kernel without the flag, a mount on the way, or a way out of the root: the executor finds out which.
    fn at_once(result: Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
        result.map_err(|errno| match errno {
            Errno::INVAL | Errno::XDEV | Errno::INTR => Errno::AGAIN,
            errno => errno,
        })
    }
}
