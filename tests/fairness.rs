//! No task can take the loop for itself, and none that has much to wait for is starved.

mod util;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use sendloop::{Loop, LoopHandle, Socket};
use util::*;

#[track_caller]
fn turn(event_loop: &Loop) {
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
}

#[test]
fn tasks_that_yield_alternate() {
    let _test = test();
    let event_loop = new_loop();
    let log = Rc::new(RefCell::new(Vec::new()));
    for name in 0..3 {
        let (handle, log) = (event_loop.handle(), log.clone());
        event_loop.create_task(async move {
            for round in 0..10 {
                log.borrow_mut().push((round, name));
                handle.sleep(Duration::ZERO).await;
            }
        });
    }
    turn_until(&event_loop, || event_loop.stats().tasks == 0);
    let expected: Vec<_> = (0..10).flat_map(|r| (0..3).map(move |n| (r, n))).collect();
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn ten_thousand_tasks_come_and_go() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    let tasks: Vec<_> = (0..10_000_u64)
        .map(|n| {
            let (handle, held) = (event_loop.handle(), held.clone());
            event_loop.create_task(async move {
                handle.sleep(Duration::from_micros(n % 100)).await;
                drop(held);
                n
            })
        })
        .collect();
    assert_eq!(event_loop.stats().tasks, 10_000);
    let sum = event_loop.run_until_complete(async {
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("a result");
        }
        sum
    });
    assert_eq!(sum, 10_000 * 9_999 / 2);
    assert_eq!((Rc::strong_count(&held), event_loop.stats().tasks), (1, 0));
}

/// Runs `greedy`, which never ends and never waits, until a timer has stopped the loop.
fn does_not_starve<F: Future<Output = ()> + 'static>(greedy: impl FnOnce(LoopHandle) -> F) {
    let event_loop = new_loop();
    event_loop.create_task(greedy(event_loop.handle()));
    let handle = event_loop.handle();
    event_loop.call_later(Duration::from_millis(1), move || handle.stop());
    event_loop.run_forever();
}

#[test]
fn a_task_that_is_always_ready_does_not_starve_a_timer() {
    let _test = test();
    does_not_starve(|event_loop| async move {
        let (near, far) = Socket::pair().expect("a pair");
        loop {
            let sent = event_loop.sock_sendall(&near, b"x").await;
            sent.expect("room");
            let got = event_loop.sock_recv_into(&far, &mut [0]).await;
            assert_eq!(got.expect("received"), 1);
        }
    });
    does_not_starve(|event_loop| async move {
        let (near, far) = Socket::pair().expect("a pair");
        drop(far);
        while event_loop
            .sock_recv(&near, 1)
            .await
            .expect("the end")
            .is_empty()
        {}
    });
}

/// 300 receives of one task, of which nothing comes but for the last.
async fn the_first_of_300(
    event_loop: &Loop,
    most_steps: u32,
    send: impl FnOnce(&UnixStream),
) -> Option<usize> {
    let pairs: Vec<_> = (0..300).map(|_| Socket::pair().expect("a pair")).collect();
    let mut waiting: Vec<_> = pairs
        .iter()
        .map(|(near, _)| Box::pin(event_loop.sock_recv(near, 10)))
        .collect();
    send(pairs[299].1.get_ref());
    let mut steps = 0;
    poll_fn(|cx| {
        steps += 1;
        let mut ready = waiting
            .iter_mut()
            .map(|one| one.as_mut().poll(cx).is_ready());
        match ready.position(|ready| ready) {
            None if steps < most_steps => Poll::Pending,
            answer => Poll::Ready(answer),
        }
    })
    .await
}

#[test]
fn one_task_may_wait_for_more_operations_than_its_share_and_none_is_starved() {
    let _test = test();
    let event_loop = new_loop();
    let first = the_first_of_300(&event_loop, 100, |far| {
        (&mut &*far).write_all(b"x").expect("room");
    });
    assert_eq!(event_loop.run_until_complete(first), Some(299));
}

#[test]
fn one_task_that_waits_for_more_operations_than_its_share_costs_no_cpu() {
    let _test = test();
    let event_loop = new_loop();
    let nothing_comes = the_first_of_300(&event_loop, u32::MAX, |_| ());
    let waited = event_loop.wait_for(nothing_comes, Duration::from_millis(50));
    assert!(event_loop.run_until_complete(waited).is_err());
    let turns = event_loop.stats().turns;
    assert!(turns < 10, "{turns} turns to wait once");
}

/// Awaits `ready_at_once` over and over, and checks that a callback gets its turn meanwhile.
#[track_caller]
fn lets_a_callback_run(what: &str, event_loop: &Loop, mut ready_at_once: impl AsyncFnMut()) {
    let ran = Rc::new(Cell::new(false));
    let runs = ran.clone();
    event_loop.run_until_complete(async {
        event_loop.call_soon(move || runs.set(true));
        for _ in 0..5000 {
            ready_at_once().await;
            if ran.get() {
                return;
            }
        }
        panic!("5000 times {what} and no turn for anybody else");
    });
}

#[test]
fn sends_of_nothing_do_not_starve_the_rest() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    lets_a_callback_run("sock_sendall", &event_loop, async || {
        event_loop
            .sock_sendall(&near, b"")
            .await
            .expect("nothing to do");
    });
}

#[test]
fn connections_that_fail_at_once_do_not_starve_the_rest() {
    let _test = test();
    let event_loop = new_loop();
    let client = Socket::unix().expect("a socket");
    lets_a_callback_run("sock_connect", &event_loop, async || {
        let path = Path::new("/tmp/there is no such socket");
        let failed = event_loop.sock_connect(&client, path).await;
        failed.expect_err("nowhere");
    });
}

#[test]
fn two_thousand_events_at_once_all_reach_who_waits() {
    let _test = test();
    let event_loop = new_loop();
    let (far, tasks): (Vec<_>, Vec<_>) = (0..2000)
        .map(|_| {
            let (near, far) = Socket::pair().expect("a pair");
            let handle = event_loop.handle();
            let task = event_loop.create_task(async move { handle.sock_recv(&near, 10).await });
            (far, task)
        })
        .unzip();
    turn(&event_loop);
    assert_eq!(event_loop.stats().registered, 2000);
    for far in &far {
        (&mut far.get_ref()).write_all(b"x").expect("room");
    }
    event_loop.run_until_complete(async {
        for task in tasks {
            let received = task.await.expect("no panic");
            assert_eq!(received.expect("received"), b"x");
        }
    });
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn datagrams_over_a_unix_socket_starved_the_rest() {
    let _test = test();
    let event_loop = new_loop();
    let folder = tempfile::tempdir().expect("a folder");
    let there = UnixDatagram::bind(folder.path().join("there")).expect("bound");
    let addr = there.local_addr().expect("bound");
    let here = Socket::new(UnixDatagram::unbound().expect("a socket")).expect("non-blocking");
    lets_a_callback_run("sock_sendto", &event_loop, async || {
        let sent = event_loop.sock_sendto(&here, b"x", &addr);
        assert_eq!(sent.await.expect("there is room"), 1);
        there.recv(&mut [0; 2]).expect("received");
    });
}
