//! A loop in a forked child: what the child inherits leaves the parent's loop alone, and a loop of
//! its own works.
//!
//! Each test forks by the C library and by the raw system call.
#![allow(
    unsafe_code,
    reason = "only libc can fork, and only unsafe code can be an allocator"
)]

mod util;

#[path = "fork/child.rs"]
mod child;
#[path = "fork/inherited.rs"]
mod inherited;
#[path = "fork/inside.rs"]
mod inside;
#[path = "fork/locks.rs"]
mod locks;
#[path = "fork/new_loop.rs"]
mod new_loop;
#[path = "fork/no_wipe.rs"]
mod no_wipe;
#[path = "fork/parent.rs"]
mod parent;
#[path = "fork/signals.rs"]
mod signals;
#[path = "fork/stress.rs"]
mod stress;
