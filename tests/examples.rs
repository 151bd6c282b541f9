//! The examples, each run as a program and used by real clients.
//!
//! The examples are debug builds. Release builds would take long and test nothing more.

#![cfg(all(target_os = "linux", debug_assertions))]

/// Inline, so that cargo does not build each file in `tests/examples/` as another test.
mod examples {
    mod agent;
    mod chat;
    mod embedding;
    mod lines;
    mod program;
    mod proxy;
    mod readme;
    mod retry;
    mod servers;
    mod tls;
    mod websocket;
}
