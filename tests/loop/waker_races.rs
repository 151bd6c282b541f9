//! Wakers that other threads use while their tasks end and their loops close.
//!
//! Ids of loops and tasks are reused, and wake-ups share one message.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::util::counted::counted;
use crate::util::*;

/// Threads that wake all their wakers repeatedly until the test stops them.
struct Storm {
    wakers: Arc<Mutex<Vec<Waker>>>,
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<u64>>,
}

impl Storm {
    fn begin(threads: usize) -> Storm {
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let spawn = |_| {
            let (wakers, over) = (wakers.clone(), over.clone());
            thread::spawn(move || {
                let mut woken = 0;
                while !over.load(Ordering::Relaxed) {
                    let known = wakers.lock().expect("whole").clone();
                    known.iter().for_each(Waker::wake_by_ref);
                    woken += known.len() as u64;
                }
                woken
            })
        };
        let threads = (0..threads).map(spawn).collect();
        Storm { wakers, over, threads }
    }

    /// Keeps the last few wakers. Older ones belong to loops that are closed.
    fn give(&self, waker: Waker) {
        let mut wakers = self.wakers.lock().expect("whole");
        let old = wakers.len().saturating_sub(30);
        wakers.drain(..old);
        wakers.push(waker);
    }

    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter();
        ended.map(|thread| thread.join().expect("no panic")).sum()
    }
}

#[test]
fn loop_may_close_while_other_threads_wake_its_tasks() {
    let _test = test();
    let storm = Storm::begin(2);
    let held = Rc::new(());
    for round in 0..1000 {
        let event_loop = strict_loop();
        for _ in 0..3 {
            let (task, waker, _) = counted(&event_loop);
            storm.give(waker);
            let inside = held.clone();
            task.add_done_callback(move || drop(inside));
        }
        for _ in 0..round % 4 {
            run_iteration(&event_loop);
        }
        drop(event_loop);
        assert_eq!(Rc::strong_count(&held), 1);
    }
    assert!(storm.end() > 0);
}

#[test]
fn task_under_constant_wake_ups_runs_until_it_ends() {
    let _test = test();
    let event_loop = strict_loop();
    let storm = Storm::begin(2);
    for _ in 0..300 {
        let (task, waker, steps) = counted(&event_loop);
        storm.give(waker);
        run_until(&event_loop, || steps.get() >= 3);
        assert!(task.cancel());
        let ended = steps.get();
        run_iteration(&event_loop);
        assert_eq!(steps.get(), ended);
    }
    storm.end();
    run_iteration(&event_loop);
    assert_eq!(event_loop.stats().tasks, 0);
}

/// Counts its drops.
struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn remote_calls_are_dropped_once_during_close() {
    let _test = test();
    for round in 0..15_u32 {
        let event_loop = strict_loop();
        let (ran, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let begun = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let remote = event_loop.remote();
                let (ran, dropped, begun) = (ran.clone(), dropped.clone(), begun.clone());
                thread::spawn(move || {
                    let mut accepted = 0_u64;
                    loop {
                        begun.fetch_add(1, Ordering::Relaxed);
                        let (inside, ran) = (Counted(dropped.clone()), ran.clone());
                        let call = move || {
                            ran.fetch_add(1, Ordering::Relaxed);
                            drop(inside);
                        };
                        if remote.call_soon_threadsafe(call).is_err() {
                            return accepted;
                        }
                        accepted += 1;
                    }
                })
            })
            .collect();
        for _ in 0..round % 5 {
            let limit = Some(Duration::from_millis(5));
            event_loop.run_once(limit).expect("an iteration");
        }
        drop(event_loop);
        let accepted = callers.into_iter().map(|caller| caller.join().expect("ended"));
        let accepted: u64 = accepted.sum();
        let begun = begun.load(Ordering::Relaxed);
        assert_eq!(dropped.load(Ordering::Relaxed), begun, "round {round}");
        assert!(ran.load(Ordering::Relaxed) <= accepted && accepted + 2 == begun);
    }
}

