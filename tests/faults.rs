//! Operations of the loop while the kernel refuses system calls.
//!
//! Each test runs its step once without faults. `faults.py` runs the steps under strace, which
//! fails chosen system calls, and checks the errors of each step.
//!
//! The tests are for Linux alone, as strace is.

#![cfg(target_os = "linux")]

mod util;

/// An inline module, because cargo would build files outside `tests/faults/` as tests.
mod faults {
    mod files;
    mod iterations;
    #[path = "../util/live.rs"]
    mod live;
    mod peers;
    mod scene;
    mod streams;
}
