//! One call of sendfile(2).
//!
//! Linux, FreeBSD and DragonFly have a call that the library uses. macOS has one that it does not
//! use, because it may hold the process. The call may wait for network buffers without reacting to
//! a signal, even on a non-blocking socket (alloc_sendpkt with M_WAIT in bsd/kern/uipc_syscalls.c;
//! oven-sh/bun#33728). With network filters, its data may overtake earlier data (golang/go#79706).
//! It also copies the file, as the fallback does.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

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
    raw_sendfile(socket.as_raw_fd(), file.as_raw_fd(), offset, len)
}

/// Calls sendfile(2) of Linux.
///
/// - With an offset, the call neither uses nor moves the file's position. So several transfers of
///   one file do not disturb each other.
/// - If the call sends a part, it returns the count without an error. The next call returns the
///   error.
/// - A length of 0 sends nothing. On the BSDs it means "until the end", so no caller passes it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn raw_sendfile(socket: RawFd, file: RawFd, offset: u64, len: usize) -> io::Result<usize> {
    let Ok(mut offset) = libc::off64_t::try_from(offset) else {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    };
    // SAFETY: the kernel reads and writes one offset through the pointer, which is to a local.
    super::cvt_len(unsafe { libc::sendfile64(socket, file, &raw mut offset, len) })
}

/// Calls sendfile(2) of FreeBSD and DragonFly.
///
/// - The file is the first argument and the socket the second, unlike on Linux. The offset is a
///   value, so the call neither uses nor moves the file's position.
/// - FreeBSD's call does not wait for the disk. It reserves room in the socket's buffer for missing
///   pages, and sends them when they arrive (since FreeBSD 11; `sendfile_swapin` in
///   sys/kern/kern_sendfile.c).
/// - [`partial`] explains the results.
#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
fn raw_sendfile(socket: RawFd, file: RawFd, offset: u64, len: usize) -> io::Result<usize> {
    partial::attempt(offset, len, |offset, len| {
        let (mut sent, headers) = (0, std::ptr::null_mut());
        // SAFETY: the kernel writes one count through the pointer, which is to a local. There are
        // no headers, so their pointer is null.
        let result = super::cvt(unsafe {
            libc::sendfile(file, socket, offset, len, headers, &raw mut sent, 0)
        });
        (result.map(drop), sent)
    })
}

/// Fails, as the library does not use this system's sendfile(2). Every transfer takes the fallback.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly"
)))]
fn raw_sendfile(_: RawFd, _: RawFd, _: u64, _: usize) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}
