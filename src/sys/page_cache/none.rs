//! Systems without probes of the page cache. FreeBSD's sendfile needs none: since version 11, it
//! reads the disk by itself while the caller continues.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use super::{FileSystem, Pages};

/// False, as the library calls none of the functions below.
pub(crate) const IS_SUPPORTED: bool = false;

pub(crate) fn is_resident(_fd: BorrowedFd<'_>, _offset: u64) -> io::Result<bool> {
    Ok(true)
}

pub(crate) fn cached_pages(_fd: BorrowedFd<'_>, _range: &Range<u64>) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn resident_pages(_fd: BorrowedFd<'_>, _range: &Range<u64>) -> io::Result<Pages> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn is_mincore_truthful(_fd: BorrowedFd<'_>, _size: u64) -> bool {
    false
}

pub(crate) fn is_sealable(_fd: BorrowedFd<'_>) -> bool {
    true
}

pub(crate) fn file_system(_fd: BorrowedFd<'_>) -> FileSystem {
    FileSystem::Other
}

pub(crate) fn read_into_cache(_file: &File, _range: Range<u64>) {}
