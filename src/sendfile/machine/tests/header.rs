//! Tests of the header before the file.

use super::*;

/// Creates a transfer with a header of 10 bytes.
///
/// It sends the whole file or `count` bytes.
fn with_header(count: Option<u64>, fallback: bool) -> Machine {
    let options = Options { fallback, prefetch: false, header: &[0; 10], ..Options::default() };
    Machine::new(Plan::new(0, count), &options)
}

fn header(from: usize, more: bool) -> Action {
    Action::SendHeader { part: from..10, more }
}

#[test]
fn header_before_a_count_needs_no_stat() {
    let mut machine = with_header(Some(7), true);
    assert_eq!(machine.action(), header(0, true));
    machine.on_outcome(SendOutcome::Sent(4));
    assert_eq!(machine.action(), header(4, true));
    assert!(machine.is_held_back, "also where it ends here");
    machine.on_outcome(SendOutcome::Interrupted);
    assert_eq!(machine.action(), header(4, true));
    machine.on_outcome(SendOutcome::WouldBlock);
    assert_eq!(machine.action(), Action::Wait);
    machine.begin_step(false);
    assert_eq!(machine.action(), Action::Wait);
    machine.begin_step(true);
    assert_eq!(machine.action(), header(4, true));
    assert_eq!((machine.plan.position, machine.plan.sent()), (0, 0));
    machine.on_outcome(SendOutcome::Sent(6));
    assert!(machine.is_held_back);
    assert_sends(&machine, 0, 7);
    machine.on_outcome(SendOutcome::Sent(7));
    assert!(!machine.is_held_back);
    ends_with(machine, 7);
}

#[test]
fn header_follows_the_stat() {
    let mut machine = with_header(None, true);
    assert_eq!(machine.action(), STAT);
    machine.on_stat(5, true);
    assert_eq!(machine.action(), header(0, true));
    machine.on_outcome(SendOutcome::Sent(10));
    assert_sends(&machine, 0, 5);
}

#[test]
fn header_of_an_empty_file_announces_no_more_bytes() {
    let mut machine = with_header(Some(0), true);
    assert_eq!(machine.action(), header(0, false));
    machine.on_outcome(SendOutcome::Sent(10));
    assert!(!machine.is_held_back);
    ends_with(machine, 0);
    let options = Options { header: &[0; 3], ..Options::default() };
    let mut machine = Machine::new(Plan::new(9, None), &options);
    let report_size = |machine: &mut Machine| {
        machine.on_stat(9, true);
    };
    report_size(&mut machine);
    report_size(&mut machine);
    let (part, more) = (0..3, false);
    assert_eq!(machine.action(), Action::SendHeader { part, more });
    machine.on_outcome(SendOutcome::Sent(3));
    assert!(matches!(machine.action(), Action::Stat { sync: true }), "it may have grown");
    report_size(&mut machine);
    ends_with(machine, 0);
}

#[test]
fn header_is_held_back_until_an_empty_file_ends() {
    let mut machine = with_header(Some(7), true);
    machine.on_outcome(SendOutcome::Sent(10));
    machine.on_outcome(SendOutcome::Nothing);
    machine.on_stat(0, true);
    assert_sends(&machine, 0, 7);
    machine.on_outcome(SendOutcome::Nothing);
    assert_eq!(machine.fallback_reason, Some(Fallback::Nothing));
    machine.on_block(Ok(0));
    assert!(machine.is_held_back);
    ends_with(machine, 0);
}

#[test]
fn header_of_an_uncached_file_needs_the_fallback() {
    let mut machine = with_header(None, false);
    machine.on_stat(9, false);
    fails_as_unsupported(machine, None);
    let mut machine = with_header(None, true);
    machine.on_stat(9, false);
    assert_eq!(machine.action(), header(0, true));
    machine.on_outcome(SendOutcome::Sent(10));
    assert!(matches!(machine.action(), Action::Read(_)));
}

#[test]
fn failed_header_ends_the_transfer() {
    let mut machine = with_header(Some(7), true);
    machine.on_outcome(SendOutcome::Failed(os(libc::EPIPE)));
    fails_with(machine, libc::EPIPE, 0);
    let mut machine = with_header(Some(7), true);
    machine.on_outcome(SendOutcome::Nothing);
    let error = machine.result().expect_err("nothing moves");
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}

#[test]
fn header_is_sent_in_mebibytes_and_yields_after_the_budget() {
    let header = vec![0; 2 * MIB + 7];
    let options = Options { prefetch: false, header: &header, ..Options::default() };
    let part = |part| Action::SendHeader { part, more: true };
    let mut machine = Machine::new(Plan::new(0, Some(1)), &options);
    assert_eq!(machine.action(), part(0..MIB));
    machine.on_outcome(SendOutcome::Sent(MIB));
    assert_eq!(machine.action(), part(MIB..2 * MIB));
    machine.on_outcome(SendOutcome::Sent(MIB));
    assert_eq!(machine.action(), Action::Yield);
    machine.begin_step(false);
    assert_eq!(machine.action(), part(2 * MIB..2 * MIB + 7));
    machine.on_outcome(SendOutcome::Sent(7));
    assert_sends(&machine, 0, 1);
}
