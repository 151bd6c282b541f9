//! No task starves the others, and a task with many waits is not starved.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::{pending, poll_fn};
use std::io::{Read, Write};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, LoopHandle, Socket};

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
    run_until(&event_loop, || event_loop.stats().tasks == 0);
    let expected: Vec<_> = (0..10).flat_map(|r| (0..3).map(move |n| (r, n))).collect();
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn ten_thousand_tasks_run_and_end() {
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
fn run_beside_a_timer<F: Future<Output = ()> + 'static>(greedy: impl FnOnce(LoopHandle) -> F) {
    let event_loop = new_loop();
    event_loop.create_task(greedy(event_loop.handle()));
    let handle = event_loop.handle();
    event_loop.call_later(Duration::from_millis(1), move || handle.stop());
    event_loop.run_forever();
}

#[test]
fn a_task_that_is_always_ready_does_not_starve_a_timer() {
    let _test = test();
    run_beside_a_timer(|event_loop| async move {
        let (near, far) = Socket::pair().expect("a pair");
        loop {
            let sent = event_loop.sock_sendall(&near, b"x").await;
            sent.expect("room");
            let got = event_loop.sock_recv_into(&far, &mut [0]).await;
            assert_eq!(got.expect("received"), 1);
        }
    });
    run_beside_a_timer(|event_loop| async move {
        let (near, far) = Socket::pair().expect("a pair");
        drop(far);
        while event_loop.sock_recv(&near, 1).await.expect("the end").is_empty() {}
    });
}

/// Makes 300 receives in one task. Only the last one gets bytes.
async fn the_first_of_300(
    event_loop: &Loop,
    most_steps: u32,
    send: impl FnOnce(&UnixStream),
) -> Option<usize> {
    let pairs: Vec<_> = (0..300).map(|_| Socket::pair().expect("a pair")).collect();
    let mut waiting: Vec<_> =
        pairs.iter().map(|(near, _)| Box::pin(event_loop.sock_recv(near, 10))).collect();
    send(pairs[299].1.get_ref());
    let mut steps = 0;
    poll_fn(|cx| {
        steps += 1;
        let mut ready = waiting.iter_mut().map(|one| one.as_mut().poll(cx).is_ready());
        match ready.position(|ready| ready) {
            None if steps < most_steps => Poll::Pending,
            answer => Poll::Ready(answer),
        }
    })
    .await
}

#[test]
fn task_with_more_operations_than_its_budget_completes_all() {
    let _test = test();
    let event_loop = new_loop();
    let first = the_first_of_300(&event_loop, 100, |far| {
        (&mut &*far).write_all(b"x").expect("room");
    });
    assert_eq!(event_loop.run_until_complete(first), Some(299));
}

#[test]
fn task_with_more_pending_operations_than_its_budget_uses_no_cpu() {
    let _test = test();
    let event_loop = new_loop();
    let nothing_comes = the_first_of_300(&event_loop, u32::MAX, |_| ());
    let waited = event_loop.wait_for(nothing_comes, Duration::from_millis(50));
    assert!(event_loop.run_until_complete(waited).is_err());
    let iterations = event_loop.stats().iterations;
    assert!(iterations < 10, "{iterations} iterations for one wait");
}

/// Awaits `ready_at_once` repeatedly, and checks that a callback runs meanwhile.
#[track_caller]
fn assert_lets_a_callback_run(what: &str, event_loop: &Loop, mut ready_at_once: impl AsyncFnMut()) {
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
        panic!("no other task ran during 5000 times {what}");
    });
}

#[test]
fn empty_sends_do_not_starve_other_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    assert_lets_a_callback_run("sock_sendall", &event_loop, async || {
        event_loop.sock_sendall(&near, b"").await.expect("nothing to do");
    });
}

#[test]
fn connects_that_fail_at_once_do_not_starve_other_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let client = Socket::unix().expect("a socket");
    assert_lets_a_callback_run("sock_connect", &event_loop, async || {
        let path = Path::new("/tmp/there is no such socket");
        let failed = event_loop.sock_connect(&client, path).await;
        failed.expect_err("nowhere");
    });
}

