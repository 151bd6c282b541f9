//! Every order in which other threads can reach a loop: calls, wake-ups, results of the executor, and its end.
//!
//! A message that no turn takes, or a wake-up that no poll follows, leaves the loop waiting for ever: then no thread of the
//! model can go on, which fails it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Loop;
use crate::remote::Remote;
use crate::sync::model::{block_on, explore, fail_wakes, refuse_threads, thread};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

fn new_loop(threads: usize) -> Loop {
    let built = Loop::builder().executor_threads(threads).build();
    built.expect("a loop")
}

#[track_caller]
fn turn(event_loop: &Loop) {
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
}

/// Calls back from another thread; the last of `all` calls stops the loop.
fn call(remote: Remote, came: Arc<AtomicUsize>, all: usize) {
    let back = remote.clone();
    let call = move || {
        if came.fetch_add(1, Ordering::Relaxed) + 1 == all {
            back.stop();
        }
    };
    remote.call_soon_threadsafe(call).expect("open");
}

#[test]
fn calls_of_two_threads_reach_a_loop_that_waits() {
    explore(None, || {
        let event_loop = new_loop(1);
        let came = Arc::new(AtomicUsize::new(0));
        let callers = [(); 2].map(|()| {
            let (remote, came) = (event_loop.remote(), came.clone());
            thread(move || call(remote, came, 2))
        });
        event_loop.run_forever();
        assert_eq!(came.load(Ordering::Relaxed), 2);
        for caller in callers {
            caller.join().expect("no panic");
        }
    });
}

#[test]
fn calls_reach_a_loop_that_is_busy() {
    explore(None, || {
        let event_loop = new_loop(1);
        let came = Arc::new(AtomicUsize::new(0));
        let (remote, counts) = (event_loop.remote(), came.clone());
        let caller = thread(move || {
            call(remote.clone(), counts.clone(), 2);
            call(remote, counts, 2);
        });
        // A loop with something to do does not ask its poller unless somebody has left a message.
        let handle = event_loop.handle();
        event_loop.call_soon(move || drop(handle.call_soon(|| ())));
        event_loop.run_forever();
        caller.join().expect("no panic");
    });
}

