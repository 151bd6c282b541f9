//! The ways to run a loop and to stop it, what each panics at, and a loop inside another.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::*;
use sendloop::{Clock, Loop, LoopHandle, Socket, get_running_loop};

static LOCATION: Mutex<Option<(String, u32)>> = Mutex::new(None);

/// Runs `f`, which panics, and checks the location of the panic.
///
/// The location must be at most 12 lines below `first`.
#[track_caller]
fn assert_panics_near(what: &str, first: u32, f: impl FnOnce() -> u32) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(|at| (at.file().to_owned(), at.line()));
        *LOCATION.lock().expect("whole") = location;
    }));
    let panicked = catch_unwind(AssertUnwindSafe(f));
    panic::set_hook(before);
    let payload = panicked.expect_err("a panic");
    let message = match payload.downcast_ref::<&str>() {
        Some(message) => message,
        None => payload.downcast_ref::<String>().expect("a text").as_str(),
    };
    assert!(message.contains(what), "{message}");
    let (file, line) = LOCATION.lock().expect("whole").take().expect("a place");
    assert_eq!(file, file!());
    assert!((first..first + 12).contains(&line), "line {line}");
}

#[track_caller]
fn assert_usable(event_loop: &Loop) {
    assert!(!event_loop.is_running());
    assert!(get_running_loop().is_none());
    let after = event_loop.create_task(event_loop.sleep(Duration::from_millis(1)));
    event_loop.run_until_complete(after).expect("slept");
}

#[test]
fn stop_before_a_run_allows_one_iteration() {
    let _test = test();
    let event_loop = new_loop();
    let count = Rc::new(Cell::new(0));
    fn again(handle: sendloop::LoopHandle, count: Rc<Cell<u32>>) {
        count.set(count.get() + 1);
        handle.clone().call_soon(move || again(handle, count));
    }
    let (handle, counted) = (event_loop.handle(), count.clone());
    event_loop.call_soon(move || again(handle, counted));
    for round in 1..4 {
        event_loop.stop();
        event_loop.run_forever();
        assert_eq!(count.get(), round);
    }
    let iterations = event_loop.stats().iterations;
    event_loop.stop();
    event_loop.run_once(None).expect("an iteration");
    assert_eq!(event_loop.stats().iterations, iterations + 1);
}

#[test]
fn stop_ends_the_run_after_the_iteration_and_allows_another() {
    let _test = test();
    let event_loop = new_loop();
    let log = Rc::new(RefCell::new(Vec::new()));
    for round in 0..3 {
        let (handle, one) = (event_loop.handle(), log.clone());
        event_loop.call_soon(move || {
            assert!(handle.is_running());
            handle.stop();
            one.borrow_mut().push((round, 1));
            let next = one.clone();
            handle.call_soon(move || next.borrow_mut().push((round, 3)));
        });
        let two = log.clone();
        event_loop.call_soon(move || two.borrow_mut().push((round, 2)));
        event_loop.run_forever();
        assert!(!event_loop.is_running());
    }
    let order = [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)];
    assert_eq!(*log.borrow(), order);
}

#[test]
fn callbacks_queued_by_the_completed_future_still_run() {
    let _test = test();
    let event_loop = new_loop();
    let ran = Rc::new(Cell::new(0));
    let count = |n| {
        let ran = ran.clone();
        move || ran.set(ran.get() + n)
    };
    let borrowed = [1, 2, 3];
    let sum: i32 = event_loop.run_until_complete(async {
        let (handle, late) = (event_loop.handle(), count(100));
        let first = count(1);
        event_loop.call_soon(move || {
            first();
            handle.call_soon(late);
        });
        let second = count(10);
        event_loop.create_task(async move { second() });
        borrowed.iter().sum()
    });
    assert_eq!((sum, ran.get()), (6, 11));
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert_eq!(ran.get(), 111);
}

#[test]
fn second_run_on_a_thread_panics_at_its_caller() {
    let _test = test();
    let (event_loop, other) = (new_loop(), new_loop());
    let what = "already running";
    event_loop.run_until_complete(async {
        assert_panics_near(what, line!(), || {
            event_loop.run_until_complete(pending::<()>());
            0
        });
        assert_panics_near(what, line!(), || {
            other.run_forever();
            0
        });
        assert_panics_near(what, line!(), || {
            let _ = other.run_once(Some(Duration::ZERO));
            0
        });
        assert_panics_near(what, line!(), || {
            let _ = sendloop::run(async |_| ());
            0
        });
        assert!(event_loop.is_running() && !other.is_running());
        event_loop.sleep(Duration::from_millis(1)).await;
    });
    assert_usable(&event_loop);
    assert_usable(&other);
}

