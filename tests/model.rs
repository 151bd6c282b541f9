//! Random transfers against a model: what must arrive, what must be returned, and where the file's position must be.
//!
//! `SENDLOOP_MODEL_CASES` says how many (300 unless set), `SENDLOOP_MODEL_SEED` the first one's seed (0): the next have the next
//! seeds, so that ranges can be shared out. One that fails is made small and printed with the command that tries it again.

mod util;

/// Inline, so that the files lie in `tests/model/`, where cargo does not take each for a test of its own.
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
    pub(crate) mod situations;
    pub(crate) mod stage;
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
        assert!(missing().is_none(), "never met: {:?}", missing());
    }
}
