//! The events that the loop requests from the poller, and the meaning of those that it gets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use mio::Interest;

use super::{cvt, uninterrupted};

/// Both directions, without urgent data.
///
/// An operation reads up to the urgent byte, and its next call reads past it.
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Returns which of `events` poll(2) reports now, and whether there is an error or a hang-up.
///
/// A file that epoll refuses, such as a regular one, is always ready here.
pub(crate) fn poll_now(fd: BorrowedFd<'_>, events: libc::c_short) -> io::Result<libc::c_short> {
    let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: the pointer is to one structure, which lives longer than the call.
    uninterrupted(|| cvt(unsafe { libc::poll(&raw mut polled, 1, 0) }))?;
    match polled.revents & libc::POLLNVAL {
        0 => Ok(polled.revents),
        _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
    }
}

/// True if asyncio calls readers and writers for errors too, and for the end of their direction.
///
/// asyncio's EpollSelector calls a reader for any bit except EPOLLOUT, and a writer for any bit
/// except EPOLLIN. It requests these two, and the kernel adds EPOLLERR and EPOLLHUP. This loop also
/// requests EPOLLRDHUP, which mio reports only together with EPOLLIN.
///
/// kqueue reports the directions separately, and asyncio's KqueueSelector uses them alone.
pub(crate) const CALLBACKS_SEE_ERRORS: bool = cfg!(any(target_os = "linux", target_os = "android"));
