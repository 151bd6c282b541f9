//! The loop inside another loop. An embedder that polls only the loop's descriptor runs everything
//! that the loop runs when it waits itself.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::Write;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::embedder::*;
use crate::util::*;
#[cfg(target_os = "linux")]
use rustix::event::Timespec;
use sendloop::{Clock, Loop, Socket};

#[test]
fn timers_fire_in_order_with_one_iteration_per_deadline() {
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
    let iterations = drive(&event_loop, || fired.borrow().len() == 5);
    assert_eq!(*fired.borrow(), [1, 2, 3, 4, 5]);
    assert!(iterations <= 5, "{iterations} iterations");
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
fn embedded_loop_moves_bytes_in_both_directions() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
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
    run_iteration(&event_loop);
    for peer in &peers {
        peer.get_ref().write_all(b"x").expect("room");
    }
    let iterations = drive(&event_loop, || received.get() == PAIRS);
    assert!(iterations <= 8, "{iterations} iterations");
    assert_idle(&event_loop);
}

#[test]
fn a_call_from_another_thread_ends_the_poll() {
    let _test = test();
    let event_loop = new_loop();
    run_iteration(&event_loop);
    assert_idle(&event_loop);
    let (remote, count) = (event_loop.remote(), Rc::new(Cell::new(0)));
    let (called, calls) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let caller = thread::spawn(move || {
        // One call at a time, so that each finds the loop asleep.
        while wait.recv().is_ok() {
            let called = called.clone();
            let call = move || called.send(()).expect("the test receives");
            remote.call_soon_threadsafe(call).expect("open");
        }
    });
    for _ in 0..100 {
        go.send(()).expect("the thread lives");
        drive(&event_loop, || {
            count.set(count.get() + calls.try_iter().count());
            count.get() > 0
        });
        count.set(0);
        assert_idle(&event_loop);
    }
    drop(go);
    caller.join().expect("ended");
}

#[test]
fn tasks_may_spawn_and_await_tasks() {
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
fn advancing_a_manual_clock_ends_the_poll() {
    let _test = test();
    let clock = Clock::manual();
    let event_loop = Loop::builder().clock(clock.clone()).build().expect("made");
    let sleeper = event_loop.create_task(event_loop.sleep(Duration::from_secs(3600)));
    run_iteration(&event_loop);
    let mover = thread::spawn(move || clock.advance(Duration::from_secs(3600)));
    let start = Instant::now();
    drive(&event_loop, || sleeper.done());
    assert!(start.elapsed() < HANG_TIMEOUT, "the descriptor was not readable in time");
    mover.join().expect("moved");
}

#[test]
fn iteration_after_stop_is_due_at_once() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.call_later(Duration::from_secs(3600), || {});
    event_loop.stop();
    assert_eq!(event_loop.next_timeout(), Some(Duration::ZERO));
    event_loop.run_once(None).expect("an iteration");
    assert!(event_loop.next_timeout().expect("a timer") > Duration::from_secs(60));
}

/// Queues work outside of a run. The work sets the flag.
type Queue = fn(&Loop, Rc<Cell<bool>>);

#[test]
fn work_queued_outside_a_run_makes_the_descriptor_readable() {
    let _test = test();
    let ways: [(&str, Queue); 8] = [
        ("call_soon", |event_loop, ran| {
            event_loop.call_soon(move || ran.set(true));
        }),
        ("create_task", |event_loop, ran| {
            event_loop.create_task(async move { ran.set(true) });
        }),
        ("a result", |event_loop, ran| {
            let (promise, result) = event_loop.create_future();
            event_loop.create_task(async move { ran.set(result.await.expect("set")) });
            run_iteration(event_loop);
            assert!(!becomes_readable(event_loop, Duration::ZERO));
            promise.set_result(true).expect("a task waits");
        }),
        ("a cancelled task", |event_loop, ran| {
            let task = event_loop.create_task(pending::<()>());
            task.add_done_callback(move || ran.set(true));
            run_iteration(event_loop);
            assert!(!becomes_readable(event_loop, Duration::ZERO));
            task.cancel();
        }),
        ("a waker", |event_loop, ran| {
            let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
            let leaves = waker.clone();
            event_loop.create_task(poll_fn(move |cx| {
                ran.set(leaves.replace(Some(cx.waker().clone())).is_some());
                Poll::<()>::Pending
            }));
            run_iteration(event_loop);
            assert!(!becomes_readable(event_loop, Duration::ZERO));
            waker.borrow().as_ref().expect("polled").wake_by_ref();
        }),
        ("a timer that is due", |event_loop, ran| {
            event_loop.call_at(event_loop.time(), move || ran.set(true));
        }),
        ("an earlier timer", |event_loop, ran| {
            event_loop.call_later(Duration::from_secs(3600), || {});
            run_iteration(event_loop);
            event_loop.call_later(Duration::from_millis(5), move || ran.set(true));
        }),
        ("a sleep", |event_loop, ran| {
            event_loop.call_later(Duration::from_secs(3600), || {});
            let sleep = event_loop.sleep(Duration::from_millis(5));
            event_loop.create_task(async move {
                sleep.await;
                ran.set(true);
            });
            run_iteration(event_loop);
        }),
    ];
    for (way, queue) in ways {
        if !HAS_TIMER && (way == "an earlier timer" || way == "a sleep") {
            continue;
        }
        let event_loop = new_loop();
        assert!(!becomes_readable(&event_loop, Duration::ZERO));
        let ran = Rc::new(Cell::new(false));
        queue(&event_loop, ran.clone());
        for _ in 0..2 {
            assert!(becomes_readable(&event_loop, HANG_TIMEOUT), "{way}: not readable");
        }
        assert!(!ran.get(), "{way}");
        // The end of a sleep wakes its task, which runs an iteration later.
        let iterations = drive(&event_loop, || ran.get());
        assert_eq!(iterations, 1 + usize::from(way == "a sleep"), "{way}");
        assert!(!becomes_readable(&event_loop, Duration::ZERO), "{way}: spins");
    }
}

