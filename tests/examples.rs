//! The examples, each run as a program and used by real clients.

#![cfg(target_os = "linux")]

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
