//! sendfile(2) of FreeBSD and DragonFly; and of macOS, where a build asks for it.
//!
//! - The file comes first and the socket second, the other way round than on Linux. The offset is a value, so the file's own position
//!   is neither used nor moved. What the answers mean is in [`partial`](super::partial).
//! - FreeBSD's does not wait for the disk: it leaves room in the socket's buffer for pages that are not in memory yet, and they are
//!   sent when they come (since FreeBSD 11; sendfile_swapin in sys/kern/kern_sendfile.c).
//! - macOS's is not used unless the crate is built with `--cfg sendloop_macos_native`. It may wait for network buffers where no
//!   signal reaches it, on a non-blocking socket too, and then the whole process cannot be killed (alloc_sendpkt with M_WAIT in
//!   bsd/kern/uipc_syscalls.c; oven-sh/bun#33728); with network filters its data may overtake what was sent before
//!   (golang/go#79706). And it copies the file, as the fallback does.

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
    attempt(offset, len, |offset, len| call(socket, file, offset, len))
}

#[cfg(not(target_vendor = "apple"))]
fn call(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: libc::off_t, len: usize) -> Reply {
    let mut sent = 0;
    let (file, socket) = (file.as_raw_fd(), socket.as_raw_fd());
    // SAFETY: the kernel writes one count through the pointer, which is to a local. There are no headers: their pointer is null.
    let answer = cvt(unsafe {
        libc::sendfile(file, socket, offset, len, ptr::null_mut(), &raw mut sent, 0)
    });
    Reply {
        result: answer.map(drop),
        sent,
    }
}

/// The length goes in and the count comes out. A file that is no regular one is ENOTSUP, on macOS another number than
/// EOPNOTSUPP, which says the same elsewhere.
#[cfg(target_vendor = "apple")]
fn call(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: libc::off_t, len: usize) -> Reply {
    let mut sent = libc::off_t::try_from(len).unwrap_or(libc::off_t::MAX);
    let (file, socket) = (file.as_raw_fd(), socket.as_raw_fd());
    // SAFETY: the kernel reads one length and writes one count through the pointer, which is to a local. There are no headers:
    // their pointer is null.
    let answer =
        cvt(unsafe { libc::sendfile(file, socket, offset, &raw mut sent, ptr::null_mut(), 0) });
    let result = answer
        .map(drop)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTSUP) => io::Error::from_raw_os_error(libc::EOPNOTSUPP),
            _ => error,
        });
    Reply { result, sent }
}
