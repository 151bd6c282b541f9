//! Calls, wake-ups and stops that come from other threads.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::util::*;

thread_local! {
    /// The calls from other threads, by thread and sequence number.
    ///
    /// Such a call must be `Send`, so it cannot hold an `Rc`.
    static CALLS: RefCell<Vec<(u32, u32)>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn remote_calls_of_four_threads_run_in_order_per_thread() {
    let _test = test();
    const EACH: u32 = 50_000;
    let event_loop = new_loop();
    CALLS.take();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let remote = event_loop.remote();
            thread::spawn(move || {
                for n in 0..EACH {
                    let call = move || CALLS.with_borrow_mut(|came| came.push((caller, n)));
                    remote.call_soon_threadsafe(call).expect("open");
                }
            })
        })
        .collect();
    let all = 4 * EACH as usize;
    run_until(&event_loop, || CALLS.with_borrow(Vec::len) == all);
    for caller in callers {
        caller.join().expect("called");
    }
    let came = CALLS.take();
    for caller in 0..4 {
        let mine = came.iter().filter(|(by, _)| *by == caller);
        assert!(mine.map(|(_, n)| *n).eq(0..EACH));
    }
}

#[test]
fn remote_call_from_the_loops_thread_keeps_queue_order() {
    let _test = test();
    let event_loop = new_loop();
    CALLS.take();
    let remote = event_loop.remote();
    for n in 0..10 {
        let call = move || CALLS.with_borrow_mut(|came| came.push((0, n)));
        if n % 2 == 0 {
            remote.call_soon_threadsafe(call).expect("open");
        } else {
            event_loop.call_soon(call);
        }
    }
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(CALLS.take().into_iter().map(|(_, n)| n).eq(0..10));
}

/// A count that another thread increases, and the waker of the task that waits for it.
#[derive(Default)]
struct Shared {
    number: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    fn raise(&self) {
        self.number.fetch_add(1, Ordering::Release);
        let waker = self.waker.lock().expect("whole").take();
        if let Some(waker) = waker {
            waker.wake();
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

#[test]
fn no_wake_up_from_another_thread_is_lost() {
    let _test = test();
    const ROUNDS: u64 = 10_000;
    let event_loop = new_loop();
    let shared = Arc::new(Shared::default());
    let (go, gone) = mpsc::channel();
    let raised = shared.clone();
    let other = thread::spawn(move || {
        while gone.recv().is_ok() {
            raised.raise();
        }
    });
    let waits = shared.clone();
    let task = event_loop.create_task(async move {
        for round in 1..=ROUNDS {
            go.send(()).expect("the other thread");
            waits.reaches(round).await;
        }
    });
    event_loop.run_until_complete(task).expect("no panic");
    other.join().expect("ended");
}

#[test]
fn no_wake_up_is_lost_among_local_wake_ups() {
    let _test = test();
    let event_loop = new_loop();
    let shared = Arc::new(Shared::default());
    let raised = shared.clone();
    let other = thread::spawn(move || (0..100_000).for_each(|_| raised.raise()));
    event_loop.run_until_complete(async {
        let waited = event_loop.create_task({
            let shared = shared.clone();
            async move { shared.reaches(100_000 + 1000).await }
        });
        for _ in 0..1000 {
            shared.raise();
            event_loop.sleep(Duration::ZERO).await;
        }
        waited.await.expect("reached");
    });
    other.join().expect("ended");
}

#[test]
fn stop_from_another_thread_ends_the_run() {
    let _test = test();
    let event_loop = new_loop();
    for _ in 0..100 {
        let (remote, begun) = (event_loop.remote(), Arc::new(Barrier::new(2)));
        let begins = begun.clone();
        let other = thread::spawn(move || {
            begins.wait();
            remote.stop();
        });
        event_loop.call_soon(move || {
            begun.wait();
        });
        event_loop.run_forever();
        other.join().expect("stopped");
    }
}
