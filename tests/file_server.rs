//! The example `file_server`, as its clients see it: the built program is started, and spoken to over real connections.
//!
//! On Linux alone: descriptors are counted in procfs, and elsewhere the server has no openat2(2), without which it cannot hold
//! against a tree that changes while it looks.

#![cfg(target_os = "linux")]

/// Inline, so that the files lie in `tests/file_server/`, where cargo does not take each for a test of its own.
mod file_server {
    mod access_log;
    mod addresses;
    mod basics;
    mod cache;
    mod changes;
    mod choices;
    mod client;
    mod codings;
    mod command_line;
    mod concurrency;
    mod conditions;
    mod connections;
    mod cork;
    mod curl;
    mod directories;
    mod endings;
    mod escapes;
    mod limits;
    mod listings;
    mod malformed;
    mod media_types;
    mod methods;
    mod ranges;
    mod root_path;
    mod server;
    mod several_ranges;
    mod timeouts;
}
