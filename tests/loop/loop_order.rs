//! The order of callbacks, tasks, events and timers, and the effect of cancel.

use std::cell::RefCell;
use std::panic::panic_any;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::util::*;
use sendloop::{Socket, TimerHandle};

type Log = Rc<RefCell<Vec<u32>>>;

fn note(log: &Log, name: u32) -> impl FnOnce() + 'static {
    let log = log.clone();
    move || log.borrow_mut().push(name)
}

#[test]
fn callbacks_run_in_order_and_new_ones_in_the_next_iteration() {
    let _test = test();
    let (event_loop, log) = (new_loop(), Log::default());
    for name in 0..3 {
        let (handle, note, later) = (event_loop.handle(), note(&log, name), note(&log, name + 10));
        event_loop.call_soon(move || {
            note();
            handle.call_soon(later);
        });
    }
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [0, 1, 2]);
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [0, 1, 2, 10, 11, 12]);
}

#[test]
fn tasks_and_callbacks_share_one_queue() {
    let _test = test();
    let (event_loop, log) = (new_loop(), Log::default());
    for name in 0..6 {
        let first = note(&log, name);
        let then = note(&log, name + 10);
        let handle = event_loop.handle();
        if name % 2 == 0 {
            event_loop.create_task(async move {
                first();
                handle.sleep(Duration::ZERO).await;
                then();
            });
        } else {
            event_loop.call_soon(move || {
                first();
                handle.call_soon(then);
            });
        }
    }
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    let expected = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn timers_fire_by_deadline_then_creation_and_never_early() {
    let _test = test();
    let (event_loop, log) = (new_loop(), Log::default());
    let start = event_loop.time();
    let early = Rc::new(RefCell::new(0));
    let mut last = start;
    for (name, ms) in [(5, 7), (1, 2), (6, 7), (3, 4), (2, 2), (4, 4)] {
        let when = start + Duration::from_millis(ms);
        let (note, early) = (note(&log, name), early.clone());
        let timer = event_loop.call_at(when, move || {
            *early.borrow_mut() += u32::from(Instant::now() < when);
            note();
        });
        assert_eq!(timer.when(), when);
        last = last.max(when);
    }
    run_until(&event_loop, || log.borrow().len() == 6);
    assert_eq!(*log.borrow(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(*early.borrow(), 0);
}

#[test]
fn many_short_timers_never_fire_early() {
    let _test = test();
    let event_loop = new_loop();
    for micros in (1..300).chain([999, 1000, 1001, 1999]) {
        let delay = Duration::from_micros(micros);
        let start = Instant::now();
        event_loop.run_until_complete(event_loop.sleep(delay));
        assert!(start.elapsed() >= delay, "{delay:?}");
    }
}

#[test]
fn events_precede_timers_and_follow_queued_callbacks() {
    let _test = test();
    let ((event_loop, clock), log) = (manual_loop(), Log::default());
    let (near, far) = Socket::pair().expect("a pair");
    let (handle, received) = (event_loop.handle(), note(&log, 2));
    let task = event_loop.create_task(async move {
        let bytes = handle.sock_recv(&near, 10).await;
        received();
        bytes
    });
    event_loop.call_later(Duration::from_secs(1), note(&log, 3));
    run_iteration(&event_loop);
    event_loop.call_soon(note(&log, 1));
    let sent = send_one_byte(far);
    clock.advance(Duration::from_secs(1));
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1, 2, 3]);
    let bytes = event_loop.run_until_complete(task).expect("a result");
    assert_eq!(bytes.expect("received"), b"x");
    drop(sent);
}

/// Sends one byte without a loop.
fn send_one_byte(socket: Socket<std::os::unix::net::UnixStream>) -> impl Sized {
    use std::io::Write;
    let mut stream = socket.into_inner();
    stream.write_all(b"x").expect("room");
    stream
}

#[test]
fn a_cancelled_callback_frees_what_it_holds_at_once() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    let (one, other) = (held.clone(), held.clone());
    let soon = event_loop.call_soon(move || drop(one));
    let later = event_loop.call_later(Duration::MAX, move || drop(other));
    assert!(!soon.cancelled() && !later.cancelled());
    assert_eq!(Rc::strong_count(&held), 3);
    soon.cancel();
    assert_eq!(Rc::strong_count(&held), 2);
    later.clone().cancel();
    later.cancel();
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(soon.cancelled() && later.cancelled());
    run_iteration(&event_loop);
    assert_eq!(event_loop.next_timeout(), None);
}