#[test]
fn loop_ids_are_reused_but_never_shared() {
    let _test = test();
    let lives = strict_loop();
    let (_task, waker, steps) = counted(&lives);
    let gone = new_loop();
    let (_, stale, _) = counted(&gone);
    drop(gone);
    // After this many loops, the closed loop's id was reused. The id of the live loop is skipped.
    let mut woken = 0;
    for _ in 0..=u16::MAX {
        let event_loop = new_loop();
        let (_task, _, steps) = counted(&event_loop);
        stale.wake_by_ref();
        run_iteration(&event_loop);
        woken += steps.get() - 1;
    }
    // The first task of the loop that reused the id got one stray wake-up, which is harmless.
    assert_eq!(woken, 1);
    assert_eq!(steps.get(), 1);
    let elsewhere = thread::spawn(move || waker.wake());
    elsewhere.join().expect("woken");
    run_iteration(&lives);
    run_iteration(&lives);
    assert_eq!(steps.get(), 2);
}

#[test]
fn stale_waker_is_harmless_after_a_million_reuses_of_its_slot() {
    let _test = test();
    let event_loop = strict_loop();
    let (task, stale, _) = counted(&event_loop);
    task.cancel();
    let mut others = 0;
    for n in 1..=1_u32 << 20 {
        // This task is rarely polled before it is woken, so it runs only if its id matches.
        let task = event_loop.create_task(poll_fn(|_| Poll::<()>::Pending));
        if n >= (1 << 20) - 3 {
            run_iteration(&event_loop);
            let before = event_loop.stats().task_steps;
            stale.wake_by_ref();
            run_iteration(&event_loop);
            others += event_loop.stats().task_steps - before;
        }
        task.cancel();
        // Cancelled tasks are still in the queue.
        if n % 1024 == 0 {
            run_iteration(&event_loop);
        }
    }
    assert_eq!(others, 1, "steps of the task that has the stale waker's id");
    assert_eq!(event_loop.stats().tasks, 0);
}

/// A count that other threads increase, and the waker of the task that waits for it.
#[derive(Default)]
struct Counter {
    number: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Counter {
    fn raise(&self) {
        self.number.fetch_add(1, Ordering::Release);
        // The waker stays in place. An extra wake-up shares the message of the first one.
        if let Some(waker) = &*self.waker.lock().expect("whole") {
            waker.wake_by_ref();
        }
    }

    async fn reaches(&self, number: u64) {
        poll_fn(|cx| {
            *self.waker.lock().expect("whole") = Some(cx.waker().clone());
            match self.number.load(Ordering::Acquire) >= number {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// Several threads wake each of several tasks.
///
/// No wake-up is lost, whether the loop is busy or idle.
fn assert_no_wake_up_is_lost(busy: bool) {
    const EACH: u64 = 3_000;
    let event_loop = strict_loop();
    let counters: Vec<Counter> = (0..8).map(|_| Counter::default()).collect();
    let counters = Arc::new(counters);
    let (done, is_done) = mpsc::channel::<()>();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (counters, done) = (counters.clone(), done.clone());
            thread::spawn(move || {
                for _ in 0..EACH {
                    counters.iter().for_each(Counter::raise);
                }
                drop(done);
            })
        })
        .collect();
    drop(done);
    event_loop.run_until_complete(async {
        let tasks: Vec<_> = (0..counters.len())
            .map(|n| {
                let counters = counters.clone();
                event_loop.create_task(async move {
                    for step in 1..=3 * EACH {
                        counters[n].reaches(step).await;
                    }
                })
            })
            .collect();
        while busy && is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
            event_loop.sleep(Duration::ZERO).await;
        }
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    for thread in threads {
        thread.join().expect("ended");
    }
}

#[test]
fn no_wake_up_from_many_threads_is_lost_by_a_waiting_loop() {
    let _test = test();
    assert_no_wake_up_is_lost(false);
}

#[test]
fn no_wake_up_from_many_threads_is_lost_by_a_busy_loop() {
    let _test = test();
    assert_no_wake_up_is_lost(true);
}

#[test]
fn executor_results_reach_waiters_on_other_loops_during_close() {
    let _test = test();
    let other = strict_loop();
    for round in 0..200_u32 {
        let closing = strict_loop();
        let works: Vec<_> = (0..4).map(|n| closing.run_in_executor(move || n)).collect();
        if round % 2 == 0 {
            run_iteration(&closing);
        }
        let tasks: Vec<_> = works.into_iter().map(|work| other.create_task(work)).collect();
        run_iteration(&other);
        drop(closing);
        other.run_until_complete(async {
            for (n, task) in tasks.into_iter().enumerate() {
                let result = task.await.expect("no panic");
                assert_eq!(result.expect("the result of a job that was begun or queued"), n);
            }
        });
    }
}
