//! Manual and paused clocks, and the timers and sleeps that use them.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{Clock, Loop, Socket, TimeoutError};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn timers_fire_only_when_the_clock_reaches_them_and_in_order() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let log = Rc::new(RefCell::new(Vec::new()));
    for seconds in [3, 1, 2, 10] {
        let log = log.clone();
        event_loop.call_later(SECOND * seconds, move || log.borrow_mut().push(seconds));
    }
    run_iteration(&event_loop);
    clock.advance(SECOND - Duration::from_nanos(1));
    run_iteration(&event_loop);
    assert!(log.borrow().is_empty());
    assert_eq!(event_loop.next_timeout(), Some(Duration::from_nanos(1)));
    clock.advance(Duration::from_nanos(1));
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1]);
    clock.advance(SECOND * 5);
    run_iteration(&event_loop);
    assert_eq!(*log.borrow(), [1, 2, 3]);
    let start = event_loop.time();
    clock.advance(SECOND);
    assert_eq!(event_loop.time() - start, SECOND);
}

#[test]
fn advance_in_a_callback_fires_in_the_next_iteration() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let fired = Rc::new(Cell::new(false));
    let fires = fired.clone();
    event_loop.call_later(SECOND, move || fires.set(true));
    event_loop.call_soon(move || clock.advance(SECOND));
    event_loop.run_once(None).expect("an iteration");
    assert!(!fired.get());
    event_loop.run_once(None).expect("an iteration");
    assert!(fired.get());
}

#[test]
fn advance_from_another_thread_wakes_the_loop() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let (release, released) = mpsc::channel();
    let mover = thread::spawn(move || {
        while released.recv().is_ok() {
            clock.advance(SECOND * 3600);
        }
    });
    event_loop.run_until_complete(async {
        for _ in 0..1000 {
            let sleep = event_loop.sleep(SECOND * 3600);
            release.send(()).expect("the other thread");
            sleep.await;
        }
    });
    drop(release);
    mover.join().expect("ended");
}

#[test]
fn two_loops_share_a_clock_and_one_may_end() {
    let _test = test();
    let (one, clock) = manual_loop();
    let built = Loop::builder().clock(clock.clone()).build();
    let two = built.expect("a loop");
    let sleeper = two.create_task(two.sleep(SECOND));
    run_iteration(&two);
    drop(one);
    clock.advance(SECOND);
    two.run_until_complete(sleeper).expect("slept");
    drop(two);
    clock.advance(SECOND);
}

#[test]
fn a_sleep_counts_from_its_call() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let sleep = event_loop.sleep(SECOND * 2);
    clock.advance(SECOND * 2);
    event_loop.run_until_complete(sleep);
    let waiting = event_loop.wait_for(pending::<()>(), SECOND * 2);
    clock.advance(SECOND * 2);
    let waited = event_loop.run_until_complete(waiting);
    assert_eq!(waited, Err(TimeoutError));
}

#[test]
fn dropped_sleep_cancels_its_timer() {
    let _test = test();
    let (event_loop, _clock) = manual_loop();
    let task = event_loop.create_task(event_loop.sleep(SECOND));
    run_iteration(&event_loop);
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
fn wait_for_drops_the_future_before_it_returns_the_error() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
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
fn wait_for_prefers_a_ready_result_to_the_timeout() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let (promise, future) = event_loop.create_future();
    let task = event_loop.create_task(event_loop.wait_for(future, SECOND));
    run_iteration(&event_loop);
    clock.advance(SECOND);
    promise.set_result(5).expect("the future waits");
    let result = event_loop.run_until_complete(task).expect("a result");
    assert_eq!(result.expect("in time").expect("set"), 5);
}

#[test]
fn zero_timeout_polls_once() {
    let _test = test();
    let (event_loop, _clock) = manual_loop();
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
    assert_eq!(event_loop.stats().iterations, 2);
}

