//! What a sendfile(2) says that counts and fails at once, as those of the BSDs and macOS do. The rule without the system call,
//! so that it is tried on every system.
//!
//! - Bytes may have been sent although the call failed. The manuals promise the count for EAGAIN, for EINTR and, on FreeBSD, for
//!   EBUSY; for these it is the answer, and the next call says why it was no more. A caller that takes the error for the answer
//!   sends those bytes twice (jonashaag/bjoern#144, erlang/otp#694, python/cpython#80669).
//! - For all other errors the count means nothing: macOS's is an argument too and may come back as it was given, DragonFly's is
//!   not defined. Nor can they wait for the next call: FreeBSD forgets a connection's error when it has told it.
//! - A length of 0 means "until the end of the file". It is never asked for.

use std::io;

/// What the system call left behind.
pub(super) struct Reply {
    pub(super) result: io::Result<()>,
    pub(super) sent: libc::off_t,
}

/// Makes one call, for at least one byte, and says how many were sent or why none were.
pub(super) fn attempt(
    offset: u64,
    len: usize,
    call: impl FnOnce(libc::off_t, usize) -> Reply,
) -> io::Result<usize> {
    if len == 0 {
        return Ok(0);
    }
    let Ok(offset) = libc::off_t::try_from(offset) else {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    };
    let Reply { result, sent } = call(offset, len);
    let sent = usize::try_from(sent).unwrap_or(0).min(len);
    match result {
        Ok(()) => Ok(sent),
        Err(error) if sent > 0 && counts(&error) => Ok(sent),
        Err(error) => Err(error),
    }
}

/// Whether the count is right beside this error.
///
/// FreeBSD's EBUSY is the answer to SF_NODISKIO alone (vn_sendfile in sys/kern/kern_sendfile.c), which is not asked for. Should it
/// come with nothing sent, it stays the error that it is: no event tells when to try again, and trying at once would spin.
fn counts(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [libc::EAGAIN, libc::EINTR, libc::EBUSY]
        .map(Some)
        .contains(&errno)
}

#[cfg(test)]
mod tests;
