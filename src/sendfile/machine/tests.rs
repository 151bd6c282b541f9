//! Tests of every outcome in every state, without a socket.

use super::*;
use crate::error::SendfilePhase;

mod header;
mod page_cache;

const MIB: usize = 1 << 20;
const BLOCK: usize = 256 << 10;
const STAT: Action = Action::Stat { sync: true };

/// Creates a transfer without a header and without probes of the page cache.
fn new_machine(plan: Plan, fallback: bool) -> Machine {
    Machine::new(plan, &Options { fallback, prefetch: false, ..Options::default() })
}

/// Creates a transfer of a file that reports `size` bytes, before its first call.
#[track_caller]
fn sending(size: u64, fallback: bool) -> Machine {
    let mut machine = new_machine(Plan::new(0, None), fallback);
    assert_eq!(machine.action(), STAT);
    machine.on_stat(size, true);
    machine
}

/// Creates a transfer of `count` bytes, few enough for one call without a stat.
fn counted(count: u64, fallback: bool) -> Machine {
    new_machine(Plan::new(0, Some(count)), fallback)
}

/// Creates a transfer in the fallback, with a block of `len` bytes to send.
#[track_caller]
fn draining(len: usize) -> Machine {
    let mut machine = sending(0, true);
    machine.on_outcome(SendOutcome::NotAvailable(libc::EINVAL));
    assert!(matches!(machine.action(), Action::Read(_)));
    machine.on_block(Ok(len));
    assert_eq!(machine.action(), Action::SendBlock(0..len));
    machine
}

