//! Every interleaving of a loop with threads that call it, wake its tasks, or run its work.
//!
//! If a message or wake-up is lost, the loop waits without end. Then no thread of the model can go
//! on, which fails the model.

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
fn run_iteration(event_loop: &Loop) {
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
}

/// Calls the loop from another thread. The last of `all` calls stops the loop.
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
fn calls_of_two_threads_reach_a_waiting_loop() {
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
fn calls_reach_a_busy_loop() {
    explore(None, || {
        let event_loop = new_loop(1);
        let came = Arc::new(AtomicUsize::new(0));
        let (remote, counts) = (event_loop.remote(), came.clone());
        let caller = thread(move || {
            call(remote.clone(), counts.clone(), 2);
            call(remote, counts, 2);
        });
        // A loop with queued callbacks polls only if the inbox has a message.
        let handle = event_loop.handle();
        event_loop.call_soon(move || drop(handle.call_soon(|| ())));
        event_loop.run_forever();
        caller.join().expect("no panic");
    });
}

#[test]
fn next_iteration_takes_messages_of_a_failed_wake() {
    explore(None, || {
        let event_loop = new_loop(1);
        fail_wakes(0, 1);
        let came = Arc::new(AtomicUsize::new(0));
        let callers = [(); 2].map(|()| {
            let (remote, came) = (event_loop.remote(), came.clone());
            thread(move || call(remote, came, 3))
        });
        run_iteration(&event_loop);
        for caller in callers {
            caller.join().expect("no panic");
        }
        run_iteration(&event_loop);
        run_iteration(&event_loop);
        assert_eq!(came.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn close_runs_or_drops_a_concurrent_call() {
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
        // This remote outlives the loop and must hold no message.
        let remote = event_loop.remote();
        run_iteration(&event_loop);
        drop(event_loop);
        let called = caller.join().expect("no panic");
        assert!(called || ran.load(Ordering::Relaxed) == 0);
        assert_eq!(Arc::strong_count(&held), 1);
        remote.call_soon_threadsafe(|| ()).expect_err("closed");
    });
}

/// A waker that a task shares with other threads, and the flags that they set.
#[derive(Default)]
struct Flags {
    waker: Mutex<Option<Waker>>,
    set: [AtomicBool; 2],
}

impl Flags {
    fn set(&self, which: usize) {
        self.set[which].store(true, Ordering::Relaxed);
        let waker = self.waker.lock().expect("whole").clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready if the first `count` flags are set.
    fn poll(&self, waker: &Waker, count: usize) -> Poll<()> {
        *self.waker.lock().expect("whole") = Some(waker.clone());
        let mut set = self.set[..count].iter();
        match set.all(|set| set.load(Ordering::Relaxed)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[test]
fn task_woken_during_a_poll_is_polled_again() {
    explore(None, || {
        let event_loop = new_loop(1);
        let flags = Arc::new(Flags::default());
        let sets = flags.clone();
        let other = thread(move || sets.set(0));
        let task = event_loop.create_task(poll_fn(move |cx| flags.poll(cx.waker(), 1)));
        event_loop.run_until_complete(task).expect("no panic");
        other.join().expect("no panic");
    });
}

#[test]
fn task_woken_by_two_threads_sees_the_writes_of_both() {
    explore(Some(4), || {
        let event_loop = new_loop(1);
        let flags = Arc::new(Flags::default());
        let others = [0, 1].map(|which| {
            let sets = flags.clone();
            thread(move || sets.set(which))
        });
        event_loop.run_until_complete(poll_fn(|cx| flags.poll(cx.waker(), 2)));
        for other in others {
            other.join().expect("no panic");
        }
    });
}

#[test]
fn wake_after_the_end_of_a_task_is_ignored() {
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
        run_iteration(&event_loop);
        let waker = waker.take().expect("it was polled");
        let other = thread(move || {
            waker.wake_by_ref();
            waker.wake();
        });
        assert!(first.cancel());
        // This task gets the slot of the first one.
        let polls = Rc::new(Cell::new(0));
        let counts = polls.clone();
        let second = event_loop.create_task(poll_fn(move |_| {
            counts.set(counts.get() + 1);
            Poll::<()>::Pending
        }));
        run_iteration(&event_loop);
        run_iteration(&event_loop);
        assert_eq!((polls.get(), Rc::strong_count(&held)), (1, 1));
        drop(event_loop);
        assert!(second.cancelled());
        other.join().expect("no panic");
    });
}

#[test]
fn executor_results_reach_a_waiting_loop() {
    explore(Some(5), || {
        let event_loop = new_loop(1);
        let (one, two) = (event_loop.run_in_executor(|| 1), event_loop.run_in_executor(|| 2));
        event_loop.run_until_complete(async {
            assert_eq!(two.await.expect("ran") + one.await.expect("ran"), 3);
            event_loop.shutdown_default_executor().await;
        });
    });
}

#[test]
fn loop_starts_a_refused_thread() {
    explore(Some(3), || {
        let event_loop = new_loop(2);
        let waits = Arc::new(Flags::default());
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
fn close_does_not_wait_for_the_executor() {
    explore(None, || {
        let event_loop = new_loop(1);
        let held = Arc::new(());
        let inside = held.clone();
        let work = event_loop.run_in_executor(move || inside);
        let task = event_loop.create_task(async move { drop(work.await) });
        run_iteration(&event_loop);
        let handle = event_loop.handle();
        drop(event_loop);
        assert!(task.done());
        // Only the model waits for the thread, whose last wake-up needs the model's statics.
        block_on(poll_fn(|cx| handle.inner.pool.poll_ended(cx)));
        assert_eq!(Arc::strong_count(&held), 1);
    });
}
