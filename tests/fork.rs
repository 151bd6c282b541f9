//! Loops in a forked child.
//!
//! An inherited loop in a child does not disturb the parent's loop, and a new loop works. Each test
//! forks by the C library and by the raw system call.
#![allow(unsafe_code, reason = "only libc can fork, and only unsafe code can be an allocator")]

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