#[test]
fn stop_before_completion_panics_at_the_caller() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    for _ in 0..3 {
        event_loop.stop();
        assert_panics_near("stopped", line!(), || {
            let inside = held.clone();
            event_loop.run_until_complete(async move {
                pending::<()>().await;
                drop(inside);
            });
            0
        });
        assert_eq!(Rc::strong_count(&held), 1);
        assert_eq!(event_loop.stats().tasks, 0);
        assert_usable(&event_loop);
    }
    let handle = event_loop.handle();
    // The future completes in the iteration that it stopped.
    event_loop.run_until_complete(async move { handle.stop() });
    assert_usable(&event_loop);
}

#[test]
fn panic_of_the_main_future_propagates_and_the_loop_stays_usable() {
    let _test = test();
    let event_loop = new_loop();
    let ran = Rc::new(Cell::new(false));
    let (inside, task) = (ran.clone(), event_loop.create_task(async { 3 }));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        event_loop.run_until_complete(async {
            event_loop.sleep(Duration::ZERO).await;
            event_loop.call_soon(move || inside.set(true));
            panic!("an expected panic");
        })
    }));
    let payload = panicked.expect_err("its panic");
    assert_eq!(payload.downcast_ref(), Some(&"an expected panic"));
    assert_eq!(event_loop.stats().tasks, 0);
    assert_usable(&event_loop);
    assert!(ran.get());
    assert_eq!(event_loop.run_until_complete(task).expect("a result"), 3);
}

#[test]
fn get_running_loop_is_some_only_inside_a_run() {
    let _test = test();
    let event_loop = new_loop();
    assert!(get_running_loop().is_none());
    let inside = Rc::new(Cell::new(0));
    let seen = inside.clone();
    event_loop.call_soon(move || {
        let handle = get_running_loop().expect("inside a callback");
        handle.call_soon(move || seen.set(7));
    });
    event_loop.run_once(None).expect("an iteration");
    assert!(get_running_loop().is_none());
    event_loop.run_until_complete(async {
        assert!(get_running_loop().is_some_and(|it| it.is_running()));
        let elsewhere = thread::spawn(|| get_running_loop().is_none());
        assert!(elsewhere.join().expect("looked"));
    });
    assert_eq!(inside.get(), 7);
    assert!(get_running_loop().is_none());
}

#[allow(unsafe_code, reason = "poll(2) itself is what a foreign loop calls")]
fn readable(event_loop: &Loop, timeout: i32) -> bool {
    let fd = event_loop.as_fd().as_raw_fd();
    let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one pollfd that outlives the call.
    unsafe { libc::poll(&raw mut asked, 1, timeout) == 1 }
}

#[test]
fn descriptor_and_next_timeout_show_when_an_iteration_is_due() {
    let _test = test();
    let event_loop = new_loop();
    assert!(!readable(&event_loop, 0));
    assert_eq!(event_loop.next_timeout(), None);
    event_loop.call_later(Duration::from_secs(3600), || ());
    let next = event_loop.next_timeout().expect("a timer");
    assert!(next > Duration::from_secs(3000) && next <= Duration::from_secs(3600));
    event_loop.call_soon(|| ());
    assert_eq!(event_loop.next_timeout(), Some(Duration::ZERO));
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");

    let came = Arc::new(AtomicBool::new(false));
    let (remote, comes) = (event_loop.remote(), came.clone());
    let caller = thread::spawn(move || {
        remote.call_soon_threadsafe(move || comes.store(true, Ordering::Relaxed))
    });
    assert!(readable(&event_loop, 30_000));
    assert!(!came.load(Ordering::Relaxed));
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(came.load(Ordering::Relaxed) && !readable(&event_loop, 0));
    caller.join().expect("called").expect("open");
}

