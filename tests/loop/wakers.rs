//! Wakers that outlive their task, that are used from any thread, or whose slot has a new task.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::util::counted::counted;
use crate::util::*;

#[test]
fn many_wake_ups_cause_one_step() {
    let _test = test();
    let event_loop = new_loop();
    let (_task, waker, steps) = counted(&event_loop);
    for _ in 0..100 {
        waker.wake_by_ref();
        let other = waker.clone();
        other.wake();
    }
    let elsewhere = waker.clone();
    let other = thread::spawn(move || (0..100).for_each(|_| elsewhere.wake_by_ref()));
    other.join().expect("woken");
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    // The other thread's wake-up may arrive after the step that the first wake-ups caused.
    assert!((2..=3).contains(&steps.get()), "{} steps", steps.get());
    let before = steps.get();
    run_iteration(&event_loop);
    assert_eq!(steps.get(), before);
}

#[test]
fn task_that_wakes_itself_runs_once_per_iteration() {
    let _test = test();
    let event_loop = new_loop();
    let steps = Rc::new(Cell::new(0));
    let counts = steps.clone();
    let task = event_loop.create_task(poll_fn(move |cx| {
        counts.set(counts.get() + 1);
        cx.waker().wake_by_ref();
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    for n in 1..10 {
        run_iteration(&event_loop);
        assert_eq!(steps.get(), n);
    }
    task.cancel();
}

#[test]
fn stale_waker_does_not_wake_its_slots_next_task() {
    let _test = test();
    let event_loop = new_loop();
    let mut stale = Vec::new();
    for round in 0..50 {
        let (task, waker, steps) = counted(&event_loop);
        stale.push(waker);
        for old in &stale[..round] {
            old.wake_by_ref();
        }
        let wakers = stale[..round].to_vec();
        let other = thread::spawn(move || wakers.iter().for_each(Waker::wake_by_ref));
        other.join().expect("woken");
        run_iteration(&event_loop);
        run_iteration(&event_loop);
        assert_eq!(steps.get(), 1, "round {round}");
        stale[round].wake_by_ref();
        run_iteration(&event_loop);
        assert_eq!(steps.get(), 2, "round {round}");
        assert!(task.cancel());
    }
}

#[test]
fn queued_wake_up_of_a_cancelled_task_runs_no_other_task() {
    let _test = test();
    let event_loop = new_loop();
    let (task, waker, _) = counted(&event_loop);
    waker.wake();
    task.cancel();
    let steps = Rc::new(Cell::new(0));
    let counts = steps.clone();
    let _next = event_loop.create_task(poll_fn(move |_| {
        counts.set(counts.get() + 1);
        Poll::<()>::Pending
    }));
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert_eq!(steps.get(), 1);
}

#[test]
fn waker_of_the_main_future_does_nothing_after_the_run() {
    let _test = test();
    let event_loop = new_loop();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let waker = event_loop.run_until_complete(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        kept.push(waker);
    }
    let (_task, _, steps) = counted(&event_loop);
    kept.iter().for_each(Waker::wake_by_ref);
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert_eq!(steps.get(), 1);
    let polls = Cell::new(0);
    event_loop.stop();
    let run = std::panic::AssertUnwindSafe(|| {
        event_loop.run_until_complete(poll_fn(|_| {
            polls.set(polls.get() + 1);
            kept.iter().for_each(Waker::wake_by_ref);
            Poll::<()>::Pending
        }))
    });
    std::panic::catch_unwind(run).expect_err("stopped");
    assert_eq!(polls.get(), 1);
}

#[test]
fn a_waker_may_outlive_its_loop_on_any_thread() {
    let _test = test();
    let event_loop = new_loop();
    let (task, waker, _) = counted(&event_loop);
    drop(event_loop);
    assert!(task.cancelled());
    waker.wake_by_ref();
    let next = new_loop();
    let (_other, _, steps) = counted(&next);
    waker.wake_by_ref();
    let other = thread::spawn(move || waker.wake());
    other.join().expect("woken");
    run_iteration(&next);
    assert_eq!(steps.get(), 1);
}

#[test]
fn a_task_may_end_while_another_thread_wakes_it() {
    let _test = test();
    let event_loop = new_loop();
    let (send, wakers) = mpsc::channel::<Waker>();
    let begun = Arc::new(Barrier::new(2));
    let begins = begun.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stops = stop.clone();
    let other = thread::spawn(move || {
        begins.wait();
        let mut known: Vec<Waker> = Vec::new();
        while !stops.load(Ordering::Relaxed) {
            known.extend(wakers.try_iter());
            let old = known.len().saturating_sub(20);
            known.drain(..old);
            known.iter().for_each(Waker::wake_by_ref);
        }
    });
    begun.wait();
    for round in 0..2000 {
        let (task, waker, steps) = counted(&event_loop);
        send.send(waker).expect("the other thread");
        run_iteration(&event_loop);
        assert!(steps.get() >= 1);
        if round % 2 == 0 {
            task.cancel();
        } else {
            event_loop.run_until_complete(async {
                let ends = event_loop.create_task(async { 5 });
                assert_eq!(ends.await.expect("a result"), 5);
            });
            task.cancel();
        }
    }
    assert_eq!(event_loop.stats().tasks, 0);
    stop.store(true, Ordering::Relaxed);
    drop(event_loop);
    other.join().expect("ended");
}

#[test]
fn waker_of_a_closed_loop_does_not_wake_a_loop_with_its_id() {
    let _test = test();
    let mut stale = Vec::new();
    for _ in 0..300 {
        let event_loop = new_loop();
        stale.push(counted(&event_loop).1);
        drop(event_loop);
    }
    let event_loop = new_loop();
    let (_task, waker, steps) = counted(&event_loop);
    stale.iter().for_each(Waker::wake_by_ref);
    let other = thread::spawn(move || stale.into_iter().for_each(Waker::wake));
    other.join().expect("woken");
    run_iteration(&event_loop);
    assert_eq!(steps.get(), 1);
    waker.wake();
    run_iteration(&event_loop);
    assert_eq!(steps.get(), 2);
}

#[test]
fn million_wake_ups_from_a_thread_are_one_message() {
    let _test = test();
    let event_loop = new_loop();
    let (_one, waker, steps) = counted(&event_loop);
    let (_two, second, _) = counted(&event_loop);
    let other = thread::spawn(move || {
        for _ in 0..1_000_000 {
            waker.wake_by_ref();
            second.wake_by_ref();
        }
    });
    other.join().expect("woken");
    run_iteration(&event_loop);
    assert_eq!(steps.get(), 2);
    run_iteration(&event_loop);
    assert_eq!(steps.get(), 2);
}

#[test]
fn wake_up_from_a_thread_follows_its_earlier_remote_call() {
    let _test = test();
    thread_local!(static CALLED: Cell<bool> = const { Cell::new(false) });
    let event_loop = new_loop();
    let (send, wakers) = mpsc::channel::<Waker>();
    let remote = event_loop.remote();
    let other = thread::spawn(move || {
        for waker in wakers {
            let call = remote.call_soon_threadsafe(|| CALLED.set(true));
            call.expect("open");
            waker.wake();
        }
    });
    for _ in 0..200 {
        CALLED.set(false);
        let mut asked = false;
        event_loop.run_until_complete(poll_fn(|cx| {
            if asked {
                return Poll::Ready(());
            }
            asked = true;
            send.send(cx.waker().clone()).expect("a waiting receiver");
            Poll::Pending
        }));
        assert!(CALLED.get());
    }
    drop(send);
    other.join().expect("ended");
}

#[test]
fn busy_iteration_polls_only_if_a_descriptor_is_registered() {
    let _test = test();
    let event_loop = new_loop();
    let yields = async |n: u32| {
        for _ in 0..n {
            event_loop.sleep(Duration::ZERO).await;
        }
    };
    event_loop.run_until_complete(yields(100));
    let alone = event_loop.stats();
    assert!(alone.iterations >= 100 && alone.polls <= 1, "{alone:?}");
    let (one, _other) = sendloop::Socket::pair().expect("a pair");
    let waits = event_loop.wait_for(event_loop.sock_recv(&one, 1), Duration::from_millis(1));
    event_loop.run_until_complete(waits).expect_err("no byte arrives");
    let before = event_loop.stats().polls;
    event_loop.run_until_complete(yields(100));
    assert!(event_loop.stats().polls - before >= 100);
}

#[test]
fn waker_keeps_neither_future_nor_result() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    let slot = Rc::new(RefCell::new(None));
    let (inside, keeps) = (held.clone(), slot.clone());
    let task = event_loop.create_task(async move {
        poll_fn(|cx| Poll::Ready(keeps.replace(Some(cx.waker().clone())))).await;
        drop(keeps);
        pending::<()>().await;
        inside
    });
    run_iteration(&event_loop);
    task.cancel();
    drop(task);
    assert_eq!(Rc::strong_count(&held), 1);
    slot.take().expect("kept").wake();
    run_iteration(&event_loop);
    drop(event_loop);
}
