//! Timers and sleeping.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use sendloop::{Loop, TimerHandle};

use crate::scene::{Named, Scene, joined, mains, millis, plain};

pub(crate) const ALL: &[&[Named]] = &[
    plain![
        by_deadline,
        three_equal_deadlines,
        six_equal_deadlines,
        a_cancelled_timer,
        a_timer_cancels_one_of_its_iteration,
        a_zero_delay_follows_queued_callbacks,
        a_deadline_in_the_past,
        late_timers_run_in_one_iteration,
        a_timer_sets_a_timer,
        a_timer_stops_the_loop,
    ],
    mains![
        sleepers_wake_by_deadline,
        a_sleeper_wakes_an_iteration_after_its_timer,
        sleep_counts_from_the_first_await,
    ],
];

/// Returns a callback that records a word and stops the loop.
fn last(s: &Scene, word: &'static str) -> impl FnOnce() + 'static {
    s.with(move |s| {
        s.record(word);
        s.stop();
    })
}

fn by_deadline(event_loop: &Loop, s: &Scene) {
    let start = s.time();
    for (word, delay) in [("late", 25), ("early", 5), ("middle", 15)] {
        s.call_at(start + millis(delay), s.word(word));
    }
    s.call_at(start + millis(35), s.with(|s| s.stop()));
    event_loop.run_forever();
}

fn three_equal_deadlines(event_loop: &Loop, s: &Scene) {
    let when = s.time() + millis(5);
    s.call_at(when, s.word("a"));
    s.call_at(when, s.word("b"));
    s.call_at(when, last(s, "c"));
    event_loop.run_forever();
}

fn six_equal_deadlines(event_loop: &Loop, s: &Scene) {
    let when = s.time() + millis(5);
    for word in ["a", "b", "c", "d", "e", "f"] {
        s.call_at(when, s.word(word));
    }
    s.call_at(when + millis(20), s.with(|s| s.stop()));
    event_loop.run_forever();
}

fn a_cancelled_timer(event_loop: &Loop, s: &Scene) {
    let start = s.time();
    let handle = s.call_at(start + millis(5), s.word("never"));
    s.call_at(start + millis(20), last(s, "later"));
    handle.cancel();
    s.record(handle.cancelled());
    event_loop.run_forever();
}

fn a_timer_cancels_one_of_its_iteration(event_loop: &Loop, s: &Scene) {
    let when = s.time() + millis(5);
    let other: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
    let (to_cancel, cancelled) = (other.clone(), other.clone());
    let first = s.with(move |s| {
        s.record("a");
        to_cancel.borrow().as_ref().expect("a handle").cancel();
    });
    s.call_at(when, first);
    *other.borrow_mut() = Some(s.call_at(when, s.word("never")));
    let later = s.with(move |s| {
        let cancelled = cancelled.borrow().as_ref().map(TimerHandle::cancelled);
        s.record(format!("later-{}", cancelled.expect("a handle")));
        s.stop();
    });
    s.call_at(when + millis(15), later);
    event_loop.run_forever();
}

fn a_zero_delay_follows_queued_callbacks(event_loop: &Loop, s: &Scene) {
    s.call_later(Duration::ZERO, s.word("timer"));
    s.soon(|s| {
        s.record("soon");
        s.call_soon(last(s, "next"));
    });
    event_loop.run_forever();
}

fn a_deadline_in_the_past(event_loop: &Loop, s: &Scene) {
    s.call_soon(s.word("soon"));
    let past = s.time().checked_sub(Duration::from_secs(1));
    s.call_at(past.expect("the system is up for a second"), last(s, "past"));
    event_loop.run_forever();
}

fn late_timers_run_in_one_iteration(event_loop: &Loop, s: &Scene) {
    s.soon(|s| {
        let start = s.time();
        let second = s.with(|s| {
            s.record("second");
            s.call_soon(last(s, "second-next"));
        });
        let first = s.with(|s| {
            s.record("first");
            s.call_soon(s.word("first-next"));
        });
        s.call_at(start + millis(10), second);
        s.call_at(start + millis(5), first);
        s.call_soon(s.word("queued"));
        thread::sleep(millis(15));
        s.record("held");
    });
    event_loop.run_forever();
}

fn a_timer_sets_a_timer(event_loop: &Loop, s: &Scene) {
    let first = s.with(|s| {
        s.record("first");
        s.call_later(millis(5), last(s, "second"));
        s.call_soon(s.word("soon"));
    });
    s.call_later(millis(5), first);
    event_loop.run_forever();
}

fn a_timer_stops_the_loop(event_loop: &Loop, s: &Scene) {
    let first = s.with(|s| {
        s.record("first");
        s.call_later(millis(5), last(s, "second"));
        s.stop();
    });
    s.call_later(millis(5), first);
    for _ in 0..2 {
        event_loop.run_forever();
        s.record("end");
    }
}

async fn sleepers_wake_by_deadline(s: Scene) {
    let tasks = [("short", 5), ("long", 30)].map(|(word, delay)| {
        s.task(async move |s| {
            s.sleep(millis(delay)).await;
            s.record(word);
        })
    });
    for task in tasks.into_iter().rev() {
        joined(task).await;
    }
}

async fn a_sleeper_wakes_an_iteration_after_its_timer(s: Scene) {
    let task = s.task(async |s| {
        s.sleep(millis(5)).await;
        s.record("awake");
    });
    s.run_iterations(1).await;
    thread::sleep(millis(10));
    s.soon(|s| {
        s.soon(|s| {
            s.record("second");
            s.call_soon(s.word("third"));
        });
    });
    joined(task).await;
    s.run_iterations(2).await;
}

async fn sleep_counts_from_the_first_await(s: Scene) {
    let sleep = s.sleep(millis(10));
    let start = s.time();
    // A callback one iteration after its timer, as a sleeper is. The order also holds if both are
    // due at once.
    let timer = s.with(|s| {
        s.call_soon(s.word("timer"));
    });
    s.call_at(start + millis(25), timer);
    thread::sleep(millis(20));
    sleep.await;
    s.record("slept");
    s.sleep(millis(30)).await;
}
