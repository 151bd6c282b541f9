//! Several tasks that wait for one socket.
//!
//! An event wakes as many tasks as can proceed, and no wake-up is lost. The cost of a wait does not
//! depend on the number of waiters.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::ports::udp;
use crate::util::sock::*;
use crate::util::*;
use sendloop::{Loop, Socket, Task};

/// Returns the output of a task. Panics if it does not end in time.
#[track_caller]
fn ended<T>(event_loop: &Loop, task: Task<T>) -> T {
    let waited = event_loop.wait_for(task, Duration::from_secs(10));
    let result = event_loop.run_until_complete(waited);
    result.expect("an end in time").expect("a result")
}

#[test]
fn one_connection_wakes_one_of_a_thousand_accepting_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let listener = Rc::new(Socket::new(listener).expect("non-blocking"));
    let accepted = Rc::new(RefCell::new(Vec::new()));
    for number in 0..1000 {
        let (handle, listener, accepted) =
            (event_loop.handle(), listener.clone(), accepted.clone());
        event_loop.create_task(async move {
            let (stream, _) = handle.sock_accept(&listener).await.expect("accepted");
            accepted.borrow_mut().push((number, stream));
        });
    }
    run_iteration(&event_loop);
    let before = event_loop.stats().task_steps;
    let _client = TcpStream::connect(addr).expect("connected");
    run_until(&event_loop, || accepted.borrow().len() == 1);
    (0..10).for_each(|_| run_iteration(&event_loop));
    let steps = event_loop.stats().task_steps - before;
    // One step accepts, and a second one finds no other connection.
    assert!(steps <= 2, "{steps} steps for one connection");
    assert_eq!(accepted.borrow()[0].0, 0, "the first one waited longest");
    let clients: Vec<_> = (1..100).map(|_| TcpStream::connect(addr).expect("connected")).collect();
    run_until(&event_loop, || accepted.borrow().len() == 100);
    let steps = event_loop.stats().task_steps - before;
    assert!(steps <= 2 * 100, "{steps} steps for 100 connections");
    drop(clients);
}

#[test]
fn one_event_for_many_datagrams_wakes_as_many_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let (here, there) = (Rc::new(udp()), Rc::new(udp()));
    let addr = there.get_ref().local_addr().expect("bound");
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (handle, there) = (event_loop.handle(), there.clone());
            event_loop
                .create_task(async move { handle.sock_recvfrom(&there, 9).await.map(|got| got.0) })
        })
        .collect();
    run_iteration(&event_loop);
    for n in 0..20_u8 {
        here.get_ref().send_to(&[n], addr).expect("sent");
    }
    let done = || tasks.iter().filter(|task| task.done()).count();
    run_until(&event_loop, || done() == 20);
    (0..10).for_each(|_| run_iteration(&event_loop));
    assert_eq!(done(), 20);
}

#[test]
fn the_end_of_a_stream_wakes_all_its_readers_at_once() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = pair();
    let tasks: Vec<_> = (0..100).map(|_| receiver(&event_loop, &near, 1)).collect();
    drop(far);
    run_iteration(&event_loop);
    assert!(tasks.iter().all(Task::done));
}

/// Polls `future` once and keeps it. No task polls it again.
async fn hold<F: Future + Unpin>(mut future: F) -> F {
    let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx).is_ready())).await;
    assert!(!polled, "nothing has come yet");
    future
}

#[test]
fn task_that_ignores_its_wake_up_passes_it_on() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    // Several tasks in a row get the wake-up, and each then waits for something else.
    for _ in 0..5 {
        let (handle, near) = (event_loop.handle(), near.clone());
        event_loop.create_task(async move {
            let receive = hold(Box::pin(handle.sock_recv(&near, 10))).await;
            std::future::pending::<()>().await;
            drop(receive);
        });
    }
    let second = receiver(&event_loop, &near, 10);
    far.write_all(b"x").expect("room");
    assert_eq!(ended(&event_loop, second), b"x");
}

