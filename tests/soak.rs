//! An overloaded server.
//!
//! Thousands of clients connect, send, stall, abort and leave. The server has descriptors for all
//! of them, or far too few. All promised bytes arrive, and at the end descriptors, memory and tasks
//! are as before.
//!
//! By default a test has few clients and takes seconds; `tests/long/soak.sh` runs it longer.
//!
//! The tests are for Linux alone, because procfs counts what the process holds.

#![cfg(target_os = "linux")]

mod util;

/// An inline module, because cargo would build files outside `tests/soak/` as tests.
mod soak {
    mod clients;
    mod held;
    mod limit;
    #[path = "../util/live.rs"]
    mod live;
    mod outcomes;
    mod overload;
    mod plan;
    mod queue;
    mod reply;
    mod request;
    mod round;
    mod server;
    mod tally;
    mod time_limit;
    mod visit;
}
