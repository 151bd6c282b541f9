//! A server that is overrun: clients that come, send, stall, abort and go, thousands at a time, with descriptors for all of them and
//! with far too few. What must arrive whole does; and at the end descriptors, memory and tasks are back where they were.
//!
//! A few seconds and few clients unless told otherwise: `tests/long/soak.sh` has the long form.
//!
//! On Linux alone: procfs tells what is held.

#![cfg(target_os = "linux")]

mod util;

/// Inline, so that the files lie in `tests/soak/`, where cargo does not take each for a test of its own.
mod soak {
    mod clients;
    mod held;
    mod limit;
    #[path = "../util/live.rs"]
    mod live;
    mod outcomes;
    mod overload;
    mod patience;
    mod plan;
    mod queue;
    mod reply;
    mod request;
    mod round;
    mod server;
    mod tally;
    mod visit;
}
