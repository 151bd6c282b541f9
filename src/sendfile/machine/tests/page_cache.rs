//! Tests of transfers that probe the page cache.

use super::*;

/// Creates a transfer of a whole file that reports `size` bytes.
fn prefetching(size: u64) -> Machine {
    let mut machine = Machine::new(Plan::new(0, None), &Options::default());
    machine.on_stat(size, true);
    machine
}

#[test]
fn slow_file_system_takes_the_fallback_at_the_current_offset() {
    let mut machine = prefetching(3 << 20);
    machine.on_outcome(SendOutcome::Sent(MIB));
    machine.use_fallback(Fallback::NoAnswer);
    assert_eq!(machine.fallback_reason, Some(Fallback::NoAnswer));
    assert_eq!(machine.action(), read(1 << 20, BLOCK));
}

#[test]
fn direct_file_takes_the_fallback_or_is_unsupported() {
    let mut machine = prefetching(3 << 20);
    machine.use_fallback(Fallback::Uncached);
    assert_eq!(machine.action(), read(0, BLOCK));
    let options = Options { fallback: false, ..Options::default() };
    let mut machine = Machine::new(Plan::new(0, None), &options);
    machine.on_stat(9, true);
    machine.use_fallback(Fallback::Uncached);
    fails_as_unsupported(machine, None);
}

#[test]
fn header_comes_before_the_fallback_of_a_slow_file_system() {
    let options = Options { header: &[0; 3], ..Options::default() };
    let mut machine = Machine::new(Plan::new(0, Some(9)), &options);
    machine.on_outcome(SendOutcome::Sent(3));
    machine.use_fallback(Fallback::NoAnswer);
    assert!(machine.is_held_back);
    assert_eq!(machine.action(), read(0, 9));
}

#[test]
fn slow_file_system_is_read_one_block_ahead_within_the_count() {
    let mut machine = Machine::new(Plan::new(7, Some(BLOCK as u64 + 9)), &Options::default());
    machine.use_fallback(Fallback::NoAnswer);
    assert_eq!(machine.next_block(), None);
    machine.on_block(Ok(BLOCK));
    assert_eq!(machine.next_block(), Some(BLOCK as u64 + 7..BLOCK as u64 + 16));
    machine.on_outcome(SendOutcome::Sent(BLOCK));
    machine.on_block(Ok(9));
    assert_eq!(machine.next_block(), None);
}

#[test]
fn slow_file_system_without_a_reader_takes_sendfile() {
    let mut machine = prefetching(100);
    machine.use_fallback(Fallback::NoAnswer);
    machine.on_block(Ok(40));
    machine.on_outcome(SendOutcome::Sent(40));
    machine.on_no_reader(os(libc::EMFILE));
    assert_sends(&machine, 40, 60);
    machine.on_outcome(SendOutcome::NotAvailable(libc::EINVAL));
    machine.on_no_reader(os(libc::EMFILE));
    fails_with(machine, libc::EMFILE, 40);
}

#[test]
fn file_without_bytes_ends_if_there_is_no_reader() {
    let mut machine = prefetching(0);
    machine.on_outcome(SendOutcome::Nothing);
    machine.on_no_reader(os(libc::EMFILE));
    ends_with(machine, 0);
}

#[test]
fn slow_file_system_without_a_reader_needs_a_stat_if_the_size_is_unknown() {
    let mut machine = prefetching(100);
    machine.use_fallback(Fallback::NoAnswer);
    machine.on_block(Ok(120));
    machine.on_outcome(SendOutcome::Sent(120));
    machine.on_no_reader(os(libc::EMFILE));
    assert_eq!(machine.action(), STAT);
}

#[test]
fn size_without_sync_does_not_end_the_transfer() {
    let mut machine = Machine::new(Plan::new(9, None), &Options::default());
    assert_eq!(machine.action(), Action::Stat { sync: false });
    machine.on_stat(5, true);
    assert_eq!(machine.action(), STAT);
    machine.on_stat(12, true);
    assert_sends(&machine, 9, 3);
    machine.on_outcome(SendOutcome::Sent(3));
    assert_eq!(machine.action(), STAT);
    machine.on_stat(12, true);
    ends_with(machine, 3);
}

#[test]
fn send_has_the_end_of_the_owed_bytes() {
    let mut machine = prefetching(3 << 20);
    machine.on_outcome(SendOutcome::Sent(MIB));
    let owed_until = 3 << 20;
    let range = 1 << 20..2 << 20;
    assert_eq!(machine.action(), Action::Send { range, owed_until });
}