#[test]
fn zero_timeout_returns_ready_data_repeatedly() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    event_loop.run_until_complete(async {
        let bytes = content(0, 300);
        event_loop.sock_sendall(&far, &bytes).await.expect("room");
        for n in 0..300 {
            let one = event_loop.wait_for(event_loop.sock_recv(&near, 1), Duration::ZERO);
            let one = one.await;
            assert!(one.is_ok(), "byte {n} is ready, but the result is {one:?}");
        }
    });
}

fn paused() -> (Loop, Clock) {
    let clock = Clock::paused();
    let built = Loop::builder().clock(clock.clone()).build();
    (built.expect("a loop"), clock)
}

#[test]
fn paused_clock_jumps_exactly_to_each_timer_in_order() {
    let _test = test();
    let (event_loop, clock) = paused();
    let (start, log) = (clock.now(), Rc::new(RefCell::new(Vec::new())));
    for millis in [7_200_000, 1, 3_600_000, 1, 30 * 86_400_000_u64] {
        let (log, clock) = (log.clone(), clock.clone());
        let delay = Duration::from_millis(millis) + Duration::from_nanos(7);
        event_loop.call_later(delay, move || {
            assert_eq!(clock.now() - start, delay);
            log.borrow_mut().push(millis);
        });
    }
    let end = start + SECOND * 86_400 * 31;
    event_loop.run_until_complete(event_loop.sleep_until(end));
    let order = [1, 1, 3_600_000, 7_200_000, 30 * 86_400_000];
    assert_eq!(*log.borrow(), order);
    assert_eq!(clock.now(), end);
}

#[test]
fn paused_clock_jumps_in_spite_of_a_registered_descriptor() {
    let _test = test();
    let (event_loop, clock) = paused();
    let (near, far) = small_buffer_unix();
    let (start, hour) = (clock.now(), SECOND * 3600);
    event_loop.run_until_complete(async {
        let receive = event_loop.sock_recv(&near, 10);
        let waited = event_loop.wait_for(receive, hour).await;
        assert_eq!(waited.expect_err("no byte arrives"), TimeoutError);
    });
    assert_eq!(clock.now() - start, hour);
    // The stall timer of a transfer goes by the same clock.
    let file = file(ODD);
    let sending = event_loop.sock_sendfile(&near, &file).stall_timeout(hour);
    let error = event_loop.run_until_complete(sending).expect_err("the peer stalls");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(clock.now() - start, hour * 2);
    drop(far);
}

#[test]
fn paused_clock_does_not_jump_over_an_event_or_queued_work() {
    let _test = test();
    let (event_loop, clock) = paused();
    let start = clock.now();
    let soon = Duration::from_nanos(1);
    let (near, far) = unix();
    let near = Rc::new(near);
    for _ in 0..100 {
        // The data arrives when the task waits already: only a poll finds it.
        let (handle, from) = (event_loop.handle(), near.clone());
        let receive = async move { handle.sock_recv(&from, 10).await };
        let task = event_loop.create_task(event_loop.wait_for(receive, soon));
        let peer = far.try_clone().expect("a duplicate");
        event_loop.call_soon(move || (&peer).write_all(b"x").expect("room"));
        let waited = event_loop.run_until_complete(task).expect("no panic");
        assert_eq!(waited.expect("in time").expect("received"), b"x");
        // A call from another thread also runs before the jump.
        let (remote, time) = (event_loop.remote(), clock.clone());
        let timer = event_loop.call_later(soon, || {});
        let (sender, receiver) = mpsc::channel();
        event_loop.call_soon(move || {
            let call = move || sender.send(time.now()).expect("a waiting receiver");
            let caller = thread::spawn(move || remote.call_soon_threadsafe(call));
            caller.join().expect("called").expect("open");
        });
        run_iteration(&event_loop);
        event_loop.run_once(Some(SECOND)).expect("an iteration");
        assert_eq!(receiver.try_recv(), Ok(start));
        timer.cancel();
    }
    assert_eq!(clock.now(), start);
}

