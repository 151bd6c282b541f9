//! Systems whose sendfile(2) the library does not use. Every transfer takes the fallback.

use std::io;
use std::os::fd::BorrowedFd;

pub(super) fn sendfile(
    _socket: BorrowedFd<'_>,
    _file: BorrowedFd<'_>,
    _offset: u64,
    _len: usize,
) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}
