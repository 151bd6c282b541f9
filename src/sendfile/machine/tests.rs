//! Every answer in every state, without a socket.

use super::*;
use crate::error::SendfilePhase;

mod header;
mod page_cache;

const MIB: usize = 1 << 20;
const BLOCK: usize = 256 << 10;

/// A transfer without a header, whose bytes are sent wherever they are.
fn new_machine(plan: Plan, fallback: bool) -> Machine {
    Machine::new(
        plan,
        Wishes {
            fallback,
            prefetch: false,
            header: 0,
        },
    )
}

/// A transfer of the whole of a file that says it has `size` bytes, right before its first call.
#[track_caller]
fn sending(size: u64, fallback: bool) -> Machine {
    let mut machine = new_machine(Plan::new(0, None), fallback);
    assert_eq!(machine.step(), Step::Learn);
    machine.learned(Ok(Facts { size, cached: true }));
    machine
}

/// A transfer of `count` bytes for which one call is enough, so that nobody asked for the size.
fn counted(count: u64, fallback: bool) -> Machine {
    new_machine(Plan::new(0, Some(count)), fallback)
}

/// A transfer in the fallback, with a block of `len` bytes to be sent.
#[track_caller]
fn draining(len: usize) -> Machine {
    let mut machine = sending(0, true);
    machine.answered(Answer::NotAvailable(libc::EINVAL));
    assert!(matches!(machine.step(), Step::Read { .. }));
    machine.filled(Ok(len));
    assert_eq!(machine.step(), Step::Drain(0..len));
    machine
}