#[test]
fn what_a_failed_wake_left_is_found_by_the_next_turn() {
    explore(None, || {
        let event_loop = new_loop(1);
        fail_wakes(0, 1);
        let came = Arc::new(AtomicUsize::new(0));
        let callers = [(); 2].map(|()| {
            let (remote, came) = (event_loop.remote(), came.clone());
            thread(move || call(remote, came, 3))
        });
        turn(&event_loop);
        for caller in callers {
            caller.join().expect("no panic");
        }
        turn(&event_loop);
        turn(&event_loop);
        assert_eq!(came.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_call_beside_the_loops_end_runs_or_is_dropped() {
    explore(None, || {
        let event_loop = new_loop(1);
        let (ran, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let (remote, runs, inside) = (event_loop.remote(), ran.clone(), held.clone());
        let caller = thread(move || {
            let call = move || {
                runs.fetch_add(1, Ordering::Relaxed);
                drop(inside);
            };
            let called = remote.call_soon_threadsafe(call);
            remote.stop();
            called.is_ok()
        });
        // It outlives the loop, and holds nothing of it.
        let remote = event_loop.remote();
        turn(&event_loop);
        drop(event_loop);
        let called = caller.join().expect("no panic");
        assert!(called || ran.load(Ordering::Relaxed) == 0);
        assert_eq!(Arc::strong_count(&held), 1);
        remote.call_soon_threadsafe(|| ()).expect_err("closed");
    });
}

/// Where a task leaves its waker for other threads.
#[derive(Default)]
struct Place {
    waker: Mutex<Option<Waker>>,
    set: [AtomicBool; 2],
}

impl Place {
    fn set(&self, which: usize) {
        self.set[which].store(true, Ordering::Relaxed);
        let waker = self.waker.lock().expect("whole").clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready when the first `many` are set. The lock orders the look and the setting, not what the loop does.
    fn poll(&self, waker: &Waker, many: usize) -> Poll<()> {
        *self.waker.lock().expect("whole") = Some(waker.clone());
        let mut set = self.set[..many].iter();
        match set.all(|set| set.load(Ordering::Relaxed)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[test]
fn a_task_woken_while_it_is_polled_is_polled_again() {
    explore(None, || {
        let event_loop = new_loop(1);
        let place = Arc::new(Place::default());
        let sets = place.clone();
        let other = thread(move || sets.set(0));
        let task = event_loop.create_task(poll_fn(move |cx| place.poll(cx.waker(), 1)));
        event_loop.run_until_complete(task).expect("no panic");
        other.join().expect("no panic");
    });
}

#[test]
fn a_task_woken_by_two_threads_sees_what_both_have_done() {
    explore(Some(4), || {
        let event_loop = new_loop(1);
        let place = Arc::new(Place::default());
        let others = [0, 1].map(|which| {
            let sets = place.clone();
            thread(move || sets.set(which))
        });
        event_loop.run_until_complete(poll_fn(|cx| place.poll(cx.waker(), 2)));
        for other in others {
            other.join().expect("no panic");
        }
    });
}

#[test]
fn a_wake_after_the_tasks_end_reaches_nobody() {
    explore(None, || {
        let event_loop = new_loop(1);
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let leaves = waker.clone();
        let held = Rc::new(());
        let inside = held.clone();
        let first = event_loop.create_task(poll_fn(move |cx| {
            let _inside = &inside;
            leaves.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }));
        turn(&event_loop);
        let waker = waker.take().expect("it was polled");
        let other = thread(move || {
            waker.wake_by_ref();
            waker.wake();
        });
        assert!(first.cancel());
        // It has the place of the first.
        let polls = Rc::new(Cell::new(0));
        let counts = polls.clone();
        let second = event_loop.create_task(poll_fn(move |_| {
            counts.set(counts.get() + 1);
            Poll::<()>::Pending
        }));
        turn(&event_loop);
        turn(&event_loop);
        assert_eq!((polls.get(), Rc::strong_count(&held)), (1, 1));
        drop(event_loop);
        assert!(second.cancelled());
        other.join().expect("no panic");
    });
}

#[test]
fn results_of_the_executor_reach_a_loop_that_waits() {
    explore(Some(5), || {
        let event_loop = new_loop(1);
        let (one, two) = (
            event_loop.run_in_executor(|| 1),
            event_loop.run_in_executor(|| 2),
        );
        event_loop.run_until_complete(async {
            assert_eq!(two.await.expect("ran") + one.await.expect("ran"), 3);
            event_loop.shutdown_default_executor().await;
        });
    });
}

#[test]
fn a_loop_starts_the_thread_that_was_refused() {
    explore(Some(3), || {
        let event_loop = new_loop(2);
        let waits = Arc::new(Place::default());
        let sets = waits.clone();
        refuse_threads(1, 2);
        let one = event_loop.run_in_executor(|| 1);
        let two = event_loop.run_in_executor(move || sets.set(0));
        event_loop.run_until_complete(async {
            let mut one = pin!(one);
            two.await.expect("ran");
            poll_fn(|cx| waits.poll(cx.waker(), 1)).await;
            assert_eq!(one.as_mut().await.expect("ran"), 1);
            event_loop.shutdown_default_executor().await;
        });
    });
}

#[test]
fn a_loop_that_is_closed_beside_its_executor_waits_for_nothing() {
    explore(None, || {
        let event_loop = new_loop(1);
        let held = Arc::new(());
        let inside = held.clone();
        let work = event_loop.run_in_executor(move || inside);
        let task = event_loop.create_task(async move { drop(work.await) });
        turn(&event_loop);
        let handle = event_loop.handle();
        drop(event_loop);
        assert!(task.done());
        // Only the model waits for the thread, whose last wake-up must find the doors of loops.
        block_on(poll_fn(|cx| handle.pool().poll_ended(cx)));
        assert_eq!(Arc::strong_count(&held), 1);
    });
}
