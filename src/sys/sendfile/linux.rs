//! sendfile(2) of Linux.
//!
//! - With an offset given the file's own position is neither used nor moved (sendfile(2)), so several transfers of one file do
//!   not disturb each other.
//! - What it could not send is no error where something was sent: the count says it, and the next call says why.
//! - A length of 0 sends nothing here, and "until the end" on the BSDs: it is never asked for.

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
