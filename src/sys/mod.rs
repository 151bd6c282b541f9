//! What the operating system is asked: the only place with `unsafe` code and the only one that knows which system it is.
//!
//! Beside system calls that is [`pinned`], a future and its result in one place, and [`waker`], a waker that is a number.
//!
//! A system that this is brought to provides:
//!
//! - [`socket`]: non-blocking, close-on-exec stream sockets; sends that raise no SIGPIPE; one accept that gives both;
//! - [`address`]: addresses of the internet and of Unix sockets, both ways;
//! - [`mod@file`]: metadata and position of a file, and whether it bypasses the page cache;
//! - [`page_cache`]: which pages of a file are in memory;
//! - [`fork`]: whether this process is a forked child;
//! - [`interest`]: what the poller is asked to tell;
//! - [`names`]: the name of an address;
//! - [`signal`]: SIGPIPE ignored; signals caught, and their dispositions restored;
//! - [`timerfd`]: a timer that is a descriptor, or the error that there is none;
//! - [`sendfile`]: one attempt at sendfile(2), or the answer that there is none.
//!
//! Every descriptor comes in as a `BorrowedFd`, so that it is open for as long as the call takes.
#![allow(
    unsafe_code,
    reason = "system calls; every block names what makes it sound"
)]

pub(crate) mod address;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod interest;
pub(crate) mod names;
pub(crate) mod page_cache;
pub(crate) mod pinned;
pub(crate) mod sendfile;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod thread;
pub(crate) mod timerfd;
pub(crate) mod waker;

use std::io;

/// Turns the -1 of a system call into its error.
fn cvt<T: PartialEq + From<i8>>(answer: T) -> io::Result<T> {
    if answer == T::from(-1) {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

/// Makes a call again that was interrupted, as often as it is. Of the calls that are made through this none waits, but a file
/// system in user space may interrupt what the kernel's own never would, and so may what watches a process (seccomp, ptrace).
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Turns the answer of a system call that counts bytes into that count or its error.
fn cvt_len(answer: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}