#[test]
fn adapter_that_stops_polling_passes_its_wake_up_on() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let noop = Context::from_waker(Waker::noop());
    assert!(event_loop.poll_recv(&noop, &near, &mut [0; 10]).is_pending());
    let second = receiver(&event_loop, &near, 10);
    far.write_all(b"x").expect("room");
    assert_eq!(ended(&event_loop, second), b"x");
}

#[test]
fn cancelled_woken_tasks_pass_their_wake_up_on() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let tasks: Vec<_> = (0..5).map(|_| receiver(&event_loop, &near, 10)).collect();
    let last = receiver(&event_loop, &near, 10);
    // Queued before the event: when it runs, the first task is woken but has not run.
    event_loop.call_soon(move || {
        for task in tasks {
            assert!(task.cancel());
        }
    });
    far.write_all(b"x").expect("room");
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert!(last.done());
    assert_eq!(ended(&event_loop, last), b"x");
}

#[test]
fn early_reader_takes_no_wake_up_from_waiters() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let tasks: Vec<_> = (0..3).map(|_| receiver(&event_loop, &near, 1)).collect();
    let (handle, reads) = (event_loop.handle(), near.clone());
    // It has its step in the iteration of the event, before the task that is woken.
    let early = event_loop.create_task(async move { handle.sock_recv(&reads, 1).await });
    far.write_all(b"abcd").expect("room");
    assert_eq!(ended(&event_loop, early).expect("received"), b"a");
    for task in tasks {
        assert_eq!(ended(&event_loop, task).len(), 1);
    }
}

#[test]
fn an_fd_callback_and_tasks_of_one_socket_both_get_their_events() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let (mut reads, calls) =
        (near.get_ref().try_clone().expect("a duplicate"), Rc::new(RefCell::new(Vec::new())));
    let called = calls.clone();
    event_loop
        .add_reader(&near, move || {
            let mut byte = [0];
            called.borrow_mut().push(reads.read(&mut byte).ok().map(|_| byte[0]));
        })
        .expect("added");
    let tasks: Vec<_> = (0..2).map(|_| receiver(&event_loop, &near, 1)).collect();
    far.write_all(b"abcdef").expect("room");
    run_until(&event_loop, || tasks.iter().all(Task::done) && calls.borrow().len() >= 4);
    assert!(event_loop.remove_reader(&near));
    let mut all: Vec<u8> = calls.borrow().iter().copied().flatten().collect();
    all.extend(tasks.into_iter().flat_map(|task| ended(&event_loop, task)));
    all.sort_unstable();
    assert_eq!(all, b"abcdef");
    // Without the callback, the tasks receive as before.
    let later = receiver(&event_loop, &near, 1);
    far.write_all(b"g").expect("room");
    assert_eq!(ended(&event_loop, later), b"g");
}

/// Plays a random history of tasks that receive single bytes, are cancelled, or are ignored.
///
/// No byte is left while a task waits for one.
fn random_history(seed: u64) {
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let mut random = Random(seed);
    let (mut tasks, mut held): (Vec<Task<Vec<u8>>>, Vec<Task<()>>) = Default::default();
    let (mut sent, received) = (0, Rc::new(Cell::new(0)));
    for _ in 0..60 {
        match random.below(6) {
            0 | 1 => {
                let (handle, near, received) =
                    (event_loop.handle(), near.clone(), received.clone());
                tasks.push(event_loop.create_task(async move {
                    let byte = handle.sock_recv(&near, 1).await.expect("received");
                    received.set(received.get() + 1);
                    byte
                }));
            }
            2 => {
                let (handle, near, received) =
                    (event_loop.handle(), near.clone(), received.clone());
                held.push(event_loop.create_task(async move {
                    let mut receive = Box::pin(handle.sock_recv(&near, 1));
                    let first = poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx))).await;
                    if first.is_pending() {
                        std::future::pending::<()>().await;
                    }
                    received.set(received.get() + 1);
                }));
            }
            3 if !tasks.is_empty() => {
                let index = random.below(tasks.len());
                tasks.swap_remove(index).cancel();
            }
            4 if !held.is_empty() => {
                let index = random.below(held.len());
                held.swap_remove(index).cancel();
            }
            _ => {
                far.write_all(b"x").expect("room");
                sent += 1;
            }
        }
        if random.below(2) == 0 {
            held.retain(|task| !task.done());
            // Each held task can keep a wake-up for some iterations, and each byte takes one.
            for _ in 0..3 * held.len() + sent - received.get() + 6 {
                run_iteration(&event_loop);
            }
            tasks.retain(|task| !task.done());
            assert!(
                tasks.is_empty() || sent == received.get(),
                "seed {seed}: {} tasks wait for {} bytes",
                tasks.len(),
                sent - received.get()
            );
            // The test reads the bytes that no task waits for.
            while sent > received.get() {
                near.get_ref().read_exact_byte();
                received.set(received.get() + 1);
            }
        }
    }
}

