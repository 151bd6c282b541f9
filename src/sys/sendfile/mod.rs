//! One attempt at sendfile(2).

use std::io;
use std::os::fd::BorrowedFd;

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "linux.rs")]
#[cfg_attr(
    any(
        target_os = "freebsd",
        target_os = "dragonfly",
        all(target_vendor = "apple", sendloop_macos_native)
    ),
    path = "bsd.rs"
)]
#[cfg_attr(
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "dragonfly",
        all(target_vendor = "apple", sendloop_macos_native)
    )),
    path = "none.rs"
)]
mod platform;

#[cfg(any(
    test,
    target_os = "freebsd",
    target_os = "dragonfly",
    all(target_vendor = "apple", sendloop_macos_native)
))]
mod partial;

/// Asks the kernel once to send at most `len` bytes of `file` from `offset` on, and says how many it took.
///
/// Neither descriptor's position matters or is moved. The error is the kernel's own; ENOSYS where there is no such call.
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
