//! An embedder: polls the loop's descriptor and runs an iteration when it is readable.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sendloop::Loop;

use crate::util::run_iteration;

/// If the descriptor is not readable after this time, a wake-up was lost.
pub const HANG_TIMEOUT: Duration = Duration::from_secs(20);

/// True if a timer makes the descriptor readable. If not, the embedder uses `next_timeout`.
pub const HAS_TIMER: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[track_caller]
pub fn is_readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).expect("a time");
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    match poll(&mut fds, Some(&limit)) {
        Err(Errno::INTR) => false,
        result => result.expect("a poll") == 1,
    }
}

/// Returns whether the loop's descriptor becomes readable within `limit`.
#[track_caller]
pub fn becomes_readable(event_loop: &Loop, limit: Duration) -> bool {
    is_readable(event_loop.as_fd(), limit)
}

/// Runs iterations until `done`, each after a poll(2) of the descriptor alone.
///
/// It returns the number of iterations.
#[track_caller]
pub fn drive(event_loop: &Loop, done: impl Fn() -> bool) -> usize {
    let mut iterations = 0;
    while !done() {
        let timeout = event_loop.next_timeout().filter(|_| !HAS_TIMER);
        let is_readable = becomes_readable(event_loop, timeout.unwrap_or(HANG_TIMEOUT));
        assert!(
            is_readable || timeout.is_some(),
            "the descriptor is not readable after {HANG_TIMEOUT:?}"
        );
        run_iteration(event_loop);
        iterations += 1;
    }
    iterations
}

/// Asserts that the loop has nothing to do: no timeout, and a descriptor that is not readable.
#[track_caller]
pub fn assert_idle(event_loop: &Loop) {
    assert_eq!(event_loop.next_timeout(), None);
    assert!(
        !becomes_readable(event_loop, Duration::ZERO),
        "the descriptor of an idle loop is readable"
    );
}