#[test]
fn stop_makes_the_descriptor_readable() {
    let _test = test();
    let event_loop = new_loop();
    assert_idle(&event_loop);
    event_loop.stop();
    assert!(becomes_readable(&event_loop, Duration::ZERO));
    run_iteration(&event_loop);
    assert_idle(&event_loop);
}

#[test]
fn work_that_an_iteration_leaves_keeps_the_descriptor_readable() {
    let _test = test();
    let event_loop = new_loop();
    let task = event_loop.create_task({
        let handle = event_loop.handle();
        async move {
            for _ in 0..10 {
                handle.sleep(Duration::ZERO).await;
            }
        }
    });
    assert_eq!(drive(&event_loop, || task.done()), 11);
    assert_idle(&event_loop);
}

#[test]
fn far_timer_does_not_make_the_descriptor_readable() {
    let _test = test();
    let event_loop = new_loop();
    for delay in [Duration::from_secs(3600), Duration::MAX] {
        event_loop.call_later(delay, || {});
        assert!(!becomes_readable(&event_loop, Duration::ZERO));
    }
    run_iteration(&event_loop);
    assert!(!becomes_readable(&event_loop, Duration::from_millis(50)));
}

#[test]
fn cancelled_timer_does_not_make_the_descriptor_readable() {
    let _test = test();
    let event_loop = new_loop();
    let brief = Duration::from_millis(20);
    let timer = event_loop.call_later(brief, || {});
    let sleeper = event_loop.create_task(event_loop.sleep(brief));
    run_iteration(&event_loop);
    timer.cancel();
    sleeper.cancel();
    assert!(!becomes_readable(&event_loop, brief * 5));
    assert_idle(&event_loop);
}

#[test]
fn timer_expires_while_the_embedder_is_busy() {
    let _test = test();
    let event_loop = new_loop();
    let ran = Rc::new(Cell::new(0));
    let count = ran.clone();
    let when = event_loop.time() + Duration::from_millis(3);
    event_loop.call_at(when, move || count.set(count.get() + 1));
    assert!(
        HAS_TIMER != becomes_readable(&event_loop, Duration::ZERO) || event_loop.time() >= when
    );
    while event_loop.time() < when {}
    // The timer has fired by now. More work and another timer do not hide that.
    event_loop.call_later(Duration::from_secs(3600), || {});
    assert!(becomes_readable(&event_loop, Duration::ZERO));
    run_iteration(&event_loop);
    assert_eq!(ran.get(), 1);
    assert!(!becomes_readable(&event_loop, Duration::ZERO));
}

#[test]
fn run_methods_leave_the_descriptor_as_run_once_does() {
    let _test = test();
    let event_loop = new_loop();
    assert_idle(&event_loop);
    let handle = event_loop.handle();
    event_loop.run_until_complete(async { handle.call_later(Duration::from_millis(5), || {}) });
    assert!(!HAS_TIMER || becomes_readable(&event_loop, HANG_TIMEOUT));
    event_loop.run_until_idle().expect("idle");
    assert_idle(&event_loop);
    // Work that the last iteration queues stays for the next run.
    event_loop.run_until_complete(async {
        let again = handle.clone();
        handle.call_soon(move || drop(again.call_soon(|| {})));
    });
    assert!(becomes_readable(&event_loop, Duration::ZERO));
    run_iteration(&event_loop);
    assert_idle(&event_loop);
}