#[test]
fn run_once_waits_for_its_whole_timeout() {
    let _test = test();
    // A poller with 32-bit milliseconds would wrap around at 2^32 ms.
    let long = Duration::from_millis(1 << 32);
    for timeout in [None, Some(Duration::MAX), Some(long), Some(long * 3)] {
        let event_loop = new_loop();
        let came = Arc::new(AtomicBool::new(false));
        let barrier = Arc::new(Barrier::new(2));
        let (remote, comes, waits) = (event_loop.remote(), came.clone(), barrier.clone());
        let caller = thread::spawn(move || {
            waits.wait();
            // An iteration that does not wait ends before this call arrives.
            thread::sleep(Duration::from_millis(20));
            remote.call_soon_threadsafe(move || comes.store(true, Ordering::Relaxed))
        });
        barrier.wait();
        event_loop.run_once(timeout).expect("an iteration");
        let waited = came.load(Ordering::Relaxed);
        caller.join().expect("called").expect("open");
        assert!(waited, "{timeout:?}: the iteration ended without work");
    }
}

#[test]
fn run_until_idle_runs_everything_that_is_ready_and_does_not_wait() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_idle().expect("idle");
    let log = Rc::new(RefCell::new(Vec::new()));
    let write = |name: &'static str| {
        let log = log.clone();
        move || log.borrow_mut().push(name)
    };
    let (near, far) = Socket::pair().expect("a pair");
    let (handle, received, later) = (event_loop.handle(), write("received"), write("later"));
    event_loop.create_task(async move {
        handle.sock_recv(&near, 10).await.expect("received");
        received();
        handle.sleep(Duration::from_secs(3600)).await;
        later();
    });
    let (handle, sent) = (event_loop.handle(), write("sent"));
    event_loop.create_task(async move {
        for _ in 0..50 {
            handle.sleep(Duration::ZERO).await;
        }
        handle.sock_sendall(&far, b"x").await.expect("room");
        sent();
    });
    event_loop.call_at(event_loop.time(), write("due"));
    event_loop.call_later(Duration::from_secs(3600), write("later"));
    let (remote, called) = (event_loop.remote(), Arc::new(AtomicBool::new(false)));
    let calls = called.clone();
    let call = move || calls.store(true, Ordering::Relaxed);
    let caller = thread::spawn(move || remote.call_soon_threadsafe(call));
    caller.join().expect("called").expect("open");
    event_loop.call_soon(|| panic!("contained"));
    event_loop.run_until_idle().expect("idle");
    assert_eq!(*log.borrow(), ["due", "sent", "received"]);
    assert!(called.load(Ordering::Relaxed));
    let iterations = event_loop.stats().iterations;
    event_loop.run_until_idle().expect("idle");
    assert_eq!(event_loop.stats().iterations, iterations + 1);
    assert_usable(&event_loop);
}

/// Adds a callback for `fd` that removes itself, or stays, and adds one like itself.
fn add_again(handle: &LoopHandle, fd: &Rc<UnixStream>, calls: &Rc<Cell<u32>>, replaces: bool) {
    let (event_loop, near, count) = (handle.clone(), fd.clone(), calls.clone());
    let callback = move || {
        count.set(count.get() + 1);
        let (handle, fd, calls) = (event_loop.clone(), near.clone(), count.clone());
        if replaces {
            return add_again(&handle, &fd, &calls, true);
        }
        assert!(event_loop.remove_reader(&*near));
        event_loop.call_soon(move || add_again(&handle, &fd, &calls, false));
    };
    handle.add_reader(&**fd, callback).expect("registered");
}

#[test]
fn run_until_idle_calls_a_descriptor_once_if_its_callback_is_added_again() {
    let _test = test();
    for replaces in [false, true] {
        let event_loop = new_loop();
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let (near, calls) = (Rc::new(near), Rc::new(Cell::new(0)));
        add_again(&event_loop, &near, &calls, replaces);
        far.write_all(b"x").expect("room");
        for round in 1..4 {
            event_loop.run_until_idle().expect("idle");
            assert_eq!(calls.get(), round);
        }
        // Other runs have no such limit.
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        assert_eq!(calls.get(), 4);
    }
}

