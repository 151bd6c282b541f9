//! The examples, each run as a program and used by real clients.

#![cfg(target_os = "linux")]

/// Inline, so that cargo does not take each file in `tests/examples/` for a test of its own.
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
