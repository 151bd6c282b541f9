//! Work on the threads of the executor.

#[path = "../util/mod.rs"]
mod util;

#[cfg(target_os = "linux")]
mod thread_starts;
mod work;
