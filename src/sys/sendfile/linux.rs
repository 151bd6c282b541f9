//! sendfile(2) of Linux.
//!
//! - With an offset, the call neither uses nor moves the file's position. So several transfers of
//!   one file do not disturb each other.
//! - If the call sends a part, it returns the count without an error. The next call returns the
//!   error.
//! - A length of 0 sends nothing. On the BSDs it means "until the end", so no caller passes it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::cvt_len;

pub(super) fn sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    let Ok(mut offset) = libc::off64_t::try_from(offset) else {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    };
    // SAFETY: the kernel reads and writes one offset through the pointer, which is to a local.
    cvt_len(unsafe { libc::sendfile64(socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, len) })
}