#[test]
fn paused_clock_stops_while_executor_work_is_pending() {
    let _test = test();
    let clock = Clock::paused();
    let builder = Loop::builder().clock(clock.clone()).executor_threads(1);
    let event_loop = builder.build().expect("a loop");
    let start = clock.now();
    let ended = Arc::new(AtomicUsize::new(0));
    let job = || {
        let ended = ended.clone();
        move || {
            thread::sleep(Duration::from_millis(5));
            ended.fetch_add(1, Ordering::SeqCst);
        }
    };
    event_loop.run_until_complete(async {
        for round in 1..=10 {
            let waited = event_loop.wait_for(event_loop.run_in_executor(job()), SECOND);
            waited.await.expect("in time").expect("ran");
            assert_eq!(clock.now() - start, SECOND * (round - 1));
            // Even if no task waits for the jobs, one of which is queued.
            drop((event_loop.run_in_executor(job()), event_loop.run_in_executor(job())));
            event_loop.sleep(SECOND).await;
            assert_eq!(ended.load(Ordering::SeqCst), 3 * round as usize);
        }
    });
    assert_eq!(clock.now() - start, SECOND * 10);
}

#[test]
fn paused_clock_stops_while_the_executor_shuts_down() {
    let _test = test();
    for _ in 0..50 {
        let clock = Clock::paused();
        let builder = Loop::builder().clock(clock.clone()).executor_threads(8);
        let event_loop = builder.build().expect("a loop");
        let start = clock.now();
        event_loop.run_until_complete(async {
            let started = Arc::new(Barrier::new(8));
            let jobs: Vec<_> = (0..8)
                .map(|_| started.clone())
                .map(|started| event_loop.run_in_executor(move || started.wait()))
                .collect();
            for job in jobs {
                job.await.expect("ran");
            }
            let shutdown = event_loop.shutdown_default_executor();
            event_loop.wait_for(shutdown, SECOND).await.expect("in time");
            assert_eq!(clock.now(), start);
        });
    }
}

#[test]
fn run_once_jumps_at_most_its_timeout() {
    let _test = test();
    let (event_loop, clock) = paused();
    let start = clock.now();
    let fired = Rc::new(Cell::new(false));
    let fires = fired.clone();
    event_loop.call_later(SECOND * 5, move || fires.set(true));
    run_iteration(&event_loop);
    event_loop.run_until_idle().expect("idle");
    assert_eq!(clock.now(), start);
    assert_eq!(event_loop.next_timeout(), Some(SECOND * 5));
    event_loop.run_once(Some(SECOND * 2)).expect("an iteration");
    assert_eq!(clock.now() - start, SECOND * 2);
    event_loop.run_once(event_loop.next_timeout()).expect("an iteration");
    assert_eq!(clock.now() - start, SECOND * 5);
    assert!(fired.get());
    // Without a timer it waits in real time.
    event_loop.run_once(Some(Duration::from_millis(1))).expect("an iteration");
    assert_eq!(clock.now() - start, SECOND * 5);
}

#[test]
fn run_once_jumps_after_executor_work_has_ended() {
    let _test = test();
    let clock = Clock::paused();
    let builder = Loop::builder().clock(clock.clone()).executor_threads(1);
    let event_loop = builder.build().expect("a loop");
    let start = clock.now();
    event_loop.call_later(SECOND * 10, || ());
    // The job ends during the poll.
    drop(event_loop.run_in_executor(|| thread::sleep(Duration::from_millis(30))));
    event_loop.run_once(event_loop.next_timeout()).expect("an iteration");
    assert_eq!(clock.now() - start, SECOND * 10);
}

