//! What must be known of a file before it is sent.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::cvt;

/// Whether the file was opened with O_DIRECT: its reads go past the page cache, which is what sendfile sends from. The
/// kernel takes it at aligned offsets and refuses it with EINVAL at others, which may be midway.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no pointers.
    let flags = cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_DIRECT != 0)
}

#[cfg(target_vendor = "apple")]
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no pointers.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    Ok(false)
}
