//! sendfile(2) of FreeBSD and DragonFly.
//!
//! - The file is the first argument and the socket the second, unlike on Linux. The offset is a
//!   value, so the call neither uses nor moves the file's position.
//! - FreeBSD's call does not wait for the disk. It reserves room in the socket's buffer for missing
//!   pages, and sends them when they arrive (since FreeBSD 11; `sendfile_swapin` in
//!   sys/kern/kern_sendfile.c).
//! - [`partial`](super::partial) explains the results.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::partial::{Reply, attempt};
use crate::sys::cvt;

pub(super) fn sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    let (file, socket) = (file.as_raw_fd(), socket.as_raw_fd());
    attempt(offset, len, |offset, len| {
        let mut sent = 0;
        // SAFETY: the kernel writes one count through the pointer, which is to a local. There are
        // no headers, so their pointer is null.
        let result = cvt(unsafe {
            libc::sendfile(file, socket, offset, len, ptr::null_mut(), &raw mut sent, 0)
        });
        Reply {
            result: result.map(drop),
            sent,
        }
    })
}