#[test]
fn paused_clock_stands_still_while_a_callback_stays_ready() {
    let _test = test();
    let (event_loop, clock) = paused();
    let start = clock.now();
    let (near, _far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let calls = Rc::new(Cell::new(0));
    let counts = calls.clone();
    event_loop.add_writer(&near, move || counts.set(counts.get() + 1)).expect("registered");
    let sleeper = event_loop.create_task(event_loop.sleep(SECOND));
    for _ in 0..100 {
        event_loop.run_once(None).expect("an iteration");
    }
    assert!(calls.get() >= 99 && !sleeper.done());
    assert_eq!(clock.now(), start);
    assert!(event_loop.remove_writer(&near));
    event_loop.run_until_complete(sleeper).expect("not cancelled");
    assert_eq!(clock.now() - start, SECOND);
}

#[test]
fn paused_clock_can_be_advanced() {
    let _test = test();
    let (event_loop, clock) = paused();
    let start = clock.now();
    let sleeper = event_loop.create_task(event_loop.sleep(SECOND));
    run_iteration(&event_loop);
    clock.advance(SECOND * 3);
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert!(sleeper.done());
    assert_eq!(clock.now() - start, SECOND * 3);
    // In a callback too: the clock does not go back to the next timer.
    let advances = clock.clone();
    event_loop.call_soon(move || advances.advance(SECOND * 10));
    event_loop.run_until_complete(event_loop.sleep(SECOND));
    assert_eq!(clock.now() - start, SECOND * 13);
}

#[test]
fn paused_clock_without_timers_waits_for_real_events() {
    let _test = test();
    let (event_loop, clock) = paused();
    let start = clock.now();
    let (near, far) = unix();
    event_loop.run_until_complete(async {
        // An endless sleep does not count as a timer.
        let mut never = std::pin::pin!(event_loop.sleep(Duration::MAX));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(never.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            std::io::Write::write_all(&mut &far, b"x").expect("room");
            far
        });
        let received = event_loop.sock_recv(&near, 10).await.expect("received");
        assert_eq!(received, b"x");
        writer.join().expect("written");
    });
    assert_eq!(clock.now(), start);
}

#[test]
fn paused_clock_serves_one_loop() {
    let _test = test();
    let (event_loop, clock) = paused();
    let builder = Loop::builder().clock(clock);
    let refused = |builder: sendloop::Builder| builder.build().expect_err("a second loop");
    assert_eq!(refused(builder.clone()).kind(), std::io::ErrorKind::InvalidInput);
    drop(event_loop);
    assert_eq!(refused(builder.clone()).kind(), std::io::ErrorKind::InvalidInput);
    let ran = builder.run(async |_| ()).expect_err("a second loop");
    assert_eq!(ran.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn sleep_until_wakes_at_its_deadline_and_not_before() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let when = event_loop.time() + SECOND;
    let task = event_loop.create_task(event_loop.sleep_until(when));
    let past = event_loop.create_task(event_loop.sleep_until(event_loop.time()));
    event_loop.run_until_idle().expect("idle");
    assert!(past.done());
    clock.advance(SECOND - Duration::from_nanos(1));
    event_loop.run_until_idle().expect("idle");
    assert!(!task.done());
    clock.advance(Duration::from_nanos(1));
    event_loop.run_until_idle().expect("idle");
    assert!(task.done());
    let late = event_loop.sleep_until(when + SECOND);
    drop(event_loop);
    new_loop().run_until_complete(late);
}

#[test]
fn call_from_another_thread_comes_after_its_delay() {
    let _test = test();
    let (event_loop, clock) = paused();
    let start = clock.now();
    let (remote, (sender, receiver)) = (event_loop.remote(), mpsc::channel());
    thread::scope(|threads| {
        for seconds in [3, 1, 2] {
            let (remote, sender, clock) = (remote.clone(), sender.clone(), clock.clone());
            let call =
                move || sender.send((seconds, clock.now() - start)).expect("a waiting receiver");
            let called =
                threads.spawn(move || remote.call_later_threadsafe(SECOND * seconds, call));
            called.join().expect("called").expect("open");
        }
    });
    event_loop.run_until_complete(event_loop.sleep(SECOND * 4));
    let came: Vec<_> = receiver.try_iter().collect();
    assert_eq!(came, [1, 2, 3].map(|n| (n, SECOND * n)));
    drop(event_loop);
    let held = Arc::new(());
    let inside = held.clone();
    let closed = remote.call_later_threadsafe(SECOND, move || drop(inside));
    assert_eq!(closed, Err(sendloop::LoopClosedError));
    assert_eq!(Arc::strong_count(&held), 1);
}
