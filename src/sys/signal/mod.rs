//! Signals: those that a loop catches, and SIGPIPE, which it ignores.

mod caught;
mod disposition;

use std::io;

pub(crate) use caught::SignalSlot;

/// Returns whether `signal` has its default effect in this process.
///
/// In a forked child, that is so even if a loop of the parent catches it.
pub(crate) fn is_default(signal: i32) -> bool {
    let mut present = disposition::DEFAULT;
    disposition::read(signal, &mut present).is_ok()
        && (present.sa_sigaction == libc::SIG_DFL
            || caught::is_unneeded_over_default(signal, &present))
}

/// Ignores SIGPIPE if it has its default effect, which ends the process.
///
/// Any other disposition stays. sendfile(2) has no MSG_NOSIGNAL, so a peer that closes during a
/// transfer would end the process. Rust's runtime ignores SIGPIPE before `main`, but not in a
/// program whose `main` is not Rust's. The library never restores the default, as other loops may
/// still send.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    let (mut ignored, mut before) = (disposition::DEFAULT, disposition::DEFAULT);
    ignored.sa_sigaction = libc::SIG_IGN;
    // SAFETY: SIG_IGN runs no code.
    unsafe { disposition::replace(libc::SIGPIPE, libc::SIG_DFL, &ignored, &mut before) }?;
    Ok(())
}
