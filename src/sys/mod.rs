//! The operating system: all system calls, all `unsafe` code, and all code that depends on the
//! system.
//!
//! A port to another system provides these modules:
//!
//! | module | owns |
//! |---|---|
//! | [`address`] | conversion of socket addresses to and from the kernel's form |
//! | [`mod@file`] | metadata, position and O_DIRECT flag of a file |
//! | [`fork`] | whether this process is a forked child |
//! | [`interest`] | the events that the loop requests from the poller |
//! | [`names`] | the host and service names of an address |
//! | [`page_cache`] | probes of the page cache, and reads into it |
//! | [`sendfile`] | one call of sendfile(2), or ENOSYS |
//! | [`signal`] | signal handlers, their dispositions, SIGPIPE |
//! | [`socket`] | non-blocking, close-on-exec sockets; calls that raise no SIGPIPE |
//! | [`thread`] | detached threads that are safe beside a fork |
//! | [`timerfd`] | a timer that is a descriptor, or none |
//!
//! Two more modules hold `unsafe` code without system calls: [`task_cell`], a future and its output
//! in one allocation, and [`waker`], a waker without an allocation.
//!
//! Each function takes descriptors as `BorrowedFd`, so they stay open during the call.
#![allow(unsafe_code, reason = "system calls; every block names what makes it sound")]

pub(crate) mod address;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod interest;
pub(crate) mod names;
pub(crate) mod page_cache;
pub(crate) mod sendfile;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod task_cell;
pub(crate) mod thread;
pub(crate) mod timerfd;
pub(crate) mod waker;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Returns the result of a system call, or the OS error if it is -1.
fn cvt<T: PartialEq + From<i8>>(result: T) -> io::Result<T> {
    if result == T::from(-1) {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Retries a call while it fails with EINTR.
///
/// None of these calls waits. But a file system in user space may interrupt any call, and so may a
/// supervisor of the process (seccomp, ptrace).
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Returns the byte count of a system call, or the OS error if it is negative.
fn cvt_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Returns the status flags of a descriptor, such as O_NONBLOCK.
fn status_flags(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: no pointers.
    uninterrupted(|| cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }))
}
