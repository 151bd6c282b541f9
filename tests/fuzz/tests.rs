//! The short form of what `fuzz/` does for as long as one likes. `SENDLOOP_FUZZ_CASES` says how many cases each test makes.

use std::env;
use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::fuzz::{condition, connection, generator, range, request, seeds, target};

/// The same cases in each run.
#[track_caller]
fn try_cases<T: Debug>(cases: u32, strategy: impl Strategy<Value = T>, check: impl Fn(T)) {
    let set = env::var("SENDLOOP_FUZZ_CASES").ok();
    let config = Config {
        cases: set.map_or(cases, |text| text.parse().expect("a number")),
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tried = runner.run(&strategy, |case| -> Result<(), TestCaseError> {
        check(case);
        Ok(())
    });
    if let Err(failure) = tried {
        panic!("{failure}");
    }
}

#[test]
fn ranges_are_read_as_a_reader_without_shortcuts_reads_them() {
    seeds::try_all("range", range::check_bytes);
    try_cases(4000, generator::range(), |(value, size)| {
        range::check(&value, size)
    });
}

#[test]
fn conditions_are_judged_step_by_step() {
    seeds::try_all("condition", condition::check_bytes);
    try_cases(3000, generator::conditions(), |fields| {
        condition::check_bytes(fields.as_bytes());
    });
}

#[test]
fn dates_are_read_as_a_calendar_has_them() {
    try_cases(6000, generator::date(), |date| condition::check_date(&date));
}

#[test]
fn no_target_leads_out_of_the_root() {
    seeds::try_all("target", target::check_bytes);
    try_cases(1500, generator::target(), |text| {
        target::check_bytes(text.as_bytes())
    });
}

#[test]
fn a_request_is_the_same_for_all_who_read_it() {
    seeds::try_all("request", request::check);
    try_cases(400, generator::stream(), |sent| request::check(&sent));
}

/// Each seed in two pieces, parted everywhere; what is generated, in pieces of some lengths.
#[test]
fn answers_do_not_depend_on_the_pieces_that_requests_come_in() {
    seeds::try_all("connection", |seed| {
        connection::check_bytes(seed);
        let sent = &seed[1..];
        let whole = connection::check(sent);
        let step = sent.len().div_ceil(200).max(1);
        for at in (0..sent.len()).step_by(step) {
            connection::check_split(&whole, sent, at);
        }
    });
    let streams = (0..60u8, generator::stream());
    try_cases(150, streams, |(len, sent)| {
        connection::check_bytes(&[&[len], &sent[..]].concat());
    });
}
