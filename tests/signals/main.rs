//! Signals: handlers, Ctrl-C, SIGPIPE, and handlers of other code.
#![allow(unsafe_code, reason = "dispositions of signals are set and read by libc alone")]

#[path = "../util/mod.rs"]
mod util;

mod actions;
#[cfg(target_os = "linux")]
mod foreign_handlers;
mod handlers;
mod interrupts;
mod sigpipe;
