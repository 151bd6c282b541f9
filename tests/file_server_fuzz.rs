//! The example `file_server` against any bytes: what it takes for a request, a target, a range, and what it says to them.
//!
//! The checks are functions of bytes that panic where something is wrong. The tests here give them seeds and what a
//! generator makes, the same in each run; the package in `fuzz/` has this file for its library, and libFuzzer makes the bytes.

#![cfg(target_os = "linux")]
#![allow(
    unreachable_pub,
    reason = "the fuzz package takes this file for a library"
)]

/// The example's modules, where they look for each other.
#[path = "../examples/file_server/access_log.rs"]
#[allow(dead_code, reason = "nothing is logged here")]
mod access_log;
#[path = "../examples/file_server/authority.rs"]
mod authority;
#[path = "../examples/file_server/beneath.rs"]
mod beneath;
#[path = "../examples/file_server/cache.rs"]
mod cache;
#[path = "../examples/file_server/clients.rs"]
#[allow(dead_code, reason = "nobody is asked to leave here")]
mod clients;
#[path = "../examples/file_server/conditional.rs"]
mod conditional;
#[path = "../examples/file_server/connection.rs"]
mod connection;
#[path = "../examples/file_server/dates.rs"]
mod dates;
#[path = "../examples/file_server/descriptors.rs"]
#[allow(dead_code, reason = "the limit stays as it is here")]
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
#[allow(dead_code, reason = "there is no command line here")]
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
#[allow(dead_code, reason = "there is no command line here")]
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

/// Inline, so that the files lie in `tests/fuzz/`, where cargo does not take each for a test of its own.
pub mod fuzz {
    mod answers;
    pub mod condition;
    pub mod connection;
    #[cfg(test)]
    mod generator;
    mod peer;
    pub mod range;
    pub mod request;
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
