//! What the loop's operations do while the kernel refuses. Run by itself, each test plays its step once, undisturbed; `faults.py`
//! plays them under strace, which answers chosen system calls with errors, and knows what each step must then have met.
//!
//! On Linux alone: strace is Linux's.

#![cfg(target_os = "linux")]

mod util;

/// Inline, so that the files lie in `tests/faults/`, where cargo does not take each for a test of its own.
mod faults {
    mod files;
    mod iterations;
    #[path = "../util/live.rs"]
    mod live;
    mod peers;
    mod scene;
    mod streams;
}