#[test]
fn dropping_a_handle_does_not_cancel() {
    let _test = test();
    let ((event_loop, clock), log) = (manual_loop(), Log::default());
    drop(event_loop.call_soon(note(&log, 1)));
    drop(event_loop.call_later(Duration::from_secs(1), note(&log, 2)));
    run_iteration(&event_loop);
    clock.advance(Duration::from_secs(1));
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1, 2]);
}

#[test]
fn callback_cancelled_by_an_earlier_one_does_not_run() {
    let _test = test();
    let ((event_loop, clock), log) = (manual_loop(), Log::default());
    let victims: Rc<RefCell<Vec<TimerHandle>>> = Rc::default();
    let hit = victims.clone();
    event_loop.call_later(Duration::from_secs(1), move || {
        hit.borrow().iter().for_each(TimerHandle::cancel);
    });
    for name in 0..300 {
        let victim = event_loop.call_later(Duration::from_secs(1), note(&log, name));
        victims.borrow_mut().push(victim);
    }
    event_loop.call_later(Duration::from_secs(1), note(&log, 1000));
    clock.advance(Duration::from_secs(1));
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1000]);
    assert_eq!(event_loop.next_timeout(), None);

    let second = Rc::new(RefCell::new(None));
    let hit = second.clone();
    event_loop.call_soon(move || {
        let handle: Option<sendloop::Handle> = hit.take();
        handle.expect("queued").cancel();
    });
    second.replace(Some(event_loop.call_soon(note(&log, 1))));
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1000]);
}

#[test]
fn past_deadline_fires_in_the_next_iteration_and_max_delay_never() {
    let _test = test();
    let ((event_loop, clock), log) = (manual_loop(), Log::default());
    let past = event_loop.time();
    clock.advance(Duration::from_secs(5));
    event_loop.call_later(Duration::MAX, note(&log, 9));
    event_loop.call_at(past, note(&log, 2));
    event_loop.call_at(past - Duration::from_secs(1), note(&log, 1));
    assert_eq!(event_loop.next_timeout(), Some(Duration::ZERO));
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1, 2]);
    let sleeper = event_loop.create_task(event_loop.sleep(Duration::MAX));
    let waiter = event_loop.wait_for(std::future::pending::<()>(), Duration::MAX);
    let waiter = event_loop.create_task(waiter);
    clock.advance(Duration::from_secs(50 * 365 * 24 * 3600));
    run_iteration(&event_loop);
    assert!(!sleeper.done() && !waiter.done() && log.borrow().len() == 2);
}

#[test]
fn panic_in_a_callback_leaves_the_loop_running() {
    let _test = test();
    let (event_loop, log) = (new_loop(), Log::default());
    event_loop.call_soon(|| panic!("an expected panic"));
    event_loop.call_soon(note(&log, 1));
    event_loop.call_later(Duration::ZERO, || panic!("an expected panic"));
    run_until(&event_loop, || event_loop.next_timeout().is_none());
    assert_eq!(*log.borrow(), [1]);
}

#[test]
fn panic_payload_of_a_callback_may_panic_on_drop() {
    let _test = test();
    let (event_loop, log) = (new_loop(), Log::default());
    event_loop.call_soon(|| panic_any(PanicsOnDrop));
    event_loop.call_soon(note(&log, 1));
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1]);
}
