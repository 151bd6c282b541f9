//! The disposition of a signal: what the process does when the signal arrives.
//!
//! The kernel has no call that replaces a disposition only if it is a certain one. [`replace`]
//! comes close: it reads the present one, swaps, and looks at what the swap returned. If another
//! thread installed a handler in between, it goes back.
//!
//! Everything here is safe inside a signal handler: sigaction(2), no lock, no allocation. It is
//! also thrifty with the stack: the handler may run on the alternate stack of a Rust thread, which
//! has 8 KiB, and of these a processor with AVX-512 takes 3.4 KiB for its registers. So actions are
//! passed by reference, and an unoptimized build copies none.

use std::io;
use std::mem;
use std::ptr;

use crate::sys::cvt;

/// The default action, with no flags and an empty mask.
pub(super) const DEFAULT: libc::sigaction = {
    // SAFETY: sigaction is integers, a function pointer that may be null, and a set of bits: all
    // zero is a value of it.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = libc::SIG_DFL;
    action
};

/// Writes the present action of `signal` to `present`.
pub(super) fn read(signal: i32, present: &mut libc::sigaction) -> io::Result<()> {
    // SAFETY: a null new action asks for the present one, which is written to `present`.
    cvt(unsafe { libc::sigaction(signal, ptr::null(), present) })?;
    Ok(())
}

/// Installs `next` and writes the action that it replaces to `before`, in one step.
///
/// # Safety
///
/// The handler of `next` may run at any time, on any thread: it is SIG_DFL, SIG_IGN, one that the
/// kernel returned, or one that does only what a signal handler may do.
pub(super) unsafe fn swap(
    signal: i32,
    next: &libc::sigaction,
    before: &mut libc::sigaction,
) -> io::Result<()> {
    // SAFETY: both pointers are to values that outlive the call; the caller answers for the
    // handler.
    cvt(unsafe { libc::sigaction(signal, next, before) })?;
    Ok(())
}

/// Installs `next` if the present handler is `expected`, and returns whether it did. Writes the
/// action that it replaced to `before`, or the one that stays.
///
/// # Safety
///
/// As for [`swap`].
pub(super) unsafe fn replace(
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
    // Another thread installed `before` after the look above. It is the newest, so it goes back. If
    // the swap finds yet another one, that is newer still.
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
