//! A million calls and timers: none is lost, and the order is kept.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{Clock, Loop, get_running_loop};

const MILLION: u64 = 1_000_000;

#[test]
fn million_remote_calls_run_in_order_per_thread() {
    let _test = test();
    const EACH: u64 = MILLION / 4;
    let event_loop = new_loop();
    let next: Arc<[AtomicU64; 4]> = Arc::default();
    let left = Arc::new(AtomicU64::new(MILLION));
    let threads = [0, 1, 2, 3].map(|thread| {
        let (remote, next, left) = (event_loop.remote(), next.clone(), left.clone());
        thread::spawn(move || {
            for n in 0..EACH {
                let (next, left) = (next.clone(), left.clone());
                let call = move || {
                    let expected = next[thread].fetch_add(1, Ordering::Relaxed);
                    // An assertion would only reach the exception handler.
                    if expected != n {
                        eprintln!("thread {thread}: {n} instead of {expected}");
                        std::process::abort();
                    }
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        get_running_loop().expect("inside it").stop();
                    }
                };
                remote.call_soon_threadsafe(call).expect("open");
            }
        })
    });
    event_loop.run_forever();
    assert_eq!(left.load(Ordering::Relaxed), 0);
    for (thread, next) in threads.into_iter().zip(&*next) {
        thread.join().expect("all called");
        assert_eq!(next.load(Ordering::Relaxed), EACH);
    }
    assert_eq!(event_loop.next_timeout(), None);
}

#[test]
fn million_timers_fire_by_deadline_then_creation() {
    let _test = test();
    let clock = Clock::manual();
    let event_loop = Loop::builder().clock(clock.clone()).build().expect("made");
    let fired = Rc::new(RefCell::new(Vec::with_capacity(MILLION as usize)));
    // Each deadline has four timers, which are created far apart from each other.
    for n in 0..MILLION {
        let (after, fired) = (1 + n * 7919 % MILLION / 4, fired.clone());
        let delay = Duration::from_micros(after);
        event_loop.call_later(delay, move || fired.borrow_mut().push((after, n)));
    }
    for step in 1..=10 {
        clock.advance(Duration::from_micros(MILLION / 4 / 10));
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        assert_eq!(fired.borrow().len() as u64, MILLION / 10 * step);
    }
    let fired = fired.borrow();
    let wrong = fired.windows(2).find(|pair| pair[0] >= pair[1]);
    assert_eq!(wrong, None, "out of order");
    assert_eq!(event_loop.next_timeout(), None);
}