#[test]
fn two_thousand_simultaneous_events_wake_every_waiter() {
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
    run_iteration(&event_loop);
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
fn operations_that_end_before_any_call_do_not_starve_other_tasks() {
    let _test = test();
    let (event_loop, other_loop) = (new_loop(), new_loop());
    let client = Socket::unix().expect("a socket");
    assert_lets_a_callback_run("sock_connect", &event_loop, async || {
        let path = "a path that is too long for an address".repeat(10);
        event_loop.sock_connect(&client, &path).await.expect_err("too long");
    });
    let datagrams = Socket::new(UnixDatagram::unbound().expect("a socket")).expect("a socket");
    let unnamed = datagrams.get_ref().local_addr().expect("an address");
    assert_lets_a_callback_run("sock_sendto", &event_loop, async || {
        event_loop.sock_sendto(&datagrams, b"lost", &unnamed).await.expect_err("no name");
    });
    let (near, _far) = Socket::pair().expect("a pair");
    let file = File::open("/dev/null").expect("a file");
    assert_lets_a_callback_run("sock_sendfile", &event_loop, async || {
        event_loop.sock_sendfile(&near, &file).chunk(0).await.expect_err("no chunk");
    });
    let waits = other_loop.wait_for(other_loop.sock_recv(&near, 1), Duration::from_millis(1));
    other_loop.run_until_complete(waits).expect_err("nothing comes");
    assert_lets_a_callback_run("sock_recv", &event_loop, async || {
        event_loop.sock_recv(&near, 1).await.expect_err("another loop's socket");
    });
    assert_lets_a_callback_run("getaddrinfo", &event_loop, async || {
        event_loop.getaddrinfo("zero\0byte", 1).await.expect_err("no name");
    });
    let closed = Loop::new().expect("a loop").handle();
    assert_lets_a_callback_run("getaddrinfo", &event_loop, async || {
        closed.getaddrinfo("localhost", 1).await.expect_err("closed");
    });
    assert_lets_a_callback_run("getnameinfo", &event_loop, async || {
        closed.getnameinfo(([127, 0, 0, 1], 1).into()).await.expect_err("closed");
    });
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = UnixDatagram::bind(folder.path().join("receiver")).expect("a socket");
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("non-blocking");
    let full = receiver.local_addr().expect("an address");
    while sender.send_to_addr(b"fills the queue", &full).is_ok() {}
    assert_lets_a_callback_run("sock_sendto", &event_loop, async || {
        closed.sock_sendto(&datagrams, b"lost", &full).await.expect_err("closed");
    });
    let mut signal = Loop::new().expect("a loop").signal(libc::SIGWINCH).expect("a signal");
    assert_lets_a_callback_run("recv", &event_loop, async || {
        signal.recv().await.expect_err("closed");
    });
    assert_lets_a_callback_run("readable", &event_loop, async || {
        closed.readable(&file).await.expect_err("closed");
    });
    for delay in [Duration::ZERO, Duration::MAX] {
        assert_lets_a_callback_run("sleep", &event_loop, async || closed.sleep(delay).await);
    }
    assert_lets_a_callback_run("wait_for", &event_loop, async || {
        let waited = closed.wait_for(pending::<()>(), Duration::MAX).await;
        waited.expect_err("no timers");
    });
}

#[test]
fn a_blocking_socket_in_debug_mode_does_not_starve_other_tasks() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.set_debug(true);
    let (near, _far) = Socket::pair().expect("a pair");
    near.get_ref().set_nonblocking(false).expect("blocking");
    assert_lets_a_callback_run("sock_recv", &event_loop, async || {
        event_loop.sock_recv(&near, 1).await.expect_err("blocking");
    });
}

#[test]
fn a_timeout_of_zero_does_not_starve_other_tasks() {
    let _test = test();
    let event_loop = new_loop();
    assert_lets_a_callback_run("wait_for", &event_loop, async || {
        let waited = event_loop.wait_for(pending::<()>(), Duration::ZERO).await;
        waited.expect_err("never ready");
    });
}

#[test]
fn unix_datagrams_do_not_starve_other_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let folder = tempfile::tempdir().expect("a folder");
    let there = UnixDatagram::bind(folder.path().join("there")).expect("bound");
    let addr = there.local_addr().expect("bound");
    let here = Socket::new(UnixDatagram::unbound().expect("a socket")).expect("non-blocking");
    assert_lets_a_callback_run("sock_sendto", &event_loop, async || {
        let sent = event_loop.sock_sendto(&here, b"x", &addr);
        assert_eq!(sent.await.expect("there is room"), 1);
        there.recv(&mut [0; 2]).expect("received");
    });
}

/// The most bytes that a step may move.
///
/// The budget is 2 MiB. Several operations in one step may exceed it slightly.
const MAX_PER_STEP: usize = 3 << 20;

#[test]
fn one_poll_moves_about_two_mebibytes_and_wakes_itself() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    let (bytes, mut buffer) = (vec![1; 4 << 20], vec![0; 4 << 20]);
    let woken = Arc::new(WakeCount::default());
    let waker = Waker::from(woken.clone());
    let cx = Context::from_waker(&waker);
    let mut moved = 0;
    while let Poll::Ready(sent) = event_loop.poll_send(&cx, &near, &bytes) {
        let Poll::Ready(received) = event_loop.poll_recv(&cx, &far, &mut buffer) else {
            break;
        };
        moved += sent.expect("room") + received.expect("sent");
        assert!(moved <= MAX_PER_STEP, "{moved} bytes");
    }
    assert!(moved > 1 << 20, "{moved} bytes");
    assert!(woken.get() > 0, "the end of the budget wakes the task");
}

