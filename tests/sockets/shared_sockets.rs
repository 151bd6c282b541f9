//! Sockets that several tasks wait for, and waits that are cancelled.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::util::sock::*;
use crate::util::*;
use sendloop::Socket;

#[test]
fn every_task_waiting_for_a_socket_receives_bytes() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let tasks: Vec<_> = (0..5).map(|_| receiver(&event_loop, &near, 1)).collect();
    far.write_all(b"abc").expect("room");
    run_until(&event_loop, || tasks.iter().filter(|task| task.done()).count() == 3);
    far.write_all(b"de").expect("room");
    let mut received: Vec<u8> =
        tasks.into_iter().flat_map(|task| result(&event_loop, task)).collect();
    received.sort_unstable();
    assert_eq!(received, b"abcde");
}

#[test]
fn reader_and_writer_of_a_socket_are_independent() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let near = Rc::new(near);
    let reads = receiver(&event_loop, &near, 10);
    let (handle, writer) = (event_loop.handle(), near.clone());
    let writes =
        event_loop.create_task(async move { handle.sock_sendall(&writer, &[7; ODD]).await });
    run_iteration(&event_loop);
    assert!(!reads.done() && !writes.done());
    (&far).write_all(b"in").expect("room");
    assert_eq!(result(&event_loop, reads), b"in");
    assert!(!writes.done());
    let drained = reader(far);
    let sent = event_loop.run_until_complete(writes).expect("no panic");
    sent.expect("sent");
    drop(near);
    assert_eq!(drained.join().expect("read").len(), ODD);
}

#[test]
fn cancelled_recv_removes_its_waker_and_loses_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let other = receiver(&event_loop, &near, 3);
    let counted = Arc::new(WakeCount::default());
    let waker = Waker::from(counted.clone());
    {
        let mut cancelled = pin!(event_loop.sock_recv(&near, 10));
        let polled = cancelled.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        assert_eq!(Arc::strong_count(&counted), 3);
    }
    assert_eq!(Arc::strong_count(&counted), 2);
    far.write_all(b"abcdef").expect("room");
    assert_eq!(result(&event_loop, other), b"abc");
    assert_eq!(counted.get(), 0);
    let last = receiver(&event_loop, &near, 10);
    assert_eq!(result(&event_loop, last), b"def");
}

#[test]
fn dropped_woken_recv_takes_nothing_from_the_other() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let first = Rc::new(RefCell::new(Some(receiver(&event_loop, &near, 10))));
    let second = receiver(&event_loop, &near, 10);
    let hit = first.clone();
    // Queued before the event is handled: when it runs, both tasks are woken but have not run.
    event_loop.call_soon(move || assert!(hit.take().is_some_and(|task| task.cancel())));
    far.write_all(b"x").expect("room");
    run_iteration(&event_loop);
    assert_eq!(result(&event_loop, second), b"x");
}

#[test]
fn thousand_cancelled_recvs_leak_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let before = descriptors();
    for _ in 0..1000 {
        receiver(&event_loop, &near, 10).cancel();
    }
    let stats = event_loop.stats();
    assert_eq!((stats.registered, stats.registrations, stats.tasks), (1, 1, 0));
    assert_eq!(descriptors(), before);
    far.write_all(b"kept").expect("room");
    let last = receiver(&event_loop, &near, 10);
    assert_eq!(result(&event_loop, last), b"kept");
}

#[test]
fn two_socket_objects_of_one_stream_both_work() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    event_loop.run_until_complete(async {
        let one = Socket::new(&near).expect("non-blocking");
        let two = Socket::new(&near).expect("non-blocking");
        for socket in [&one, &two, &one] {
            let early =
                event_loop.wait_for(event_loop.sock_recv(socket, 9), Duration::from_millis(1));
            early.await.expect_err("nothing there");
        }
        assert_eq!(event_loop.stats().registered, 1);
        for (socket, bytes) in [(&one, b"1"), (&two, b"2"), (&one, b"3"), (&two, b"4")] {
            let mut receives = pin!(event_loop.sock_recv(socket, 9));
            let polled = poll_fn(|cx| Poll::Ready(receives.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            far.write_all(bytes).expect("room");
            assert_eq!(receives.await.expect("received"), bytes);
        }
        drop(one);
        assert_eq!(event_loop.stats().registered, 1);
        let mut receives = pin!(event_loop.sock_recv(&two, 9));
        let polled = poll_fn(|cx| Poll::Ready(receives.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        far.write_all(b"5").expect("room");
        assert_eq!(receives.await.expect("received"), b"5");
    });
    assert_eq!(event_loop.stats().registered, 0);
}
