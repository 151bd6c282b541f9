//! Time: a clock that a test moves, and what waits for it.

mod util;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sendloop::{Clock, Loop, Socket, TimeoutError};
use util::*;

const SECOND: Duration = Duration::from_secs(1);

fn manual() -> (Loop, Clock) {
    let clock = Clock::manual();
    let built = Loop::builder().clock(clock.clone()).build();
    (built.expect("a loop"), clock)
}

#[track_caller]
fn turn(event_loop: &Loop) {
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
}

#[test]
fn timers_fire_only_when_the_clock_reaches_them_and_in_order() {
    let _test = test();
    let (event_loop, clock) = manual();
    let log = Rc::new(RefCell::new(Vec::new()));
    for seconds in [3, 1, 2, 10] {
        let log = log.clone();
        event_loop.call_later(SECOND * seconds, move || log.borrow_mut().push(seconds));
    }
    turn(&event_loop);
    clock.advance(SECOND - Duration::from_nanos(1));
    turn(&event_loop);
    assert!(log.borrow().is_empty());
    assert_eq!(event_loop.next_timeout(), Some(Duration::from_nanos(1)));
    clock.advance(Duration::from_nanos(1));
    turn(&event_loop);
    assert_eq!(*log.borrow(), [1]);
    clock.advance(SECOND * 5);
    turn(&event_loop);
    assert_eq!(*log.borrow(), [1, 2, 3]);
    let start = event_loop.time();
    clock.advance(SECOND);
    assert_eq!(event_loop.time() - start, SECOND);
}

#[test]
fn an_advance_inside_a_callback_fires_in_the_next_turn() {
    let _test = test();
    let (event_loop, clock) = manual();
    let fired = Rc::new(Cell::new(false));
    let fires = fired.clone();
    event_loop.call_later(SECOND, move || fires.set(true));
    event_loop.call_soon(move || clock.advance(SECOND));
    event_loop.run_once(None).expect("a turn");
    assert!(!fired.get());
    event_loop.run_once(None).expect("a turn");
    assert!(fired.get());
}

#[test]
fn an_advance_from_another_thread_wakes_a_loop_that_waits() {
    let _test = test();
    let (event_loop, clock) = manual();
    let (go, gone) = mpsc::channel();
    let mover = thread::spawn(move || {
        while gone.recv().is_ok() {
            clock.advance(SECOND * 3600);
        }
    });
    event_loop.run_until_complete(async {
        for _ in 0..1000 {
            let sleep = event_loop.sleep(SECOND * 3600);
            go.send(()).expect("the other thread");
            sleep.await;
        }
    });
    drop(go);
    mover.join().expect("ended");
}

#[test]
fn two_loops_may_go_by_one_clock_and_one_may_end() {
    let _test = test();
    let (one, clock) = manual();
    let built = Loop::builder().clock(clock.clone()).build();
    let two = built.expect("a loop");
    let sleeper = two.create_task(two.sleep(SECOND));
    turn(&two);
    drop(one);
    clock.advance(SECOND);
    two.run_until_complete(sleeper).expect("slept");
    drop(two);
    clock.advance(SECOND);
}

#[test]
fn a_sleep_counts_from_its_call() {
    let _test = test();
    let (event_loop, clock) = manual();
    let sleep = event_loop.sleep(SECOND * 2);
    clock.advance(SECOND * 2);
    event_loop.run_until_complete(sleep);
    let waiting = event_loop.wait_for(pending::<()>(), SECOND * 2);
    clock.advance(SECOND * 2);
    let waited = event_loop.run_until_complete(waiting);
    assert_eq!(waited, Err(TimeoutError));
}

#[test]
fn a_dropped_sleep_takes_its_timer_with_it() {
    let _test = test();
    let (event_loop, _clock) = manual();
    let task = event_loop.create_task(event_loop.sleep(SECOND));
    turn(&event_loop);
    assert_eq!(event_loop.next_timeout(), Some(SECOND));
    task.cancel();
    drop(task);
    assert_eq!(event_loop.next_timeout(), None);
    for _ in 0..10_000 {
        let waited = event_loop.wait_for(ready(1), SECOND);
        assert_eq!(event_loop.run_until_complete(waited), Ok(1));
    }
    assert_eq!(event_loop.next_timeout(), None);
}

#[test]
fn what_ran_out_of_time_is_dropped_before_the_error_is_there() {
    let _test = test();
    let (event_loop, clock) = manual();
    let held = Rc::new(());
    let inside = held.clone();
    let waited = event_loop.wait_for(
        async move {
            pending::<()>().await;
            drop(inside);
        },
        SECOND,
    );
    event_loop.call_soon(move || clock.advance(SECOND));
    event_loop.run_until_complete(async {
        assert_eq!(waited.await, Err(TimeoutError));
        assert_eq!(Rc::strong_count(&held), 1);
    });
}

#[test]
fn what_is_ready_when_its_time_runs_out_has_not_timed_out() {
    let _test = test();
    let (event_loop, clock) = manual();
    let (promise, future) = event_loop.create_future();
    let task = event_loop.create_task(event_loop.wait_for(future, SECOND));
    turn(&event_loop);
    clock.advance(SECOND);
    promise.set_result(5).expect("somebody waits");
    let result = event_loop.run_until_complete(task).expect("a result");
    assert_eq!(result.expect("in time").expect("set"), 5);
}

#[test]
fn no_time_at_all_is_one_poll() {
    let _test = test();
    let (event_loop, _clock) = manual();
    let polls = Cell::new(0);
    event_loop.run_until_complete(async {
        let counted = std::future::poll_fn(|_| {
            polls.set(polls.get() + 1);
            std::task::Poll::<()>::Pending
        });
        let waited = event_loop.wait_for(counted, Duration::ZERO).await;
        assert_eq!(waited, Err(TimeoutError));
        assert_eq!(polls.get(), 1);
        let waited = event_loop.wait_for(ready(4), Duration::ZERO).await;
        assert_eq!(waited, Ok(4));
    });
    assert_eq!(event_loop.stats().turns, 2);
}

#[test]
fn no_time_at_all_still_takes_what_is_there_as_often_as_it_is_there() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    event_loop.run_until_complete(async {
        let bytes = content(0, 300);
        event_loop.sock_sendall(&far, &bytes).await.expect("room");
        for n in 0..300 {
            let one = event_loop.wait_for(event_loop.sock_recv(&near, 1), Duration::ZERO);
            let one = one.await;
            assert!(one.is_ok(), "byte {n} is there, and it says {one:?}");
        }
    });
}
