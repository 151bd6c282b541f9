//! `run_in_executor` and its threads.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
#[cfg(target_os = "linux")]
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{LoopClosedError, TaskError};

thread_local! {
    /// The pairs that calls from other threads recorded.
    ///
    /// Such a call must be `Send`, so it cannot hold an `Rc`.
    static CALLS: RefCell<Vec<(u32, u32)>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn work_starts_at_once_and_returns_its_result_or_panic() {
    let _test = test();
    let event_loop = new_loop();
    let (begun, begins) = mpsc::channel();
    let work = event_loop.run_in_executor(move || {
        begun.send(()).expect("the test");
        5
    });
    begins.recv().expect("a job that starts before it is awaited");
    assert_eq!(event_loop.run_until_complete(work).expect("a result"), 5);
    let broken = event_loop.run_in_executor(|| panic!("an expected panic"));
    let result: Result<(), TaskError> = event_loop.run_until_complete(broken);
    assert!(result.is_err_and(|error| error.is_panic()));
    let later = event_loop.run_in_executor(|| 6);
    assert_eq!(event_loop.run_until_complete(later).expect("a result"), 6);
}

#[test]
fn executor_never_exceeds_its_thread_limit() {
    let _test = test();
    let built = sendloop::Loop::builder().executor_threads(3).build();
    let event_loop = built.expect("a loop");
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let together = Arc::new(Barrier::new(3));
    let work: Vec<_> = (0..30)
        .map(|_| {
            let (now, most, together) = (now.clone(), most.clone(), together.clone());
            event_loop.run_in_executor(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                together.wait();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    event_loop.run_until_complete(async {
        for one in work {
            one.await.expect("done");
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

/// Returns the number of executor threads in this process.
#[cfg(target_os = "linux")]
fn workers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let names =
        tasks.map(|task| std::fs::read_to_string(task.expect("a task").path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("sendloop-worker"))).count()
}

#[cfg(target_os = "linux")]
#[test]
fn threads_start_on_demand_and_are_reused() {
    let _test = test();
    // The threads of earlier tests end soon after their pools are dropped.
    while workers() > 0 {
        thread::yield_now();
    }
    let event_loop = new_loop();
    event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(1)));
    assert_eq!(workers(), 0);
    for _ in 0..200 {
        let work = event_loop.run_in_executor(|| ());
        event_loop.run_until_complete(work).expect("done");
    }
    // A thread that has just returned a result may not be idle yet when the next work arrives. The
    // executor then starts one more.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    assert!((1..=cores + 4).contains(&workers()), "{}", workers());
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
}

#[test]
fn dropped_work_runs_to_its_end() {
    let _test = test();
    let event_loop = new_loop();
    let (ended, ends) = mpsc::channel();
    let (release, released) = mpsc::channel();
    drop(event_loop.run_in_executor(move || {
        released.recv().expect("the test");
        ended.send(()).expect("the test");
    }));
    release.send(()).expect("a waiting receiver");
    ends.recv().expect("a message of the end");
}

#[test]
fn unwanted_result_that_panics_on_drop_keeps_its_thread_alive() {
    let _test = test();
    let built = sendloop::Loop::builder().executor_threads(1).build();
    let event_loop = built.expect("a loop");
    let (release, released) = mpsc::channel();
    drop(event_loop.run_in_executor(move || {
        released.recv().expect("the test");
        PanicsOnDrop
    }));
    release.send(()).expect("a waiting receiver");
    let next = event_loop.run_in_executor(|| 1);
    let waited = event_loop.wait_for(next, Duration::from_secs(5));
    let result = event_loop.run_until_complete(waited);
    let result = result.expect("the only thread lives");
    assert_eq!(result.expect("a result"), 1);
}

#[test]
fn shutdown_waits_for_accepted_work() {
    let _test = test();
    let built = sendloop::Loop::builder().executor_threads(1).build();
    let event_loop = built.expect("a loop");
    let ended = Arc::new(AtomicUsize::new(0));
    let (release, released) = mpsc::channel::<()>();
    let ends = ended.clone();
    let first = event_loop.run_in_executor(move || {
        released.recv().expect("the test");
        ends.fetch_add(1, Ordering::SeqCst);
    });
    for _ in 0..3 {
        let ends = ended.clone();
        drop(event_loop.run_in_executor(move || ends.fetch_add(1, Ordering::SeqCst)));
    }
    event_loop.run_until_complete(async {
        let mut down = Box::pin(event_loop.shutdown_default_executor());
        let waited = event_loop.wait_for(&mut down, Duration::from_millis(5));
        waited.await.expect_err("work runs");
        release.send(()).expect("a waiting receiver");
        down.await;
        assert_eq!(ended.load(Ordering::SeqCst), 4);
        first.await.expect("done");
        let late = event_loop.run_in_executor(|| ()).await;
        assert!(late.is_err_and(|error| error.is_cancelled()));
        event_loop.shutdown_default_executor().await;
    });
}

#[test]
fn dropping_the_loop_does_not_wait_for_a_hung_thread() {
    let _test = test();
    let event_loop = new_loop();
    let (release, released) = mpsc::channel::<()>();
    let hanging = event_loop.run_in_executor(move || {
        released.recv().expect("the test");
        7
    });
    let remote = event_loop.remote();
    drop(event_loop);
    assert_eq!(remote.call_soon_threadsafe(|| ()), Err(LoopClosedError));
    release.send(()).expect("a waiting receiver");
    let other = new_loop();
    assert_eq!(other.run_until_complete(hanging).expect("a result"), 7);
}
