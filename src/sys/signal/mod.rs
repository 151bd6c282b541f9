//! Signals: SIGPIPE, which is ignored, and those that are caught for a loop.

mod caught;
mod disposition;

use std::io;

pub(crate) use caught::SignalSlot;

/// Returns whether `signal` has its default disposition, also if only a parent's loop catches it.
pub(crate) fn is_default(signal: i32) -> bool {
    let mut present = disposition::DEFAULT;
    disposition::read(signal, &mut present).is_ok()
        && (present.sa_sigaction == libc::SIG_DFL || caught::is_idle_default(signal, &present))
}

/// Sets SIGPIPE to ignored if it is at its default, which kills the process. Any other disposition
/// stays.
///
/// sendfile(2) has no MSG_NOSIGNAL, so a peer that went away would end the process in the middle of
/// a transfer. Rust's runtime does the same before `main`, but not if `main` is not Rust's. Nothing
/// sets it back: other loops may still send.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    let (mut ignored, mut before) = (disposition::DEFAULT, disposition::DEFAULT);
    ignored.sa_sigaction = libc::SIG_IGN;
    // SAFETY: SIG_IGN runs no code.
    unsafe { disposition::replace(libc::SIGPIPE, libc::SIG_DFL, &ignored, &mut before) }?;
    Ok(())
}