#[test]
fn run_until_idle_calls_each_fd_callback_at_most_once() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let (reads, writes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (counts, peer) = (reads.clone(), far.try_clone().expect("a duplicate"));
    event_loop
        .add_reader(&near, move || {
            counts.set(counts.get() + 1);
            // New data is a new event, but of this call.
            (&peer).write_all(b"x").expect("room");
        })
        .expect("registered");
    let counts = writes.clone();
    let write = move || counts.set(counts.get() + 1);
    event_loop.add_writer(&near, write).expect("registered");
    (&far).write_all(b"x").expect("room");
    for round in 1..4 {
        event_loop.run_until_idle().expect("idle");
        assert_eq!((reads.get(), writes.get()), (round, round));
    }
    // A task that makes data ready in each of its steps changes nothing.
    let (handle, peer) = (event_loop.handle(), far.try_clone().expect("a duplicate"));
    event_loop.create_task(async move {
        for _ in 0..100 {
            (&peer).write_all(b"x").expect("room");
            handle.sleep(Duration::ZERO).await;
        }
    });
    event_loop.run_until_idle().expect("idle");
    assert_eq!((reads.get(), writes.get()), (4, 4));
    // A descriptor that changes all the time is no work if its callback has run in this call.
    let ends = Arc::new(AtomicBool::new(false));
    let (until, both) = (ends.clone(), (near.try_clone(), far.try_clone()));
    let peer = thread::spawn(move || {
        let (near, far) = (both.0.expect("a duplicate"), both.1.expect("a duplicate"));
        while !until.load(Ordering::Relaxed) {
            (&far).write_all(b"x").expect("room");
            (&near).read_exact(&mut [0]).expect("a byte");
        }
    });
    for round in 5..25 {
        event_loop.run_until_idle().expect("idle");
        assert_eq!((reads.get(), writes.get()), (round, round));
    }
    ends.store(true, Ordering::Relaxed);
    peer.join().expect("ended");
    // Other runs call it in each iteration, as before.
    for round in 25..28 {
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        assert_eq!((reads.get(), writes.get()), (round, round));
    }
    assert!(event_loop.remove_reader(&near) && event_loop.remove_writer(&near));
}

#[test]
fn run_until_idle_calls_a_callback_that_a_panic_left_queued_at_most_once() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let reads = Rc::new(Cell::new(0));
    let (counts, peer) = (reads.clone(), far.try_clone().expect("a duplicate"));
    event_loop
        .add_reader(&near, move || {
            counts.set(counts.get() + 1);
            (&peer).write_all(b"x").expect("room");
        })
        .expect("registered");
    for (round, writes_again) in [(1, false), (2, true)] {
        (&far).write_all(b"x").expect("room");
        let main = || event_loop.run_until_complete(async { panic!("before the callback") });
        catch_unwind(AssertUnwindSafe(main)).expect_err("the panic of main");
        assert_eq!(reads.get(), round - 1);
        if writes_again {
            (&far).write_all(b"x").expect("room");
        }
        event_loop.run_until_idle().expect("idle");
        assert_eq!(reads.get(), round);
    }
}

#[test]
fn run_until_idle_fails_after_ten_thousand_iterations() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    let spins = event_loop.create_task(async move {
        loop {
            handle.sleep(Duration::ZERO).await;
        }
    });
    for round in 1..3 {
        let error = event_loop.run_until_idle().expect_err("a loop that is never idle");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(event_loop.stats().iterations, 10_000 * round);
    }
    spins.cancel();
    event_loop.run_until_idle().expect("idle");
    assert_usable(&event_loop);
}

#[test]
fn stop_ends_run_until_idle_after_the_iteration() {
    let _test = test();
    let event_loop = new_loop();
    let count = Rc::new(Cell::new(0));
    let counts = count.clone();
    let handle = event_loop.handle();
    event_loop.create_task(async move {
        loop {
            counts.set(counts.get() + 1);
            if counts.get() % 3 == 0 {
                handle.stop();
            }
            handle.sleep(Duration::ZERO).await;
        }
    });
    for round in 1..4 {
        event_loop.run_until_idle().expect("stopped");
        assert_eq!(count.get(), round * 3);
    }
    event_loop.stop();
    event_loop.run_until_idle().expect("stopped");
    assert_eq!(count.get(), 10);
}

#[test]
fn run_until_idle_inside_a_run_panics() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        assert_panics_near("already running", line!(), || {
            let _ = event_loop.run_until_idle();
            0
        });
    });
    assert_usable(&event_loop);
}

