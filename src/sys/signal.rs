//! What a process that sends must do about signals.

use std::io;
use std::mem;
use std::ptr;

use super::cvt;

/// Sets SIGPIPE to ignored where it is at its default, which kills the process. A handler of the program's own stays.
///
/// sendfile(2) has no MSG_NOSIGNAL, so a peer that went away would end the process in the middle of a transfer. Rust's
/// runtime does the same before `main`, but not where `main` is not Rust's.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: sigaction is integers, a function pointer that may be null, and a set of bits: all zero is a value of it.
    let mut present: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null new action asks for the present one, which is written to `present`.
    cvt(unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), &raw mut present) })?;
    if present.sa_sigaction != libc::SIG_DFL {
        return Ok(());
    }
    present.sa_sigaction = libc::SIG_IGN;
    // SAFETY: `present` is what the kernel wrote but for its handler, and SIG_IGN runs no code.
    cvt(unsafe { libc::sigaction(libc::SIGPIPE, &raw const present, ptr::null_mut()) })?;
    Ok(())
}
