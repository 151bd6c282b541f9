//! Forks, and the end of the child.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fork {
    ByLibc,
    BySystemCall,
}

/// Returns both kinds of fork, or only the one that is detected without MADV_WIPEONFORK.
pub(crate) fn forks() -> &'static [Fork] {
    let all = &[Fork::ByLibc, Fork::BySystemCall];
    let is_raw_detected = cfg!(target_os = "linux") && !super::no_wipe::is_forced();
    if is_raw_detected { all } else { &all[..1] }
}

impl Fork {
    /// Returns 0 in the child. It ends by SIGALRM if it hangs.
    #[track_caller]
    pub(crate) fn fork(self) -> libc::pid_t {
        // SAFETY: the child runs this thread alone. It calls what a child may call, and what the
        // library promises.
        let pid = unsafe {
            match self {
                Fork::ByLibc => libc::fork(),
                Fork::BySystemCall => by_system_call(),
            }
        };
        assert!(pid >= 0, "{}", std::io::Error::last_os_error());
        if pid == 0 {
            let time_limit = super::util::min_time_limit().as_secs().max(20) as u32;
            // SAFETY: no pointers.
            unsafe { libc::alarm(time_limit) };
        }
        pid
    }
}

#[cfg(target_os = "linux")]
unsafe fn by_system_call() -> libc::pid_t {
    // SAFETY: the caller keeps fork's contract. Without flags and pointers this is fork(2).
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t }
}

#[cfg(not(target_os = "linux"))]
unsafe fn by_system_call() -> libc::pid_t {
    -1
}

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

#[track_caller]
pub(crate) fn wait(pid: libc::pid_t) -> End {
    let mut status = 0;
    // SAFETY: the status is written to `status`.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {
        assert_eq!(std::io::Error::last_os_error().kind(), std::io::ErrorKind::Interrupted);
    }
    match libc::WIFEXITED(status) {
        true => End::Code(libc::WEXITSTATUS(status)),
        false => End::Signal(libc::WTERMSIG(status)),
    }
}

pub(crate) fn text(payload: &(dyn Any + Send)) -> String {
    match payload.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

/// Ends the child with code 0 if `body` returns. If it panics, prints the message and ends with 1.
pub(crate) fn end_child(body: impl FnOnce()) -> ! {
    let code = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => 0,
        Err(panic) => {
            let text = format!("in the child: {}\n", text(&*panic));
            // SAFETY: the pointer and the length are those of `text`.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
            1
        }
    };
    // SAFETY: it runs no code of this process.
    unsafe { libc::_exit(code) }
}

/// Runs `body` in a forked child and returns the child's end.
#[track_caller]
pub(crate) fn end_of(fork: Fork, body: impl FnOnce()) -> End {
    match fork.fork() {
        0 => end_child(body),
        pid => wait(pid),
    }
}

/// Runs `body` in a forked child, where it must not panic.
#[track_caller]
pub(crate) fn in_child(fork: Fork, body: impl FnOnce()) {
    assert_eq!(end_of(fork, body), End::Code(0), "{fork:?}");
}

/// Asserts that `body` panics because the loop belongs to the parent.
#[track_caller]
pub(crate) fn assert_refused<T>(body: impl FnOnce() -> T) {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(body()))).expect_err("a panic");
    let text = text(&*panic);
    assert!(text.contains("forked child"), "{text}");
}
