//! Futures of other crates on the loop: combinators, channels across threads, foreign wakers.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::util::*;
use futures_util::StreamExt;
use futures_util::future::{Either, join_all, select};
use futures_util::stream::FuturesUnordered;
use sendloop::Socket;

#[test]
fn select_returns_the_first_and_keeps_the_other_usable() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    event_loop.run_until_complete(async {
        let mut received = pin!(event_loop.sock_recv(&near, 100));
        let brief = event_loop.sleep(Duration::from_millis(2));
        match select(received.as_mut(), brief).await {
            Either::Left(_) => panic!("nothing was sent"),
            Either::Right(((), _)) => {}
        }
        far.get_ref().write_all(b"at last").expect("room");
        let long = event_loop.sleep(Duration::from_secs(3600));
        match select(received, long).await {
            Either::Left((received, _)) => assert_eq!(received.expect("received"), b"at last"),
            Either::Right(_) => panic!("an hour has passed"),
        }
    });
    // The sleep that lost took its timer with it.
    assert_eq!(event_loop.next_timeout(), None);
}

#[test]
fn join_all_returns_results_in_the_order_of_its_futures() {
    let _test = test();
    let event_loop = new_loop();
    let tasks = (0..1000_u64).map(|n| {
        let handle = event_loop.handle();
        event_loop.create_task(async move {
            handle.sleep(Duration::from_micros(n * 7919 % 5000)).await;
            n
        })
    });
    let results = event_loop.run_until_complete(join_all(tasks));
    let results: Vec<u64> = results.into_iter().map(|n| n.expect("done")).collect();
    assert_eq!(results, Vec::from_iter(0..1000));
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn sleeps_in_one_task_end_in_order_of_their_deadlines() {
    let _test = test();
    let clock = sendloop::Clock::manual();
    let event_loop = sendloop::Loop::builder().clock(clock.clone()).build();
    let event_loop = event_loop.expect("made");
    let handle = event_loop.handle();
    let sleeps: FuturesUnordered<_> = (0..5000_u64)
        .map(|n| {
            let delay = 1 + n * 7919 % 5000;
            let sleep = handle.sleep(Duration::from_millis(delay));
            async move {
                sleep.await;
                delay
            }
        })
        .collect();
    let order = event_loop.create_task(sleeps.collect::<Vec<u64>>());
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    while !order.done() {
        clock.advance(Duration::from_millis(1));
        // The first iteration wakes the task, and the next one polls it. `FuturesUnordered` yields
        // if many futures are ready.
        for _ in 0..2 {
            event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        }
    }
    let order = event_loop.run_until_complete(order).expect("done");
    assert_eq!(order, Vec::from_iter(1..=5000));
}

#[test]
fn concurrent_recvs_in_one_task_each_receive_their_own_bytes() {
    let _test = test();
    let event_loop = new_loop();
    let pairs: Vec<_> = (0..500).map(|_| Socket::pair().expect("a pair")).collect();
    event_loop.run_until_complete(async {
        let mut receiving: FuturesUnordered<_> = pairs
            .iter()
            .enumerate()
            .map(async |(n, (near, _))| (n, event_loop.sock_recv(near, 100).await))
            .collect();
        let sending = async {
            for n in (0..500).map(|n| n * 233 % 500) {
                let text = format!("for {n}");
                event_loop.sock_sendall(&pairs[n].1, text.as_bytes()).await?;
                event_loop.sleep(Duration::ZERO).await;
            }
            std::io::Result::Ok(())
        };
        let all = async {
            let mut seen = [false; 500];
            while let Some((n, received)) = receiving.next().await {
                assert_eq!(received.expect("received"), format!("for {n}").as_bytes());
                assert!(!std::mem::replace(&mut seen[n], true));
            }
            seen
        };
        let (sent, seen) = futures_util::future::join(sending, all).await;
        sent.expect("sent");
        assert_eq!(seen, [true; 500]);
    });
}

#[test]
fn channel_to_a_thread_and_back_keeps_order() {
    let _test = test();
    const ITEMS: u64 = 10_000;
    // The channel is small, so both sides wait for each other many times.
    for room in [1, 64, ITEMS as usize] {
        let event_loop = new_loop();
        let (there, hears) = async_channel::bounded(room);
        let (answers, back) = async_channel::bounded(room);
        let from =
            thread::spawn(move || (0..ITEMS).for_each(|n| there.send_blocking(n).expect("open")));
        let to = thread::spawn(move || {
            let next = || back.recv_blocking().ok();
            std::iter::from_fn(next).collect::<Vec<u64>>()
        });
        let echo = event_loop.create_task(async move {
            let mut received = Vec::new();
            while let Ok(n) = hears.recv().await {
                received.push(n);
                answers.send(n * 3).await.expect("open");
            }
            received
        });
        let received = event_loop.run_until_complete(echo).expect("done");
        assert_eq!(received, Vec::from_iter(0..ITEMS));
        from.join().expect("all sent");
        let back = to.join().expect("all received");
        assert_eq!(back, Vec::from_iter((0..ITEMS).map(|n| n * 3)));
    }
}

/// The smallest future that another thread completes.
struct Oneshot<T>(Mutex<(Option<T>, Option<Waker>)>);

impl<T> Oneshot<T> {
    fn new() -> Arc<Oneshot<T>> {
        Arc::new(Oneshot(Mutex::new((None, None))))
    }

    fn send(&self, value: T) {
        let mut state = self.0.lock().expect("whole");
        state.0 = Some(value);
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    async fn receive(self: Arc<Self>) -> T {
        poll_fn(|cx| {
            let mut state = self.0.lock().expect("whole");
            if let Some(value) = state.0.take() {
                return Poll::Ready(value);
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

#[test]
fn a_thread_wakes_a_task_and_the_future_that_is_run() {
    let _test = test();
    let event_loop = new_loop();
    for n in 0..500 {
        let (root, task) = (Oneshot::new(), Oneshot::new());
        let (first, second) = (root.clone(), task.clone());
        let task = event_loop.create_task(task.receive());
        let sender = thread::spawn(move || {
            second.send(n + 1);
            first.send(n);
        });
        let got = event_loop.run_until_complete(async { (root.receive().await, task.await) });
        assert_eq!((got.0, got.1.expect("done")), (n, n + 1));
        sender.join().expect("sent");
    }
}

#[test]
fn a_waker_that_outlives_its_task_and_its_loop_does_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (waiting, never) = (Oneshot::<()>::new(), Oneshot::<()>::new());
    let task = event_loop.create_task(waiting.clone().receive());
    event_loop.create_task(never.clone().receive());
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(task.cancel());
    let later = thread::spawn(move || waiting.send(()));
    later.join().expect("sent");
    assert_eq!(event_loop.run_until_complete(async { 7 }), 7);
    drop(event_loop);
    thread::spawn(move || never.send(())).join().expect("sent");
}

#[test]
fn socket_works_with_std_after_it_left_the_loop() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = small_buffer_tcp();
    let handle = &event_loop;
    let (waited, ()) = event_loop
        .run_until_complete(futures_util::future::join(handle.sock_recv(&near, 100), async {
            far.write_all(b"one").expect("room")
        }));
    assert_eq!(waited.expect("received"), b"one");
    let mut near = near.into_inner();
    near.set_nonblocking(false).expect("set");
    far.write_all(b"two").expect("room");
    let mut text = [0; 3];
    near.read_exact(&mut text).expect("received");
    assert_eq!(&text, b"two");
}