/// Runs `work` until 100 iterations are over, and checks the bytes of each iteration.
///
/// `work` returns the number of bytes that it moved.
#[track_caller]
fn assert_bounded_bytes(what: &str, mut work: impl AsyncFnMut(&Loop) -> usize) {
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        let (mut iterations, mut moved, mut max_moved) = (event_loop.stats().iterations, 0, 0);
        let end = iterations + 100;
        while iterations < end {
            moved += work(&event_loop).await;
            let now = event_loop.stats().iterations;
            max_moved = max_moved.max(moved);
            if now > iterations {
                (iterations, moved) = (now, 0);
            }
        }
        assert!(max_moved <= MAX_PER_STEP, "{what}: {max_moved} bytes in one iteration");
    });
}

#[test]
fn operations_in_a_row_share_one_budget_of_bytes() {
    let _test = test();
    let bytes = content(0, 100_000);
    let (near, far) = Socket::pair().expect("a pair");
    assert_bounded_bytes("sock_sendall and sock_recv", async |event_loop| {
        let sent = event_loop.sock_sendall(&near, &bytes).await;
        sent.expect("room");
        let received = event_loop.sock_recv(&far, 1 << 20).await;
        bytes.len() + received.expect("sent").len()
    });
    let (here, there) = UnixDatagram::pair().expect("a pair");
    let (here, there) = (Socket::new(here), Socket::new(there));
    let (here, there) = (here.expect("set"), there.expect("set"));
    let mut buffer = vec![0; 1 << 20];
    assert_bounded_bytes("sock_recvfrom_into", async |event_loop| {
        event_loop.sock_sendall(&here, &bytes).await.expect("room");
        let received = event_loop.sock_recvfrom_into(&there, &mut buffer).await;
        bytes.len() + received.expect("sent").0
    });
    let folder = tempfile::tempdir().expect("a folder");
    let there = UnixDatagram::bind(folder.path().join("there")).expect("bound");
    let addr = there.local_addr().expect("bound");
    let there = Socket::new(there).expect("set");
    let here = Socket::new(UnixDatagram::unbound().expect("a socket")).expect("set");
    assert_bounded_bytes("sock_sendto and sock_recvfrom", async |event_loop| {
        let sent = event_loop.sock_sendto(&here, &bytes, &addr).await;
        let received = event_loop.sock_recvfrom(&there, 1 << 20).await;
        sent.expect("room") + received.expect("sent").0.len()
    });
}

#[test]
fn a_large_send_to_a_fast_reader_lets_the_loop_run_every_two_mebibytes() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let reads = thread::spawn(move || {
        let (mut far, mut buffer, mut total) = (far, vec![0; 4 << 20], 0);
        while let Ok(got @ 1..) = far.read(&mut buffer) {
            total += got;
        }
        total
    });
    let bytes = vec![1; 256 << 20];
    let iterations = event_loop.stats().iterations;
    event_loop.run_until_complete(async {
        event_loop.sock_sendall(&near, &bytes).await.expect("sent");
    });
    let iterations = event_loop.stats().iterations - iterations;
    drop(near);
    assert_eq!(reads.join().expect("read"), bytes.len());
    assert!(iterations >= 256 / 2, "{iterations} iterations for 256 MiB");
}

#[test]
fn one_recv_returns_at_most_one_mebibyte() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    (&mut far.get_ref()).write_all(b"x").expect("room");
    let received = event_loop.run_until_complete(event_loop.sock_recv(&near, 1 << 30));
    let received = received.expect("received");
    assert_eq!(received, b"x");
    assert!(received.capacity() <= 1 << 20, "{}", received.capacity());
}

/// Sets the send buffer past the limit of the system, which only root may.
#[cfg(target_os = "linux")]
fn force_send_buffer(socket: &UnixDatagram, size: libc::c_int) {
    #[allow(unsafe_code, reason = "no crate has this option")]
    // SAFETY: the value's pointer and length are those of `size`.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn force_send_buffer(_socket: &UnixDatagram, _size: libc::c_int) {}

#[test]
fn long_datagrams_are_received_whole() {
    let _test = test();
    let event_loop = new_loop();
    let (here, there) = UnixDatagram::pair().expect("a pair");
    force_send_buffer(&here, 8 << 20);
    let (here, there) = (Socket::new(here).expect("set"), Socket::new(there).expect("set"));
    let mut buffer = vec![0; 4 << 20];
    for len in [100_000, 2_500_000] {
        let bytes = content(len as u64, len);
        for way in 0..2 {
            let sent = event_loop.run_until_complete(event_loop.sock_sendall(&here, &bytes));
            match sent {
                // The kernel does not let this user send such a long datagram.
                Err(_) if len > 200_000 => return,
                sent => sent.expect("sent"),
            }
            let receive = async {
                match way {
                    0 => event_loop.sock_recv(&there, 4 << 20).await,
                    _ => event_loop
                        .sock_recv_into(&there, &mut buffer)
                        .await
                        .map(|got| buffer[..got].to_vec()),
                }
            };
            let received = event_loop.run_until_complete(receive).expect("received");
            assert_content(&received, len as u64, len);
        }
    }
}
