//! A timer that is a descriptor, by Linux's timerfd_create(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A timer on the clock of [`Instant`](std::time::Instant). It is readable after its deadline.
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    /// True if the system has such timers.
    pub(crate) const IS_AVAILABLE: bool = cfg!(any(target_os = "linux", target_os = "android"));

    /// Creates a timer that is not set.
    pub(crate) fn new() -> io::Result<TimerFd> {
        imp::create().map(TimerFd)
    }

    /// Sets a new deadline, before which the timer is not readable. `None` stops the timer.
    pub(crate) fn set(&self, after: Option<Duration>) -> io::Result<()> {
        // Zero would stop the timer.
        let after = after.map_or(Duration::ZERO, |it| it.max(Duration::from_nanos(1)));
        imp::set(self.as_fd(), after)
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use std::io;
    use std::mem;
    use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::ptr;
    use std::time::Duration;

    use crate::sys::cvt;

    pub(super) fn create() -> io::Result<OwnedFd> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: the call takes no pointer.
        let fd = cvt(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: the descriptor is new.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn set(timer: BorrowedFd<'_>, after: Duration) -> io::Result<()> {
        // SAFETY: itimerspec has only integers, so all zeros is a valid value.
        let mut spec: libc::itimerspec = unsafe { mem::zeroed() };
        spec.it_value.tv_sec = after.as_secs().try_into().unwrap_or(libc::time_t::MAX);
        spec.it_value.tv_nsec = after.subsec_nanos() as _;
        let (fd, old) = (timer.as_raw_fd(), ptr::null_mut());
        // SAFETY: the pointer is to a value that lives longer than the call.
        cvt(unsafe { libc::timerfd_settime(fd, 0, &raw const spec, old) }).map(drop)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    use super::{BorrowedFd, Duration, OwnedFd, io};

    pub(super) fn create() -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn set(_timer: BorrowedFd<'_>, _after: Duration) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
