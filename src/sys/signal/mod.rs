//! Signals: one that is ignored, and those that are caught for a loop.

mod caught;

use std::io;
use std::mem;
use std::ptr;

pub(crate) use caught::Mailbox;

use super::cvt;

/// What happens at `signal` now.
fn present(signal: i32) -> io::Result<libc::sigaction> {
    // SAFETY: sigaction is integers, a function pointer that may be null, and a set of bits: all zero is a value of it.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null new action asks for the present one, which is written to `action`.
    cvt(unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) })?;
    Ok(action)
}

/// Whether nobody has said what is to happen at `signal`, but a loop of the parent's in a forked
/// child.
pub(crate) fn is_default(signal: i32) -> bool {
    present(signal).is_ok_and(|action| {
        action.sa_sigaction == libc::SIG_DFL || caught::is_inherited_default(signal, &action)
    })
}

/// Sets SIGPIPE to ignored where it is at its default, which kills the process. A handler of the program's own stays.
///
/// sendfile(2) has no MSG_NOSIGNAL, so a peer that went away would end the process in the middle of a transfer. Rust's
/// runtime does the same before `main`, but not where `main` is not Rust's.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    let mut action = present(libc::SIGPIPE)?;
    if action.sa_sigaction != libc::SIG_DFL {
        return Ok(());
    }
    action.sa_sigaction = libc::SIG_IGN;
    // SAFETY: `action` is what the kernel wrote but for its handler, and SIG_IGN runs no code.
    cvt(unsafe { libc::sigaction(libc::SIGPIPE, &raw const action, ptr::null_mut()) })?;
    Ok(())
}
