//! Signals: those that a loop catches, and SIGPIPE, which it ignores.
//!
//! # Dispositions
//!
//! The kernel has no call that replaces a disposition only if it has a certain value. [`replace`]
//! comes close: it reads the present one, swaps, and compares the result. If another thread
//! installed a handler in between, `replace` installs that one again.
//!
//! The functions below are safe in a signal handler: they use sigaction(2), no lock and no
//! allocation.
//! They also use little stack. The handler may run on the alternate stack of a Rust thread, which
//! has 8 KiB. A processor with AVX-512 uses 3.4 KiB of it for its registers. So functions take
//! actions by reference, and an unoptimized build copies none.

mod caught;

use std::io;
use std::mem;
use std::ptr;

use crate::sys::cvt;
pub(crate) use caught::SignalSlot;

/// Returns whether `signal` has its default effect in this process.
///
/// In a forked child, that is so even if a loop of the parent catches it.
pub(crate) fn is_default(signal: i32) -> bool {
    let mut present = DEFAULT;
    read(signal, &mut present).is_ok()
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
    let (mut ignored, mut before) = (DEFAULT, DEFAULT);
    ignored.sa_sigaction = libc::SIG_IGN;
    // SAFETY: SIG_IGN runs no code.
    unsafe { replace(libc::SIGPIPE, libc::SIG_DFL, &ignored, &mut before) }?;
    Ok(())
}

/// The default action, with no flags and an empty mask.
const DEFAULT: libc::sigaction = {
    // SAFETY: sigaction has integers, a function pointer that may be null, and a set of bits. So
    // all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = libc::SIG_DFL;
    action
};

/// Writes the present action of `signal` to `present`.
fn read(signal: i32, present: &mut libc::sigaction) -> io::Result<()> {
    // SAFETY: with a null new action, the kernel only writes the present one to `present`.
    cvt(unsafe { libc::sigaction(signal, ptr::null(), present) })?;
    Ok(())
}

/// Installs `next` and writes the action that it replaces to `before`, in one step.
///
/// # Safety
///
/// The handler of `next` may run at any time, on any thread. It must be SIG_DFL, SIG_IGN, a handler
/// that the kernel returned, or one that is safe in a signal.
unsafe fn swap(
    signal: i32,
    next: &libc::sigaction,
    before: &mut libc::sigaction,
) -> io::Result<()> {
    // SAFETY: both pointers are to values that live longer than the call. The handler is safe by
    // the caller's promise.
    cvt(unsafe { libc::sigaction(signal, next, before) })?;
    Ok(())
}

/// Installs `next` if the present handler is `expected`, and returns whether it did.
///
/// It writes the action that it replaced to `before`, or the one that stays.
///
/// # Safety
///
/// As for [`swap`].
unsafe fn replace(
    signal: i32,
    expected: libc::sighandler_t,
    next: &libc::sigaction,
    before: &mut libc::sigaction,
) -> io::Result<bool> {
    read(signal, before)?;
    if before.sa_sigaction != expected {
        return Ok(false);
    }
    // SAFETY: the caller's promise.
    unsafe { swap(signal, next, before) }?;
    if before.sa_sigaction == expected {
        return Ok(true);
    }
    // Another thread installed `before` after the read above. It is the newest, so install it
    // again. If that swap returns yet another one, that one is newer still.
    let mut installed = next.sa_sigaction;
    let mut found = DEFAULT;
    loop {
        // SAFETY: the kernel returned `before`.
        unsafe { swap(signal, before, &mut found) }?;
        if found.sa_sigaction == installed {
            return Ok(false);
        }
        installed = before.sa_sigaction;
        mem::swap(before, &mut found);
    }
}