#[test]
fn first_use_of_the_descriptor_may_be_inside_a_task() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        event_loop.call_later(Duration::from_millis(5), || {});
        let _descriptor = event_loop.as_fd();
        event_loop.sleep(Duration::ZERO).await;
    });
    assert_eq!(drive(&event_loop, || event_loop.next_timeout().is_none()), 1);
    assert_idle(&event_loop);
}

#[test]
fn loop_without_embedder_has_no_timer_and_makes_no_system_call() {
    let _test = test();
    let event_loop = new_loop();
    let before = (descriptors(), event_loop.stats());
    let timer = event_loop.call_later(Duration::from_secs(3600), || {});
    event_loop.call_soon(|| {});
    timer.cancel();
    event_loop.stop();
    event_loop.run_forever();
    let stats = event_loop.stats();
    assert_eq!(stats.registrations, before.1.registrations);
    assert_eq!((stats.polls, stats.events), (0, 0));
    assert_eq!(descriptors(), before.0);
    let _descriptor = event_loop.as_fd();
    assert_eq!(descriptors(), before.0 + usize::from(HAS_TIMER));
}

#[test]
fn loop_inside_another_sendloop_wakes_its_reader() {
    let _test = test();
    let (outer, inner) = (new_loop(), new_loop());
    let sleep = inner.sleep(Duration::from_millis(5));
    let handle = inner.handle();
    let task = inner.create_task(async move {
        sleep.await;
        let work = handle.run_in_executor(|| 3).await.expect("ran");
        handle.sleep(Duration::from_millis(5)).await;
        work
    });
    let due = Rc::new(Cell::new(false));
    let is_due = due.clone();
    outer.add_reader(&inner, move || is_due.set(true)).expect("registered");
    let mut iterations = 0;
    while !task.done() {
        outer.run_once(Some(HANG_TIMEOUT)).expect("an iteration");
        // A callback of the outer loop cannot run the inner one: a loop runs on this thread.
        if due.take() {
            run_iteration(&inner);
            iterations += 1;
        }
    }
    assert!(iterations < 12, "{iterations} iterations");
    assert_eq!(inner.run_until_complete(task).expect("done"), 3);
    outer.run_until_idle().expect("idle");
    assert!(outer.remove_reader(&inner));
}

#[cfg(target_os = "linux")]
#[test]
fn level_triggered_foreign_epoll_runs_the_loop() {
    use rustix::event::epoll;

    let _test = test();
    let event_loop = new_loop();
    let foreign = epoll::create(epoll::CreateFlags::CLOEXEC).expect("created");
    let data = epoll::EventData::new_u64(7);
    epoll::add(&foreign, &event_loop, data, epoll::EventFlags::IN).expect("added");
    let (remote, ticks) = (event_loop.remote(), Rc::new(Cell::new(0)));
    let (handle, counts) = (event_loop.handle(), ticks.clone());
    event_loop.create_task(async move {
        for _ in 0..5 {
            handle.sleep(Duration::from_millis(2)).await;
            counts.set(counts.get() + 1);
        }
    });
    let caller = thread::spawn(move || remote.call_soon_threadsafe(|| {}));
    let limit = Timespec::try_from(HANG_TIMEOUT).expect("a time");
    let mut iterations = 0;
    while ticks.get() < 5 {
        let mut events = Vec::with_capacity(4);
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&foreign, spare, Some(&limit)).expect("waited");
        assert_eq!(events.len(), 1, "events of epoll for the loop's descriptor");
        run_iteration(&event_loop);
        iterations += 1;
    }
    caller.join().expect("called").expect("open");
    // One to begin, two for each sleep, one for the call.
    assert!(iterations <= 12, "{iterations} iterations");
}

#[test]
fn paused_clock_makes_the_descriptor_readable_if_it_would_jump() {
    let _test = test();
    let built = Loop::builder().clock(Clock::paused()).build();
    let event_loop = built.expect("a loop");
    assert_idle(&event_loop);
    let (start, hour) = (event_loop.time(), Duration::from_secs(3600));
    let sleeper = event_loop.create_task(event_loop.sleep(hour));
    while !sleeper.done() {
        assert!(becomes_readable(&event_loop, Duration::ZERO));
        let jump = event_loop.next_timeout();
        event_loop.run_once(jump).expect("an iteration");
    }
    assert_eq!(event_loop.time() - start, hour);
    // An executor job prevents the jump until it ends, even if no task waits for it.
    event_loop.call_later(hour, || {});
    let (release, released) = mpsc::channel::<()>();
    drop(event_loop.run_in_executor(move || released.recv()));
    run_iteration(&event_loop);
    assert!(!becomes_readable(&event_loop, Duration::from_millis(20)));
    drop(release);
    assert!(becomes_readable(&event_loop, HANG_TIMEOUT));
}
