//! Random transfers against a model of the received bytes, the result and the file's position.
//!
//! `SENDLOOP_MODEL_CASES` sets the number of cases (default: 300). `SENDLOOP_MODEL_SEED` sets the
//! first case's seed (default: 0); the next cases have the next seeds. The test minimizes a failing
//! case and prints the command that repeats it.

mod util;

/// An inline module, because cargo would build files outside `tests/model/` as tests.
mod model {
    pub(crate) mod bench;
    pub(crate) mod case;
    pub(crate) mod expectation;
    pub(crate) mod generator;
    #[path = "../util/live.rs"]
    mod live;
    #[cfg(target_os = "linux")]
    #[path = "../util/mounts.rs"]
    mod mounts;
    pub(crate) mod run;
    pub(crate) mod shards;
    pub(crate) mod simulation;
    pub(crate) mod situations;
    pub(crate) mod verdict;
    pub(crate) mod writers;
}

use std::env;
use std::time::Instant;

use model::shards::{Cases, try_all};
use model::situations::{missing, report};

fn number(variable: &str, otherwise: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => otherwise,
    }
}

#[test]
fn transfers_match_the_model() {
    let cases = Cases {
        first: number("SENDLOOP_MODEL_SEED", 0),
        count: number("SENDLOOP_MODEL_CASES", 300),
    };
    let start = Instant::now();
    try_all(cases);
    println!("{cases:?} in {:?}: {}", start.elapsed(), report());
    if cases.count >= 2000 {
        assert!(missing().is_none(), "no case reached {:?}", missing());
    }
}
