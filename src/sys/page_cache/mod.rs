//! Probes of the page cache, and prefetching of ranges into it.

use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "linux.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "none.rs")]
mod platform;

pub(crate) use platform::{
    IS_SUPPORTED, cached_pages, file_system, is_mincore_truthful, is_resident, is_sealable,
    read_into_cache, resident_pages,
};

/// The place in which a file system keeps its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileSystem {
    /// In memory: a read never waits.
    Memory,
    /// On a disk of this machine.
    Local,
    /// Somewhere else, or unknown: a read may wait for a server, even for pages in the page cache.
    Other,
}

/// The most bytes of one call to [`resident_pages`].
pub(crate) const MAX_RANGE: u64 = 1 << 20;

/// One entry for each page of [`MAX_RANGE`], and one more.
///
/// The range may begin inside a page.
pub(crate) type Pages = [u8; 257];

/// Returns the size of a page, in bytes.
pub(crate) fn page_size() -> u64 {
    /// The size, or 0 before the first call.
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    if SIZE.load(Ordering::Relaxed) == 0 {
        // SAFETY: no pointers.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        SIZE.store(usize::try_from(size).unwrap_or(4096), Ordering::Relaxed);
    }
    SIZE.load(Ordering::Relaxed) as u64
}
