//! The result of a sendfile(2) that returns a count and an error at once, as on the BSDs.
//!
//! The rule is apart from the system call, so that its tests run on every system.
//!
//! - A call may send bytes and fail. The manuals promise a correct count for EAGAIN, for EINTR and,
//!   on FreeBSD, for EBUSY. For these errors the count is the result, and the next call returns the
//!   error. A caller that ignores the count sends those bytes twice (jonashaag/bjoern#144,
//!   erlang/otp#694, python/cpython#80669).
//! - For all other errors the error is the result. DragonFly does not define the count then. The
//!   error cannot wait for the next call, as FreeBSD reports an error of the connection once.
//! - A length of 0 means "until the end of the file", so no caller passes it.

use std::io;

/// Makes one call for at least one byte, and returns how many bytes it sent.
///
/// `call` returns the result of the system call and its count.
///
/// # Errors
///
/// The error of the call. EOVERFLOW if the offset is beyond the largest one.
pub(super) fn attempt(
    offset: u64,
    len: usize,
    call: impl FnOnce(libc::off_t, usize) -> (io::Result<()>, libc::off_t),
) -> io::Result<usize> {
    if len == 0 {
        return Ok(0);
    }
    let Ok(offset) = libc::off_t::try_from(offset) else {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    };
    let (result, sent) = call(offset, len);
    let sent = usize::try_from(sent).unwrap_or(0).min(len);
    match result {
        Ok(()) => Ok(sent),
        Err(error) if sent > 0 && is_count_valid(&error) => Ok(sent),
        Err(error) => Err(error),
    }
}

/// Returns whether the count is correct if the call returns this error.
///
/// FreeBSD fails with EBUSY only for SF_NODISKIO (vn_sendfile in sys/kern/kern_sendfile.c), a flag
/// that the library does not pass. If EBUSY comes without any bytes, it ends the transfer. No event
/// reports when a retry can succeed, and retries at once would keep the processor busy.
fn is_count_valid(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [libc::EAGAIN, libc::EINTR, libc::EBUSY].map(Some).contains(&errno)
}

#[cfg(test)]
mod tests;
