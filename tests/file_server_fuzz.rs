//! Tests the example `file_server` with arbitrary bytes: how it parses requests, targets and
//! ranges, and how it responds.
//!
//! Each check is a function of bytes that panics if the server is wrong. The tests here pass seeds
//! and generated cases, the same ones in each run. The package in `fuzz/` uses this file as its
//! library, and libFuzzer makes the bytes.

#![cfg(target_os = "linux")]
#![allow(unreachable_pub, reason = "this file is the library of the fuzz package")]

/// The modules of the example, at the paths by which they import each other.
#[path = "../examples/file_server/access_log.rs"]
#[allow(dead_code, reason = "the tests write no log")]
mod access_log;
#[path = "../examples/file_server/authority.rs"]
mod authority;
#[path = "../examples/file_server/beneath.rs"]
mod beneath;
#[path = "../examples/file_server/cache.rs"]
mod cache;
#[path = "../examples/file_server/clients.rs"]
#[allow(dead_code, reason = "no connection is closed for another one")]
mod clients;
#[path = "../examples/file_server/conditional.rs"]
mod conditional;
#[path = "../examples/file_server/connection.rs"]
mod connection;
#[path = "../examples/file_server/dates.rs"]
mod dates;
#[path = "../examples/file_server/descriptors.rs"]
#[allow(dead_code, reason = "the tests keep the descriptor limit")]
mod descriptors;
#[path = "../examples/file_server/encoding.rs"]
mod encoding;
#[path = "../examples/file_server/find.rs"]
mod find;
#[path = "../examples/file_server/index.rs"]
mod index;
#[path = "../examples/file_server/listen.rs"]
#[allow(dead_code, reason = "nobody listens here")]
mod listen;
#[path = "../examples/file_server/listing.rs"]
mod listing;
#[path = "../examples/file_server/media_type.rs"]
mod media_type;
#[path = "../examples/file_server/options.rs"]
#[allow(dead_code, reason = "the tests have no command line")]
mod options;
#[path = "../examples/file_server/pages.rs"]
mod pages;
#[path = "../examples/file_server/range.rs"]
mod range;
#[path = "../examples/file_server/request.rs"]
mod request;
#[path = "../examples/file_server/request_line.rs"]
mod request_line;
#[path = "../examples/file_server/response.rs"]
mod response;
#[path = "../examples/file_server/root.rs"]
mod root;
#[path = "../examples/file_server/rules.rs"]
#[allow(dead_code, reason = "the tests have no command line")]
mod rules;
#[path = "../examples/file_server/send.rs"]
mod send;
#[path = "../examples/file_server/site.rs"]
mod site;
#[path = "../examples/file_server/status.rs"]
mod status;
#[path = "../examples/file_server/target.rs"]
mod target;
#[path = "../examples/file_server/watches.rs"]
mod watches;

/// An inline module, so that its files lie in `tests/fuzz/`, where cargo does not build each file
/// as a test binary.
pub mod fuzz {
    pub mod condition;
    pub mod connection;
    #[cfg(test)]
    mod generator;
    mod peer;
    pub mod range;
    pub mod request;
    mod responses;
    #[cfg(test)]
    mod seeds;
    mod server;
    pub mod target;
    #[cfg(test)]
    mod tests;
    mod tree;
}

fn report(message: std::fmt::Arguments<'_>) {
    panic!("{message}");
}