trait ReadByte {
    fn read_exact_byte(&self);
}

impl ReadByte for UnixStream {
    fn read_exact_byte(&self) {
        let mut from = self;
        from.read_exact(&mut [0]).expect("a byte is there");
    }
}

#[test]
fn no_byte_is_left_while_a_task_waits() {
    let _test = test();
    for seed in 0..500 {
        random_history(seed);
    }
}

/// The order in which waiting operations are dropped.
#[derive(Clone, Copy, Debug)]
enum Order {
    NewestFirst,
    OldestFirst,
    Random,
}

/// Returns the CPU time to make `count` operations wait, to poll each again, and to drop them.
fn time_to_drop<F: Future>(count: usize, order: Order, mut make: impl FnMut() -> F) -> Duration {
    let mut noop = Context::from_waker(Waker::noop());
    let before = cpu_time();
    let mut waiting: Vec<_> = (0..count).map(|_| Some(Box::pin(make()))).collect();
    for _ in 0..2 {
        for future in waiting.iter_mut().flatten() {
            assert!(future.as_mut().poll(&mut noop).is_pending());
        }
    }
    let mut random = Random(7);
    match order {
        Order::NewestFirst => waiting.iter_mut().rev().for_each(|future| drop(future.take())),
        Order::OldestFirst => waiting.iter_mut().for_each(|future| drop(future.take())),
        Order::Random => {
            while !waiting.is_empty() {
                let index = random.below(waiting.len());
                drop(waiting.swap_remove(index));
            }
        }
    }
    cpu_time() - before
}

/// Asserts that sixteen times as many operations cost about sixteen times as much.
///
/// It is a few times that if no CPU cache holds them. A linear search would cost 256 times as much.
#[track_caller]
fn assert_linear<F: Future>(what: &str, mut make: impl FnMut() -> F) {
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Random] {
        let mut best = |count| {
            let times = (0..2).map(|_| time_to_drop(count, order, &mut make));
            times.min().expect("two times")
        };
        let (few, many) = (best(2_500), best(40_000));
        assert!(
            many < 80 * few.max(Duration::from_millis(1)),
            "{what}, {order:?}: {few:?} for 2,500 and {many:?} for 40,000"
        );
    }
}

#[test]
fn forty_thousand_waiting_operations_are_dropped_in_linear_time() {
    let _test = test_within(Duration::from_secs(120));
    let event_loop = new_loop();
    let (near, _far) = small_buffer_unix();
    let bytes = vec![1; 1 << 20];
    let mut noop = Context::from_waker(Waker::noop());
    let mut stalled = Box::pin(event_loop.sock_sendall(&near, &bytes));
    assert!(stalled.as_mut().poll(&mut noop).is_pending());
    assert_linear("sock_sendall", || event_loop.sock_sendall(&near, b"x"));
    assert_linear("sock_recv", || event_loop.sock_recv(&near, 10));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listener = Socket::new(listener).expect("non-blocking");
    assert_linear("sock_accept", || event_loop.sock_accept(&listener));
}
