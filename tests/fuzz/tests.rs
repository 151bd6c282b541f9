//! The checks of `fuzz/` with a fixed number of cases. `SENDLOOP_FUZZ_CASES` sets the number of
//! cases of each test.

use std::env;
use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::fuzz::{condition, connection, generator, range, request, seeds, target};

/// Checks generated cases, the same ones in each run.
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
fn ranges_are_parsed_as_by_a_simple_parser() {
    seeds::try_all("range", range::check_bytes);
    try_cases(4000, generator::range(), |(value, size)| range::check(&value, size));
}

#[test]
fn conditions_are_evaluated_in_the_steps_of_the_rfc() {
    seeds::try_all("condition", condition::check_bytes);
    try_cases(3000, generator::conditions(), |fields| {
        condition::check_bytes(fields.as_bytes());
    });
}

#[test]
fn dates_are_parsed_as_by_a_calendar() {
    try_cases(6000, generator::date(), |date| condition::check_date(&date));
}

#[test]
fn no_target_leads_out_of_the_root() {
    seeds::try_all("target", target::check_bytes);
    try_cases(1500, generator::target(), |text| target::check_bytes(text.as_bytes()));
}

#[test]
fn hyper_and_the_example_find_the_same_requests() {
    seeds::try_all("request", request::check);
    try_cases(400, generator::stream(), |sent| request::check(&sent));
}

/// Each seed is split in two at every byte, or at about 200 places. Generated cases are split into
/// pieces of one random length.
#[test]
fn responses_do_not_depend_on_how_the_requests_are_split() {
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
