//! Futures and traits of other crates on the loop.

#[path = "../util/mod.rs"]
mod util;

mod adapters;
mod futures;
mod hyper;