#[test]
fn builder_runs_main_with_its_settings() {
    let _test = test();
    let clock = Clock::paused();
    let start = clock.now();
    let builder = Loop::builder().clock(clock.clone()).debug(true);
    let dropped = Rc::new(Cell::new(false));
    let inside = CallOnDrop({
        let dropped = dropped.clone();
        move || dropped.set(true)
    });
    let output = builder.executor_threads(1).run(async |event_loop| {
        assert!(event_loop.get_debug());
        event_loop.create_task(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        event_loop.sleep(Duration::from_secs(3600)).await;
        7
    });
    assert_eq!(output.expect("a finished run"), 7);
    assert_eq!(clock.now() - start, Duration::from_secs(3600));
    assert!(dropped.get());
    assert_panics_near("stopped", line!(), || {
        let _ = Loop::builder().run(async |event_loop: LoopHandle| {
            event_loop.stop();
            pending::<()>().await;
        });
        0
    });
}

#[test]
fn shutdown_timeout_bounds_the_wait_for_executor_work() {
    let _test = test();
    let clocks: [fn() -> Clock; 3] = [Clock::real, Clock::manual, Clock::paused];
    for clock in clocks {
        for limit in [Duration::ZERO, Duration::from_millis(30)] {
            let (release, released) = mpsc::channel::<()>();
            let (ended, ends) = mpsc::channel();
            let start = Instant::now();
            let builder = Loop::builder().clock(clock()).shutdown_timeout(limit);
            let output = builder.run(async |event_loop| {
                let (begun, begins) = mpsc::channel();
                drop(event_loop.run_in_executor(move || {
                    begun.send(()).expect("a waiting receiver");
                    let _ = released.recv();
                    ended.send(()).expect("a waiting receiver");
                }));
                begins.recv().expect("a message of the start");
                5
            });
            assert_eq!(output.expect("a finished run"), 5);
            assert!(start.elapsed() >= limit);
            // The thread keeps running.
            drop(release);
            ends.recv().expect("a message of the end");
        }
    }
}

#[test]
fn shutdown_timeout_that_is_long_does_not_delay_the_end() {
    let _test = test();
    for limit in [Duration::from_secs(3600), Duration::MAX] {
        let ended = Arc::new(AtomicBool::new(false));
        let ends = ended.clone();
        let builder = Loop::builder().shutdown_timeout(limit);
        let ran = builder.run(async |event_loop| {
            drop(event_loop.run_in_executor(move || {
                thread::sleep(Duration::from_millis(20));
                ends.store(true, Ordering::Relaxed);
            }));
            // Something to do at the end, and a stop with nothing to stop.
            let handle = event_loop.clone();
            event_loop.call_later(Duration::from_millis(1), move || handle.stop());
        });
        ran.expect("a finished run");
        assert!(ended.load(Ordering::Relaxed));
    }
}

#[test]
fn run_waits_for_executor_work_after_a_panic_of_main() {
    let _test = test();
    let ended = Arc::new(AtomicBool::new(false));
    let ends = ended.clone();
    let dropped = Rc::new(Cell::new(false));
    let drops = dropped.clone();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        sendloop::run(async |event_loop: LoopHandle| {
            let inside = CallOnDrop(move || drops.set(true));
            event_loop.create_task(async move {
                let _inside = inside;
                pending::<()>().await;
            });
            let (begun, begins) = mpsc::channel();
            drop(event_loop.run_in_executor(move || {
                begun.send(()).expect("a waiting receiver");
                thread::sleep(Duration::from_millis(30));
                ends.store(true, Ordering::Relaxed);
            }));
            begins.recv().expect("a message of the start");
            panic!("expected");
        })
    }));
    assert_eq!(ran.map(drop).expect_err("a panic").downcast_ref(), Some(&"expected"));
    assert!(ended.load(Ordering::Relaxed) && dropped.get());
}

#[test]
fn wake_by_the_destructor_of_the_completed_future_queues_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let stored = Rc::new(RefCell::new(None::<Waker>));
    let waker = stored.clone();
    let wakes = CallOnDrop(move || waker.take().expect("a waker").wake());
    event_loop.run_until_complete(poll_fn(move |cx| {
        let _owned = &wakes;
        *stored.borrow_mut() = Some(cx.waker().clone());
        Poll::Ready(())
    }));
    assert_eq!(event_loop.next_timeout(), None);
}