fn os(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

#[track_caller]
fn ends_with(mut machine: Machine, sent: u64) {
    assert_eq!(machine.action(), Action::Finish);
    assert_eq!(machine.result().expect("no error"), sent);
}

#[track_caller]
fn fails_with(mut machine: Machine, errno: i32, position: u64) {
    assert_eq!(machine.action(), Action::Finish);
    assert_eq!(machine.plan.position, position);
    assert_eq!(machine.result().expect_err("an error").raw_os_error(), Some(errno));
}

#[track_caller]
fn fails_as_unsupported(mut machine: Machine, errno: Option<i32>) {
    assert_eq!(machine.action(), Action::Finish);
    let error = machine.result().expect_err("an error");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let inner = error.get_ref().expect("an inner error");
    let inner = inner.downcast_ref::<SendfileNotAvailableError>().expect("its type");
    assert_eq!(inner.errno(), errno);
}

/// Returns the range of the next send, and panics if the next action is another one.
#[track_caller]
fn next_send(machine: &Machine) -> Range<u64> {
    match machine.action() {
        Action::Send { range, .. } => range,
        action => panic!("{action:?}"),
    }
}

#[track_caller]
fn assert_sends(machine: &Machine, offset: u64, len: usize) {
    assert_eq!(next_send(machine), offset..offset + len as u64);
}

fn read(offset: u64, len: usize) -> Action {
    Action::Read(offset..offset + len as u64)
}

#[test]
fn empty_range_ends_without_a_stat() {
    ends_with(counted(0, true), 0);
    ends_with(new_machine(Plan::new(i64::MAX as u64, None), true), 0);
}

#[test]
fn send_follows_the_stat() {
    assert_sends(&sending(10, true), 0, 10);
    assert_sends(&sending(10 << 20, true), 0, MIB);
    assert_sends(&sending(0, true), 0, MIB);
}

#[test]
fn offset_at_the_end_of_the_file_ends_the_transfer() {
    let mut machine = new_machine(Plan::new(10, None), true);
    machine.on_stat(10, true);
    ends_with(machine, 0);
}

#[test]
fn error_of_the_stat_is_reported() {
    let mut machine = new_machine(Plan::new(5, None), true);
    machine.fail(os(libc::EIO));
    fails_with(machine, libc::EIO, 5);
}

#[test]
fn uncached_file_is_not_available() {
    let mut machine = new_machine(Plan::new(0, None), true);
    machine.on_stat(9, false);
    assert_eq!(machine.action(), read(0, BLOCK));
    let mut machine = new_machine(Plan::new(0, None), false);
    machine.on_stat(9, false);
    fails_as_unsupported(machine, None);
}

#[test]
fn send_of_the_whole_count_ends_the_transfer() {
    let mut machine = counted(7, true);
    assert_sends(&machine, 0, 7);
    machine.on_outcome(SendOutcome::Sent(7));
    ends_with(machine, 7);
}

#[test]
fn short_send_without_a_size_needs_a_stat() {
    let mut machine = counted(7, true);
    machine.on_outcome(SendOutcome::Sent(3));
    assert_eq!(machine.action(), STAT);
    machine.on_stat(5, true);
    assert_sends(&machine, 3, 2);
    machine.on_outcome(SendOutcome::Sent(2));
    assert_eq!(machine.action(), STAT);
    machine.on_stat(5, true);
    ends_with(machine, 5);
}

#[test]
fn partial_send_continues_without_a_wait() {
    let mut machine = sending(100, true);
    machine.on_outcome(SendOutcome::Sent(40));
    assert_sends(&machine, 40, 60);
}

#[test]
fn stat_follows_the_send_of_all_known_bytes() {
    let mut machine = sending(100, true);
    machine.on_outcome(SendOutcome::Sent(100));
    assert_eq!(machine.action(), STAT);
    machine.on_stat(130, true);
    assert_sends(&machine, 100, 30);
    machine.on_outcome(SendOutcome::Sent(30));
    machine.on_stat(130, true);
    ends_with(machine, 130);
}

#[test]
fn would_block_parks_until_writable() {
    let mut machine = sending(100, true);
    machine.on_outcome(SendOutcome::WouldBlock);
    assert_eq!(machine.action(), Action::Wait);
    machine.begin_step(false);
    assert_eq!(machine.action(), Action::Wait);
    machine.begin_step(true);
    assert_sends(&machine, 0, 100);
}

#[test]
fn interrupted_send_is_repeated() {
    let mut machine = sending(100, true);
    machine.on_outcome(SendOutcome::Interrupted);
    assert_sends(&machine, 0, 100);
    let mut machine = counted(7, true);
    machine.on_outcome(SendOutcome::Interrupted);
    assert_sends(&machine, 0, 7);
}

#[test]
fn fallback_continues_at_the_current_offset() {
    let mut machine = sending(4 << 20, true);
    machine.on_outcome(SendOutcome::Sent(MIB));
    machine.on_outcome(SendOutcome::NotAvailable(libc::EINVAL));
    let offset = MIB as u64;
    assert_eq!(machine.action(), read(offset, BLOCK));
}

#[test]
fn not_available_without_the_fallback_is_unsupported() {
    let mut machine = sending(4 << 20, false);
    machine.on_outcome(SendOutcome::NotAvailable(libc::ENOSYS));
    assert_eq!(machine.plan.position, 0);
    fails_as_unsupported(machine, Some(libc::ENOSYS));
}

#[test]
fn other_errors_never_start_the_fallback() {
    for errno in [libc::EPIPE, libc::ECONNRESET, libc::ENOTCONN, libc::EBADF, libc::EIO] {
        let mut machine = sending(4 << 20, true);
        machine.on_outcome(SendOutcome::Sent(MIB));
        machine.on_outcome(SendOutcome::Failed(os(errno)));
        fails_with(machine, errno, MIB as u64);
        let mut machine = counted(7, true);
        machine.on_outcome(SendOutcome::Failed(os(errno)));
        fails_with(machine, errno, 0);
    }
}

#[test]
fn send_of_nothing_with_bytes_owed_leads_to_one_read() {
    let mut machine = sending(100, true);
    machine.on_outcome(SendOutcome::Nothing);
    assert_eq!(machine.action(), read(0, BLOCK));
    machine.on_block(Ok(0));
    ends_with(machine, 0);
    let mut machine = sending(100, false);
    machine.on_outcome(SendOutcome::Nothing);
    ends_with(machine, 0);
}

#[test]
fn offset_past_every_file_ends_the_transfer() {
    let mut machine = sending(0, true);
    machine.on_outcome(SendOutcome::PastEveryFile);
    ends_with(machine, 0);
}

#[test]
fn stat_follows_each_outcome_without_bytes_if_the_size_is_unqueried() {
    for outcome in [
        SendOutcome::Nothing,
        SendOutcome::WouldBlock,
        SendOutcome::PastEveryFile,
        SendOutcome::NotAvailable(libc::EINVAL),
    ] {
        let mut machine = counted(7, true);
        machine.on_outcome(outcome);
        assert_eq!(machine.action(), STAT);
    }
}

#[test]
fn consumed_budget_yields_and_is_whole_in_the_next_step() {
    let mut machine = sending(8 << 20, true);
    machine.on_outcome(SendOutcome::Sent(MIB));
    assert_sends(&machine, 1 << 20, MIB);
    machine.on_outcome(SendOutcome::Sent(MIB));
    assert_eq!(machine.action(), Action::Yield);
    machine.begin_step(false);
    assert_sends(&machine, 2 << 20, MIB);
    machine.on_outcome(SendOutcome::Sent(MIB));
    assert_sends(&machine, 3 << 20, MIB);
}

#[test]
fn stat_follows_a_budget_that_ends_with_the_file() {
    for size in [MAX_BYTES_PER_STEP, 2 * MAX_BYTES_PER_STEP] {
        let mut machine = sending(size, true);
        let mut yields = 0;
        while machine.action() != STAT {
            match machine.action() {
                Action::Yield => {
                    yields += 1;
                    machine.begin_step(false);
                }
                Action::Send { range, .. } => {
                    machine.on_outcome(SendOutcome::Sent((range.end - range.start) as usize))
                }
                step => panic!("{step:?}"),
            }
        }
        assert_eq!(yields, size / MAX_BYTES_PER_STEP);
        machine.on_stat(size, true);
        ends_with(machine, size);
    }
}

#[test]
fn error_of_a_read_is_reported() {
    let mut machine = sending(0, true);
    machine.on_outcome(SendOutcome::NotAvailable(libc::EINVAL));
    machine.on_block(Err(os(libc::EISDIR)));
    fails_with(machine, libc::EISDIR, 0);
}

#[test]
fn sent_block_counts_each_send_and_leads_to_the_next_read() {
    let mut machine = draining(100);
    machine.on_outcome(SendOutcome::Sent(30));
    assert_eq!((machine.action(), machine.plan.position), (Action::SendBlock(30..100), 30));
    machine.on_outcome(SendOutcome::Sent(70));
    assert_eq!(machine.action(), read(100, BLOCK));
    machine.on_block(Ok(0));
    ends_with(machine, 100);
}

#[test]
fn block_would_block_parks_with_the_rest_of_the_block() {
    let mut machine = draining(100);
    machine.on_outcome(SendOutcome::Sent(30));
    machine.on_outcome(SendOutcome::WouldBlock);
    assert_eq!(machine.action(), Action::Wait);
    machine.begin_step(true);
    assert_eq!(machine.action(), Action::SendBlock(30..100));
}

#[test]
fn interrupted_block_is_repeated() {
    let mut machine = draining(100);
    machine.on_outcome(SendOutcome::Interrupted);
    assert_eq!(machine.action(), Action::SendBlock(0..100));
}

#[test]
fn error_of_the_connection_keeps_the_position_exact() {
    let mut machine = draining(100);
    machine.on_outcome(SendOutcome::Sent(30));
    machine.on_outcome(SendOutcome::Failed(os(libc::EPIPE)));
    fails_with(machine, libc::EPIPE, 30);
}

#[test]
fn block_send_of_nothing_fails() {
    let mut machine = draining(100);
    machine.on_outcome(SendOutcome::Nothing);
    assert_eq!(machine.action(), Action::Finish);
    assert_eq!(machine.result().expect_err("an error").kind(), io::ErrorKind::WriteZero);
}

#[test]
fn block_yields_after_the_budget() {
    let mut machine = draining(BLOCK);
    for _ in 0..7 {
        machine.on_outcome(SendOutcome::Sent(BLOCK));
        machine.on_block(Ok(BLOCK));
    }
    machine.on_outcome(SendOutcome::Sent(BLOCK - 1));
    assert_eq!(machine.action(), Action::SendBlock(BLOCK - 1..BLOCK));
    machine.on_outcome(SendOutcome::Sent(1));
    assert_eq!(machine.action(), Action::Yield, "also where a block ends");
    machine.begin_step(false);
    assert!(matches!(machine.action(), Action::Read(_)));
    machine.on_block(Ok(BLOCK));
    for _ in 0..7 {
        machine.on_outcome(SendOutcome::Sent(BLOCK));
        machine.on_block(Ok(BLOCK));
    }
    machine.on_block(Ok(2 * BLOCK));
    machine.on_outcome(SendOutcome::Sent(BLOCK));
    assert_eq!(machine.action(), Action::Yield);
    machine.begin_step(false);
    assert_eq!(machine.action(), Action::SendBlock(BLOCK..2 * BLOCK));
}

#[test]
fn many_small_calls_consume_the_budget() {
    let mut sends = sending(MIB as u64, true);
    let mut drains = draining(BLOCK);
    for machine in [&mut sends, &mut drains] {
        for _ in 0..MAX_CALLS_PER_STEP {
            assert_ne!(machine.action(), Action::Yield);
            machine.on_outcome(SendOutcome::Sent(1));
        }
        assert_eq!(machine.action(), Action::Yield);
        machine.begin_step(false);
        assert_ne!(machine.action(), Action::Yield);
    }
}

#[test]
fn fallback_sends_no_more_than_the_count() {
    let mut machine = counted(BLOCK as u64 + 1, true);
    machine.on_outcome(SendOutcome::NotAvailable(libc::ENOSYS));
    machine.on_stat(0, true);
    machine.on_outcome(SendOutcome::NotAvailable(libc::ENOSYS));
    assert_eq!(machine.action(), read(0, BLOCK));
    machine.on_block(Ok(BLOCK));
    machine.on_outcome(SendOutcome::Sent(BLOCK));
    let offset = BLOCK as u64;
    assert_eq!(machine.action(), read(offset, 1));
    machine.on_block(Ok(1));
    machine.on_outcome(SendOutcome::Sent(1));
    ends_with(machine, BLOCK as u64 + 1);
}

#[test]
fn not_available_error_has_the_phase() {
    let phase = |sent: usize| {
        let mut machine = sending(100, false);
        if sent > 0 {
            machine.on_outcome(SendOutcome::Sent(sent));
        }
        machine.on_outcome(SendOutcome::NotAvailable(libc::EINVAL));
        let error = machine.result().expect_err("not available");
        let inner = error.get_ref().expect("an inner error");
        let inner = inner.downcast_ref::<SendfileNotAvailableError>();
        inner.map(|error| (error.phase(), error.sent()))
    };
    assert_eq!(phase(0), Some((SendfilePhase::Begin, 0)));
    assert_eq!(phase(40), Some((SendfilePhase::Midway, 40)));
}
