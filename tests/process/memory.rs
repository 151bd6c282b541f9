//! Cancelled timers hold no memory.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use crate::util::*;

const MILLION: u64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);
/// The most by which the resident memory may differ.
const MAX_DIFFERENCE: u64 = 2 << 20;

/// Returns the resident memory in bytes, after the allocator has returned its free memory.
fn resident() -> u64 {
    #[allow(unsafe_code, reason = "the standard library does not have it")]
    // SAFETY: it takes a number and has no conditions.
    unsafe {
        libc::malloc_trim(0);
    }
    let text = fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages = text.split(' ').nth(1).expect("a second field");
    pages.parse::<u64>().expect("a number") * rustix::param::page_size() as u64
}

#[track_caller]
fn assert_memory_is_back(before: u64) {
    let after = resident();
    assert!(
        after <= before + MAX_DIFFERENCE,
        "{} KiB before, {} KiB after",
        before >> 10,
        after >> 10
    );
}

#[test]
fn million_timers_cancelled_at_once_leave_no_memory() {
    let _test = test();
    let event_loop = new_loop();
    let before = resident();
    for n in 0..MILLION {
        let held = vec![n];
        let timer = event_loop.call_later(HOUR, move || drop(held));
        timer.cancel();
    }
    assert_memory_is_back(before);
    assert_eq!(event_loop.next_timeout(), None);
}

#[test]
fn million_cancelled_timers_release_their_memory() {
    let _test = test();
    let event_loop = new_loop();
    let before = resident();
    let held = Rc::new(());
    let timers: Vec<_> = (0..MILLION)
        .map(|n| {
            let held = held.clone();
            event_loop.call_later(HOUR + Duration::from_micros(n % 1000), move || drop(held))
        })
        .collect();
    assert!(
        resident() > before + 10 * MAX_DIFFERENCE,
        "a million timers take too little memory to measure"
    );
    // The timers are cancelled out of order. Each must release its memory before the others are
    // cancelled.
    for n in 1..=MILLION {
        timers[(n * 7919 % MILLION) as usize].cancel();
        assert_eq!(Rc::strong_count(&held) as u64, 1 + MILLION - n);
    }
    drop(timers);
    assert_memory_is_back(before);
    assert_eq!(event_loop.next_timeout(), None);
}