fn os(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

#[track_caller]
fn ends_with(mut machine: Machine, sent: u64) {
    assert_eq!(machine.step(), Step::End);
    assert!(machine.is_done());
    assert_eq!(machine.result().expect("no error"), sent);
}

#[track_caller]
fn fails_with(mut machine: Machine, errno: i32, position: u64) {
    assert_eq!(machine.step(), Step::End);
    assert_eq!(machine.position(), position);
    assert_eq!(
        machine.result().expect_err("an error").raw_os_error(),
        Some(errno)
    );
}

#[track_caller]
fn fails_as_unsupported(mut machine: Machine, errno: Option<i32>) {
    assert_eq!(machine.step(), Step::End);
    let error = machine.result().expect_err("an error");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let inner = error.get_ref().expect("an inner error");
    let inner = inner
        .downcast_ref::<SendfileNotAvailableError>()
        .expect("its type");
    assert_eq!(inner.errno(), errno);
}

fn send(offset: u64, len: usize) -> Step {
    Step::Send { offset, len }
}

#[test]
fn nothing_to_send_is_the_end_before_anything_is_asked() {
    ends_with(counted(0, true), 0);
    ends_with(new_machine(Plan::new(i64::MAX as u64, None), true), 0);
}

#[test]
fn learn_size_then_send() {
    assert_eq!(sending(10, true).step(), send(0, 10));
    assert_eq!(sending(10 << 20, true).step(), send(0, MIB));
    assert_eq!(sending(0, true).step(), send(0, MIB));
}

#[test]
fn learn_past_the_end_is_the_end() {
    let mut machine = new_machine(Plan::new(10, None), true);
    machine.learned(Ok(Facts {
        size: 10,
        cached: true,
    }));
    ends_with(machine, 0);
}

#[test]
fn learn_that_fails_is_the_files_error() {
    let mut machine = new_machine(Plan::new(5, None), true);
    machine.learned(Err(os(libc::EIO)));
    fails_with(machine, libc::EIO, 5);
}

#[test]
fn learn_that_it_is_not_in_the_page_cache_is_not_available() {
    let uncached = Facts {
        size: 9,
        cached: false,
    };
    let mut machine = new_machine(Plan::new(0, None), true);
    machine.learned(Ok(uncached));
    assert_eq!(
        machine.step(),
        Step::Read {
            offset: 0,
            len: BLOCK
        }
    );
    let mut machine = new_machine(Plan::new(0, None), false);
    machine.learned(Ok(uncached));
    fails_as_unsupported(machine, None);
}

#[test]
fn send_sent_all_of_the_count_is_the_end() {
    let mut machine = counted(7, true);
    assert_eq!(machine.step(), send(0, 7));
    machine.answered(Answer::Sent(7));
    ends_with(machine, 7);
}

#[test]
fn send_sent_less_without_a_size_asks_for_it() {
    let mut machine = counted(7, true);
    machine.answered(Answer::Sent(3));
    assert_eq!(machine.step(), Step::Learn);
    machine.learned(Ok(Facts {
        size: 5,
        cached: true,
    }));
    assert_eq!(machine.step(), send(3, 2));
    machine.answered(Answer::Sent(2));
    assert_eq!(machine.step(), Step::Learn);
    machine.learned(Ok(Facts {
        size: 5,
        cached: true,
    }));
    ends_with(machine, 5);
}

#[test]
fn send_sent_some_goes_on_without_waiting() {
    let mut machine = sending(100, true);
    machine.answered(Answer::Sent(40));
    assert_eq!(machine.step(), send(40, 60));
}

#[test]
fn send_sent_all_that_was_known_asks_for_growth() {
    let mut machine = sending(100, true);
    machine.answered(Answer::Sent(100));
    assert_eq!(machine.step(), Step::Learn);
    machine.learned(Ok(Facts {
        size: 130,
        cached: true,
    }));
    assert_eq!(machine.step(), send(100, 30));
    machine.answered(Answer::Sent(30));
    machine.learned(Ok(Facts {
        size: 130,
        cached: true,
    }));
    ends_with(machine, 130);
}

#[test]
fn send_would_block_parks_until_writable() {
    let mut machine = sending(100, true);
    machine.answered(Answer::WouldBlock);
    assert_eq!(machine.step(), Step::Wait);
    machine.begin_turn(false, Duration::ZERO);
    assert_eq!(machine.step(), Step::Wait);
    machine.begin_turn(true, Duration::ZERO);
    assert_eq!(machine.step(), send(0, 100));
}

#[test]
fn send_interrupted_is_repeated() {
    let mut machine = sending(100, true);
    machine.answered(Answer::Interrupted);
    assert_eq!(machine.step(), send(0, 100));
    let mut machine = counted(7, true);
    machine.answered(Answer::Interrupted);
    assert_eq!(machine.step(), send(0, 7));
}

#[test]
fn send_not_available_goes_on_by_reading_from_where_it_is() {
    let mut machine = sending(4 << 20, true);
    machine.answered(Answer::Sent(MIB));
    machine.answered(Answer::NotAvailable(libc::EINVAL));
    let offset = MIB as u64;
    assert_eq!(machine.step(), Step::Read { offset, len: BLOCK });
}

#[test]
fn send_not_available_without_the_fallback_is_unsupported() {
    let mut machine = sending(4 << 20, false);
    machine.answered(Answer::NotAvailable(libc::ENOSYS));
    assert_eq!(machine.position(), 0);
    fails_as_unsupported(machine, Some(libc::ENOSYS));
}

#[test]
fn send_failed_is_the_error_as_it_is_and_never_the_fallback() {
    for errno in [
        libc::EPIPE,
        libc::ECONNRESET,
        libc::ENOTCONN,
        libc::EBADF,
        libc::EIO,
    ] {
        let mut machine = sending(4 << 20, true);
        machine.answered(Answer::Sent(MIB));
        machine.answered(Answer::Failed(os(errno)));
        fails_with(machine, errno, MIB as u64);
        let mut machine = counted(7, true);
        machine.answered(Answer::Failed(os(errno)));
        fails_with(machine, errno, 0);
    }
}

#[test]
fn send_nothing_with_bytes_owed_is_read_once_and_never_repeated() {
    let mut machine = sending(100, true);
    machine.answered(Answer::Nothing);
    assert_eq!(
        machine.step(),
        Step::Read {
            offset: 0,
            len: BLOCK
        }
    );
    machine.filled(Ok(0));
    ends_with(machine, 0);
    let mut machine = sending(100, false);
    machine.answered(Answer::Nothing);
    ends_with(machine, 0);
}

#[test]
fn send_beyond_what_any_file_holds_is_the_end() {
    let mut machine = sending(0, true);
    machine.answered(Answer::BeyondAllFiles);
    ends_with(machine, 0);
}

#[test]
fn without_a_size_any_answer_but_bytes_asks_for_it() {
    for answer in [
        Answer::Nothing,
        Answer::WouldBlock,
        Answer::BeyondAllFiles,
        Answer::NotAvailable(libc::EINVAL),
    ] {
        let mut machine = counted(7, true);
        machine.answered(answer);
        assert_eq!(machine.step(), Step::Learn);
    }
}

#[test]
fn the_budget_spent_yields_without_waiting_and_is_whole_again_after_a_turn() {
    let mut machine = sending(8 << 20, true);
    machine.answered(Answer::Sent(MIB));
    assert_eq!(machine.step(), send(1 << 20, MIB));
    machine.answered(Answer::Sent(MIB));
    assert_eq!(machine.step(), Step::Yield);
    machine.begin_turn(false, Duration::ZERO);
    assert_eq!(machine.step(), send(2 << 20, MIB));
    machine.answered(Answer::Sent(MIB));
    assert_eq!(machine.step(), send(3 << 20, MIB));
}

#[test]
fn a_budget_that_ends_with_the_file_asks_for_growth_after_the_turn() {
    for size in [BUDGET, 2 * BUDGET] {
        let mut machine = sending(size, true);
        let mut yields = 0;
        while machine.step() != Step::Learn {
            match machine.step() {
                Step::Yield => {
                    yields += 1;
                    machine.begin_turn(false, Duration::ZERO);
                }
                Step::Send { len, .. } => machine.answered(Answer::Sent(len)),
                step => panic!("{step:?}"),
            }
        }
        assert_eq!(yields, size / BUDGET);
        machine.learned(Ok(Facts { size, cached: true }));
        ends_with(machine, size);
    }
}

#[test]
fn read_failed_is_the_files_error() {
    let mut machine = sending(0, true);
    machine.answered(Answer::NotAvailable(libc::EINVAL));
    machine.filled(Err(os(libc::EISDIR)));
    fails_with(machine, libc::EISDIR, 0);
}

#[test]
fn drain_sent_counts_each_send_and_reads_on() {
    let mut machine = draining(100);
    machine.answered(Answer::Sent(30));
    assert_eq!(
        (machine.step(), machine.position()),
        (Step::Drain(30..100), 30)
    );
    machine.answered(Answer::Sent(70));
    assert_eq!(
        machine.step(),
        Step::Read {
            offset: 100,
            len: BLOCK
        }
    );
    machine.filled(Ok(0));
    ends_with(machine, 100);
}

#[test]
fn drain_would_block_parks_with_the_rest_of_the_block() {
    let mut machine = draining(100);
    machine.answered(Answer::Sent(30));
    machine.answered(Answer::WouldBlock);
    assert_eq!(machine.step(), Step::Wait);
    machine.begin_turn(true, Duration::ZERO);
    assert_eq!(machine.step(), Step::Drain(30..100));
}

#[test]
fn drain_interrupted_is_repeated() {
    let mut machine = draining(100);
    machine.answered(Answer::Interrupted);
    assert_eq!(machine.step(), Step::Drain(0..100));
}

#[test]
fn drain_failed_is_the_connections_error_with_the_bytes_exact() {
    let mut machine = draining(100);
    machine.answered(Answer::Sent(30));
    machine.answered(Answer::Failed(os(libc::EPIPE)));
    fails_with(machine, libc::EPIPE, 30);
}

#[test]
fn drain_that_takes_nothing_fails_instead_of_spinning() {
    let mut machine = draining(100);
    machine.answered(Answer::Nothing);
    assert_eq!(machine.step(), Step::End);
    assert_eq!(
        machine.result().expect_err("an error").kind(),
        io::ErrorKind::WriteZero
    );
}

#[test]
fn drain_yields_after_the_budget() {
    let mut machine = draining(BLOCK);
    for _ in 0..7 {
        machine.answered(Answer::Sent(BLOCK));
        machine.filled(Ok(BLOCK));
    }
    machine.answered(Answer::Sent(BLOCK - 1));
    assert_eq!(machine.step(), Step::Drain(BLOCK - 1..BLOCK));
    machine.answered(Answer::Sent(1));
    assert_eq!(machine.step(), Step::Yield, "its reads were ready at once");
    machine.begin_turn(false, Duration::ZERO);
    assert!(matches!(machine.step(), Step::Read { .. }));
    machine.filled(Ok(9 * BLOCK));
    machine.answered(Answer::Sent(8 * BLOCK));
    assert_eq!(machine.step(), Step::Yield, "midway in a block");
    machine.begin_turn(false, Duration::ZERO);
    assert_eq!(machine.step(), Step::Drain(8 * BLOCK..9 * BLOCK));
}

#[test]
fn the_fallback_sends_no_more_than_the_count() {
    let mut machine = counted(BLOCK as u64 + 1, true);
    machine.answered(Answer::NotAvailable(libc::ENOSYS));
    machine.learned(Ok(Facts {
        size: 0,
        cached: true,
    }));
    machine.answered(Answer::NotAvailable(libc::ENOSYS));
    assert_eq!(
        machine.step(),
        Step::Read {
            offset: 0,
            len: BLOCK
        }
    );
    machine.filled(Ok(BLOCK));
    machine.answered(Answer::Sent(BLOCK));
    let offset = BLOCK as u64;
    assert_eq!(machine.step(), Step::Read { offset, len: 1 });
    machine.filled(Ok(1));
    machine.answered(Answer::Sent(1));
    ends_with(machine, BLOCK as u64 + 1);
}

#[test]
fn not_available_tells_the_phase() {
    let phase = |sent: usize| {
        let mut machine = sending(100, false);
        if sent > 0 {
            machine.answered(Answer::Sent(sent));
        }
        machine.answered(Answer::NotAvailable(libc::EINVAL));
        let error = machine.result().expect_err("not available");
        let inner = error.get_ref().expect("an inner error");
        let inner = inner.downcast_ref::<SendfileNotAvailableError>();
        inner.map(|error| (error.phase(), error.sent()))
    };
    assert_eq!(phase(0), Some((SendfilePhase::Begin, 0)));
    assert_eq!(phase(40), Some((SendfilePhase::Midway, 40)));
}
