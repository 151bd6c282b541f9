//! The loop inside another: driven by plain poll(2) over its descriptor, it does all that it does when it waits itself, and
//! `next_timeout` is all the time that poll(2) needs.

mod util;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sendloop::{Clock, Loop, Socket};
use util::*;

/// Where `next_timeout` says that only an event can make a turn, it comes within this time, or somebody was forgotten.
const FOR_EVER: Duration = Duration::from_secs(20);

/// Whether the loop's descriptor says within `limit` that a turn is due.
#[track_caller]
fn speaks(event_loop: &Loop, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).expect("a time");
    let mut fds = [PollFd::new(event_loop, PollFlags::IN)];
    match poll(&mut fds, Some(&limit)) {
        Err(Errno::INTR) => false,
        result => result.expect("a poll") == 1,
    }
}

/// Takes turns until `done`, each after a poll(2) of as long as the loop says, and gives their number.
#[track_caller]
fn drive(event_loop: &Loop, done: impl Fn() -> bool) -> usize {
    let mut turns = 0;
    while !done() {
        let timeout = event_loop.next_timeout();
        let spoke = speaks(event_loop, timeout.unwrap_or(FOR_EVER));
        assert!(
            spoke || timeout.is_some(),
            "nobody woke the loop, and no time was set"
        );
        event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
        turns += 1;
    }
    turns
}

/// A loop that has nothing to do says so: no time is set, and its descriptor is not readable.
#[track_caller]
fn assert_idle(event_loop: &Loop) {
    assert_eq!(event_loop.next_timeout(), None);
    assert!(!speaks(event_loop, Duration::ZERO), "the descriptor spins");
}

#[test]
fn timers_come_in_order_and_never_early_in_as_many_turns_as_there_are_deadlines() {
    let _test = test();
    let event_loop = new_loop();
    let (start, fired) = (event_loop.time(), Rc::new(RefCell::new(Vec::new())));
    for n in [3, 1, 4, 2, 5_u32] {
        let (handle, fired) = (event_loop.handle(), fired.clone());
        let when = start + Duration::from_millis(7) * n;
        event_loop.call_at(when, move || {
            assert!(handle.time() >= when);
            fired.borrow_mut().push(n);
        });
    }
    let turns = drive(&event_loop, || fired.borrow().len() == 5);
    assert_eq!(*fired.borrow(), [1, 2, 3, 4, 5]);
    assert!(turns <= 5, "{turns} turns");
    assert_idle(&event_loop);
}

#[test]
fn a_cancelled_timer_is_not_waited_for() {
    let _test = test();
    let event_loop = new_loop();
    let late = event_loop.call_later(Duration::from_secs(3600), || {});
    let early = event_loop.call_later(Duration::from_secs(60), || {});
    let minute = Duration::from_secs(60);
    assert!(event_loop.next_timeout().expect("a timer") <= minute);
    early.cancel();
    assert!(event_loop.next_timeout().expect("a timer") > minute);
    late.cancel();
    assert_idle(&event_loop);
}

#[test]
fn socket_traffic_goes_through_in_both_directions() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = narrow_unix();
    let (handle, peer) = (event_loop.handle(), far.try_clone().expect("a duplicate"));
    let sent = event_loop.create_task(async move {
        handle.sock_sendall(&near, &content(0, ODD)).await?;
        let mut received = Vec::new();
        while received.len() < ODD {
            received.extend(handle.sock_recv(&near, 4096).await?);
        }
        std::io::Result::Ok(received)
    });
    let echo = thread::spawn(move || {
        let mut all = vec![0; ODD];
        std::io::Read::read_exact(&mut &peer, &mut all).expect("all of it");
        (&peer).write_all(&all).expect("taken");
    });
    drive(&event_loop, || sent.done());
    echo.join().expect("echoed");
    let received = event_loop.run_until_complete(sent).expect("not cancelled");
    assert_content(&received.expect("received"), 0, ODD);
    drop(far);
    assert_idle(&event_loop);
}

#[test]
fn more_events_than_one_poll_takes_are_all_served() {
    let _test = test();
    const PAIRS: usize = 1500;
    let event_loop = new_loop();
    let received = Rc::new(Cell::new(0));
    let mut peers = Vec::new();
    for _ in 0..PAIRS {
        let (near, far) = Socket::pair().expect("a pair");
        let (handle, received) = (event_loop.handle(), received.clone());
        event_loop.create_task(async move {
            let got = handle.sock_recv(&near, 10).await.expect("received");
            received.set(received.get() + got.len());
        });
        peers.push(far);
    }
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
    for peer in &peers {
        peer.get_ref().write_all(b"x").expect("room");
    }
    let turns = drive(&event_loop, || received.get() == PAIRS);
    assert!(turns <= 8, "{turns} turns");
    assert_idle(&event_loop);
}

#[test]
fn a_call_from_another_thread_ends_the_poll() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
    assert_idle(&event_loop);
    let (remote, count) = (event_loop.remote(), Rc::new(Cell::new(0)));
    let (said, hears) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let caller = thread::spawn(move || {
        // One at a time: each finds the loop asleep.
        while wait.recv().is_ok() {
            let said = said.clone();
            let call = move || said.send(()).expect("heard");
            remote.call_soon_threadsafe(call).expect("open");
        }
    });
    for _ in 0..100 {
        go.send(()).expect("the thread lives");
        drive(&event_loop, || {
            count.set(count.get() + hears.try_iter().count());
            count.get() > 0
        });
        count.set(0);
        assert_idle(&event_loop);
    }
    drop(go);
    caller.join().expect("ended");
}

#[test]
fn tasks_make_tasks_and_wait_for_each_other() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    let sum = event_loop.create_task(async move {
        let mut tasks = Vec::new();
        for n in 0..100_u64 {
            let inside = handle.clone();
            tasks.push(handle.create_task(async move {
                inside.sleep(Duration::from_micros(n % 7)).await;
                inside.run_in_executor(move || n).await.expect("no panic")
            }));
        }
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("not cancelled");
        }
        sum
    });
    drive(&event_loop, || sum.done());
    assert_eq!(event_loop.run_until_complete(sum).expect("done"), 4950);
    assert_idle(&event_loop);
}

#[test]
fn moving_a_manual_clock_elsewhere_ends_the_poll() {
    let _test = test();
    let clock = Clock::manual();
    let event_loop = Loop::builder().clock(clock.clone()).build().expect("made");
    let sleeper = event_loop.create_task(event_loop.sleep(Duration::from_secs(3600)));
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
    let mover = thread::spawn(move || clock.advance(Duration::from_secs(3600)));
    let start = Instant::now();
    drive(&event_loop, || sleeper.done());
    assert!(start.elapsed() < FOR_EVER, "it was not woken");
    mover.join().expect("moved");
}

#[test]
fn the_turn_after_stop_is_due_at_once() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.call_later(Duration::from_secs(3600), || {});
    event_loop.stop();
    assert_eq!(event_loop.next_timeout(), Some(Duration::ZERO));
    event_loop.run_once(None).expect("it does not wait");
    assert!(event_loop.next_timeout().expect("a timer") > Duration::from_secs(60));
}
