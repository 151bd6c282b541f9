//! One call of sendfile(2).
//!
//! Linux, FreeBSD and DragonFly have a call that the library uses. macOS has one that it does not
//! use, because it may hold the process. The call may wait for network buffers without reacting to
//! a signal, even on a non-blocking socket (alloc_sendpkt with M_WAIT in bsd/kern/uipc_syscalls.c;
//! oven-sh/bun#33728). With network filters, its data may overtake earlier data (golang/go#79706).
//! It also copies the file, as the fallback does.

use std::io;
use std::os::fd::BorrowedFd;

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "linux.rs")]
#[cfg_attr(any(target_os = "freebsd", target_os = "dragonfly"), path = "bsd.rs")]
#[cfg_attr(
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "dragonfly"
    )),
    path = "none.rs"
)]
mod platform;

#[cfg(any(test, target_os = "freebsd", target_os = "dragonfly"))]
mod partial;

/// Calls sendfile(2) once for at most `len` bytes from `offset` on, and returns how many it sent.
///
/// The call neither uses nor moves the position of either descriptor.
///
/// # Errors
///
/// Any error of sendfile(2). ENOSYS if the library uses no such call on this system.
pub(crate) fn sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    if cfg!(sendloop_force_fallback) {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    platform::sendfile(socket, file, offset, len)
}
