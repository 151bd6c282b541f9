//! A timer that is a descriptor: timerfd_create(2), of Linux.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use elsewhere::TimerFd;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::TimerFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::io;
    use std::mem;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::ptr;
    use std::time::Duration;

    use crate::sys::cvt;

    /// A timer of the clock that [`Instant`](std::time::Instant) has. Readable from its deadline on.
    pub(crate) struct TimerFd(OwnedFd);

    impl TimerFd {
        /// Creates a timer that is not set.
        pub(crate) fn new() -> io::Result<TimerFd> {
            let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
            // SAFETY: the call takes no pointer.
            let fd = cvt(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
            // SAFETY: the descriptor is new, and nothing else knows of it.
            Ok(TimerFd(unsafe { OwnedFd::from_raw_fd(fd) }))
        }

        /// Sets the timer anew, and forgets that it was readable. `None` stops it.
        pub(crate) fn set(&self, after: Option<Duration>) -> io::Result<()> {
            // Zero would stop it.
            let after = after.map_or(Duration::ZERO, |it| it.max(Duration::from_nanos(1)));
            // SAFETY: all zero is a value of itimerspec.
            let mut spec: libc::itimerspec = unsafe { mem::zeroed() };
            spec.it_value.tv_sec = after.as_secs().try_into().unwrap_or(libc::time_t::MAX);
            spec.it_value.tv_nsec = after.subsec_nanos() as _;
            let (fd, old) = (self.0.as_raw_fd(), ptr::null_mut());
            // SAFETY: the descriptor is open, and the pointer is to a value that outlives the call.
            cvt(unsafe { libc::timerfd_settime(fd, 0, &raw const spec, old) }).map(drop)
        }
    }

    impl AsFd for TimerFd {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod elsewhere {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::time::Duration;

    /// There is none.
    pub(crate) enum TimerFd {}

    impl TimerFd {
        /// Fails with `Unsupported`.
        pub(crate) fn new() -> io::Result<TimerFd> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn set(&self, _after: Option<Duration>) -> io::Result<()> {
            match *self {}
        }
    }

    impl AsFd for TimerFd {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}
