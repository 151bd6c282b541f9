//! A new loop in a forked child works in all its parts.

use std::io::Write;
use std::time::Duration;

use sendloop::{Clock, Loop};

use super::child::{forks, in_child};
use super::util::*;

/// Tries each part of a new loop.
#[track_caller]
pub(crate) fn assert_works() {
    let own = new_loop();
    let (socket, far) = unix();
    let remote = own.remote();
    let received = own.run_until_complete(async {
        let work = own.run_in_executor(move || {
            (&far).write_all(b"hello").expect("room");
            drop(far);
            21
        });
        let received = own.sock_recv(&socket, 100).await.expect("received");
        own.sleep(Duration::from_millis(1)).await;
        let doubled = own.create_task(async move { 2 * work.await.expect("no panic") });
        assert_eq!(doubled.await.expect("no panic"), 42);
        let names = own.getaddrinfo("127.0.0.1", 80).await;
        assert_eq!(names.expect("an address").len(), 1);
        received
    });
    assert_eq!(received, b"hello");
    let (called, calls) = (own.handle(), remote.clone());
    own.call_later(Duration::from_millis(1), move || {
        let _called = called;
        std::thread::spawn(move || calls.stop());
    });
    own.run_forever();
}

#[test]
fn new_loop_works_beside_an_inherited_one() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let worked = event_loop.run_in_executor(|| {});
        event_loop.run_until_complete(worked).expect("no panic");
        in_child(*fork, assert_works);
        assert_works();
    }
}

#[test]
fn a_new_loop_works_in_a_child_of_a_process_without_loops() {
    let _test = test();
    for fork in forks() {
        in_child(*fork, || {
            assert_works();
            in_child(*fork, assert_works);
        });
    }
}

#[test]
fn a_clock_that_a_child_inherits_moves_the_childs_loop() {
    let _test = test();
    for fork in forks() {
        let clock = Clock::manual();
        let build = || Loop::builder().clock(clock.clone()).build();
        let event_loop = build().expect("a loop");
        in_child(*fork, || {
            let own = build().expect("a loop");
            let sleeper = own.create_task(own.sleep(Duration::from_secs(60)));
            own.run_once(Some(Duration::ZERO)).expect("an iteration");
            clock.advance(Duration::from_secs(60));
            own.run_until_complete(sleeper).expect("slept");
        });
        drop(event_loop);
    }
}
