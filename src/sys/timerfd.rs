//! A timer that is a descriptor, by Linux's timerfd_create(2).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// Creates a timer on the clock of [`Instant`](std::time::Instant), which is readable after its
/// deadline. Returns `None` if the system has no such timers.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn create() -> io::Result<Option<OwnedFd>> {
    use std::os::fd::FromRawFd;
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: the call takes no pointer.
    let fd = super::cvt(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: the descriptor is new.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sets a new deadline, before which the timer is not readable. `None` stops the timer.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set(timer: BorrowedFd<'_>, after: Option<Duration>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // Zero would stop the timer.
    let after = after.map_or(Duration::ZERO, |it| it.max(Duration::from_nanos(1)));
    // SAFETY: itimerspec has only integers, so all zeros is a valid value.
    let mut spec: libc::itimerspec = unsafe { std::mem::zeroed() };
    // No process runs for 68 years.
    spec.it_value.tv_sec = after.as_secs().min(i32::MAX as u64) as _;
    spec.it_value.tv_nsec = after.subsec_nanos() as _;
    let (fd, old) = (timer.as_raw_fd(), std::ptr::null_mut());
    // SAFETY: the pointer is to a value that lives longer than the call.
    super::cvt(unsafe { libc::timerfd_settime(fd, 0, &raw const spec, old) }).map(drop)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn create() -> io::Result<Option<OwnedFd>> {
    Ok(None)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set(_timer: BorrowedFd<'_>, _after: Option<Duration>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
