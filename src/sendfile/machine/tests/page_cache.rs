//! What comes before a send where the page cache is asked.

use super::*;

/// One of the whole of a file that says it has `size` bytes, which asks the page cache first.
fn prefetching(size: u64) -> Machine {
    let wishes = Wishes {
        fallback: true,
        prefetch: true,
        header: 0,
    };
    let mut machine = Machine::new(Plan::new(0, None), wishes);
    machine.learned(Ok(Facts { size, cached: true }));
    machine
}

#[test]
fn send_waits_for_a_look_and_a_reading_in() {
    let mut machine = prefetching(3 << 20);
    let look = |offset, len| Step::Look { offset, len };
    assert_eq!(machine.step(), look(0, MIB));
    machine.looked(Looked::Missing);
    assert_eq!(machine.step(), Step::ReadIn(0..BLOCK as u64));
    machine.read_in(0..BLOCK as u64, true);
    assert_eq!(machine.step(), look(0, MIB));
    machine.looked(Looked::Resident(BLOCK as u64));
    assert_eq!(machine.step(), send(0, BLOCK));
    let ahead = machine.read_ahead(BLOCK as u64).expect("it is cold");
    assert_eq!(ahead, BLOCK as u64..(BLOCK + MIB) as u64);
    machine.answered(Answer::Sent(BLOCK));
    assert_eq!(machine.step(), look(BLOCK as u64, MIB));
}

#[test]
fn nothing_is_read_in_behind_the_end() {
    let mut machine = prefetching(5);
    machine.looked(Looked::Missing);
    assert_eq!(machine.step(), Step::ReadIn(0..5));
    machine.read_in(0..5, true);
    machine.looked(Looked::Resident(5));
    assert_eq!(machine.read_ahead(5), None);
}

#[test]
fn what_a_first_look_misses_is_read_in_once_the_file_is_known() {
    let wishes = Wishes {
        fallback: true,
        prefetch: true,
        header: 0,
    };
    let mut machine = Machine::new(Plan::new(0, Some(5000)), wishes);
    machine.looked(Looked::Missing);
    assert_eq!(machine.step(), Step::Learn { certain: false });
    machine.learned(Ok(Facts {
        size: 9000,
        cached: true,
    }));
    assert_eq!(machine.step(), Step::ReadIn(0..5000));
}

#[test]
fn one_look_tells_of_many_small_chunks() {
    let wishes = Wishes {
        fallback: true,
        prefetch: true,
        header: 0,
    };
    let size = BLOCK as u64 + 9;
    let mut machine = Machine::new(Plan::new(0, None).in_chunks(5), wishes);
    machine.learned(Ok(Facts { size, cached: true }));
    let look = |offset, len| Step::Look { offset, len };
    assert_eq!(machine.step(), look(0, BLOCK));
    machine.looked(Looked::Resident(BLOCK as u64));
    assert_eq!(machine.step(), send(0, 5));
    machine.answered(Answer::Sent(5));
    assert_eq!(machine.step(), send(5, 5));
    machine.answered(Answer::WouldBlock);
    machine.begin_turn(true, Duration::ZERO);
    assert_eq!(machine.step(), look(5, BLOCK));
    machine.looked(Looked::Resident(3));
    assert_eq!(machine.step(), send(5, 3));
    machine.answered(Answer::Sent(3));
    assert_eq!(machine.step(), look(8, BLOCK));
}

#[test]
fn what_was_looked_at_is_looked_at_again_after_a_wait_for_the_socket() {
    let mut machine = prefetching(3 << 20);
    machine.looked(Looked::Resident(MIB as u64));
    machine.answered(Answer::Sent(5));
    assert_eq!(machine.step(), send(5, MIB - 5));
    machine.answered(Answer::WouldBlock);
    machine.begin_turn(true, Duration::ZERO);
    let offset = 5;
    assert_eq!(machine.step(), Step::Look { offset, len: MIB });
}

#[test]
fn without_an_answer_it_is_read_a_block_ahead_and_no_further_than_the_count() {
    let wishes = Wishes {
        fallback: true,
        prefetch: true,
        header: 0,
    };
    let mut machine = Machine::new(Plan::new(7, Some(BLOCK as u64 + 9)), wishes);
    machine.looked(Looked::NoAnswer);
    assert_eq!(machine.next_block(), None);
    machine.filled(Ok(BLOCK));
    assert_eq!(machine.next_block(), Some((BLOCK as u64 + 7, 9)));
    machine.answered(Answer::Sent(BLOCK));
    machine.filled(Ok(9));
    assert_eq!(machine.next_block(), None);
}

#[test]
fn without_an_answer_and_nobody_who_reads_it_is_sent_as_it_is() {
    let mut machine = prefetching(100);
    machine.looked(Looked::NoAnswer);
    machine.filled(Ok(40));
    machine.answered(Answer::Sent(40));
    machine.cannot_read(os(libc::EMFILE));
    assert_eq!(machine.step(), send(40, 60));
    machine.answered(Answer::NotAvailable(libc::EINVAL));
    machine.cannot_read(os(libc::EMFILE));
    fails_with(machine, libc::EMFILE, 40);
}

#[test]
fn without_an_answer_and_nobody_who_reads_the_size_is_asked_for_where_it_is_not_known() {
    let mut machine = prefetching(100);
    machine.looked(Looked::NoAnswer);
    machine.filled(Ok(120));
    machine.answered(Answer::Sent(120));
    machine.cannot_read(os(libc::EMFILE));
    assert_eq!(machine.step(), LEARN);
}

#[test]
fn a_size_that_nobody_far_away_was_asked_for_ends_nothing() {
    let wishes = Wishes {
        fallback: true,
        prefetch: true,
        header: 0,
    };
    let mut machine = Machine::new(Plan::new(9, None), wishes);
    let facts = |size| Ok(Facts { size, cached: true });
    assert_eq!(machine.step(), Step::Learn { certain: false });
    machine.learned(facts(5));
    assert_eq!(machine.step(), LEARN);
    machine.learned(facts(12));
    machine.looked(Looked::Resident(3));
    assert_eq!(machine.step(), send(9, 3));
    machine.answered(Answer::Sent(3));
    assert_eq!(machine.step(), LEARN);
    machine.learned(facts(12));
    ends_with(machine, 3);
}
