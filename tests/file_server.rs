//! Runs the example `file_server` and tests it over real connections, as its clients use it.
//!
//! Linux only, for two reasons. The tests count descriptors in procfs. Without openat2(2), the
//! server cannot confine a path to a tree that changes during the lookup.

#![cfg(target_os = "linux")]

/// An inline module, so that its files lie in `tests/file_server/`, where cargo does not build each
/// file as a test binary.
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
    mod index_pages;
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
