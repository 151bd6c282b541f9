//! Signals: handlers, Ctrl-C, SIGPIPE, and handlers of other code.
#![allow(unsafe_code, reason = "dispositions of signals are set and read by libc alone")]

#[cfg(target_os = "linux")]
#[path = "../util/child.rs"]
mod child;
#[path = "../util/mod.rs"]
mod util;

#[cfg(target_os = "linux")]
mod foreign_handlers;
mod handlers;
mod interrupts;
mod sigpipe;
