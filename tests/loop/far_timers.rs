//! Timers beyond the poller's longest timeout: 2^31 milliseconds are 24.8 days.
//!
//! mio before 1.2.1 turned such a timeout into an endless one, or into zero.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::util::*;
use sendloop::Remote;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The system call numbers of epoll_wait(2) and epoll_pwait(2), whose fourth argument is the
/// timeout.
const EPOLL_WAIT: &[&str] = if cfg!(target_arch = "x86_64") {
    &["232", "281"]
} else if cfg!(target_arch = "aarch64") {
    &["22"]
} else {
    &[]
};

/// The timeout in milliseconds with which a thread waits in epoll, if it waits there.
fn poll_timeout(thread: &str) -> Option<i32> {
    let call = fs::read_to_string(format!("/proc/{thread}/syscall")).expect("the call of a thread");
    let words: Vec<&str> = call.split_whitespace().collect();
    if !EPOLL_WAIT.contains(words.first()?) {
        return None;
    }
    let argument = words.get(4)?.trim_start_matches("0x");
    // The register is wider; what the kernel takes is an int.
    u64::from_str_radix(argument, 16).ok().map(|argument| argument as i32)
}

/// Runs a loop with one timer on a thread. Returns the poll timeout, and how often the timer fired.
fn wait_for_timer(delay: Duration) -> (i32, u32) {
    let (sender, receiver) = mpsc::channel::<(String, Remote)>();
    let thread = thread::spawn(move || {
        let event_loop = new_loop();
        let fired = Rc::new(Cell::new(0));
        let fires = fired.clone();
        event_loop.call_later(delay, move || fires.set(fires.get() + 1));
        let name = fs::read_link("/proc/thread-self").expect("a name");
        let name = name.to_str().expect("ASCII").to_owned();
        sender.send((name, event_loop.remote())).expect("received");
        event_loop.run_forever();
        fired.get()
    });
    let (name, remote) = receiver.recv().expect("a message of the start");
    let timeout = loop {
        if let Some(timeout) = poll_timeout(&name) {
            break timeout;
        }
        thread::yield_now();
    };
    remote.stop();
    (timeout, thread.join().expect("no panic"))
}

#[test]
fn timer_beyond_the_pollers_maximum_has_a_finite_timeout() {
    let _test = test();
    if EPOLL_WAIT.is_empty() || fs::metadata("/proc/thread-self/syscall").is_err() {
        return; // The kernel does not tell what a thread waits for.
    }
    for days in [1, 24, 25, 40, 49, 50, 75, 100, 365, 36_500] {
        let (timeout, fired) = wait_for_timer(days * DAY);
        let whole = (days * DAY).as_millis();
        let expected = i32::try_from(whole).unwrap_or(i32::MAX);
        // A little time passes before the loop polls.
        let earliest = if expected < i32::MAX { expected - 60_000 } else { i32::MAX };
        assert!((earliest..=expected).contains(&timeout), "{days} days: {timeout} ms");
        assert_eq!(fired, 0, "{days} days");
    }
    let (timeout, fired) = wait_for_timer(Duration::MAX);
    assert_eq!((timeout, fired), (i32::MAX, 0));
}

#[test]
fn deadline_at_the_end_of_time_delays_no_other_timer() {
    let _test = test();
    let mut far = 0;
    for bits in 32..64 {
        // A number of seconds that lost its upper bits would be a few milliseconds.
        let delay = Duration::from_secs(1 << bits) + Duration::from_millis(5);
        let event_loop = new_loop();
        let Some(when) = Instant::now().checked_add(delay) else {
            continue;
        };
        far += 1;
        event_loop.call_at(when, || unreachable!("in the far future"));
        event_loop.call_at(when + Duration::from_nanos(1), || unreachable!("in the far future"));
        let near = event_loop.wait_for(event_loop.sleep_until(when), Duration::from_millis(10));
        event_loop.run_until_complete(near).expect_err("a timeout");
        // The next timer is one of those above again, not an earlier one.
        assert!(event_loop.next_timeout().expect("a timer") > 36_500 * DAY);
    }
    assert!(far > 20);
}
