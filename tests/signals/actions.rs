//! Raises signals, and sets and reads their actions.

/// Raises `signal` on this thread. Its handler has run when this returns.
pub(crate) fn raise(signal: i32) {
    // SAFETY: it has no conditions.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Sets the action of `signal`, as the crate `ctrlc` does, and returns the former one.
pub(crate) fn set_action(signal: i32, handler: libc::sighandler_t) -> libc::sigaction {
    // SAFETY: all zero is a value of sigaction; the handlers in the tests are async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        let mut before: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, &raw const action, &raw mut before), 0);
        before
    }
}

/// Returns the handler of `signal`.
pub(crate) fn disposition(signal: i32) -> libc::sighandler_t {
    // SAFETY: all zero is a value of sigaction, and a null action asks for the present one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}
