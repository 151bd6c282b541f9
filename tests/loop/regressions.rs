//! Defects of earlier versions. Each test states the correct behaviour.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{Clock, Loop, Socket};

#[test]
fn file_that_ends_with_the_budget_is_sent() {
    let _test = test();
    let event_loop = new_loop();
    let file = file(4 << 20);
    for size in [2 << 20, 4 << 20] {
        file.set_len(size).expect("set");
        for _ in 0..5 {
            let (near, mut far) = tcp();
            let near = Socket::new(near).expect("a socket");
            let reader = thread::spawn(move || {
                let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
                while let Ok(n @ 1..) = far.read(&mut buffer) {
                    total += n as u64;
                }
                total
            });
            let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
            drop(near);
            assert_eq!(sent.expect("sent"), size);
            assert_eq!(reader.join().expect("read"), size);
        }
    }
}

#[test]
fn consecutive_small_transfers_do_not_starve_other_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    let reading = far.into_inner();
    reading.set_nonblocking(false).expect("set");
    let received = reader(reading);
    let file = file(100_000);
    let iterations = event_loop.stats().iterations;
    event_loop.run_until_complete(async {
        for n in 0..1000 {
            // Nothing, a little, and from past the end on.
            let transfer = event_loop.sock_sendfile(&near, &file);
            let transfer = transfer.offset(n % 3 * 100_000).count(10);
            transfer.await.expect("sent");
        }
        for _ in 0..100 {
            let sent = event_loop.sock_sendfile(&near, &file).await;
            assert_eq!(sent.expect("sent"), 100_000);
        }
    });
    // The budget of an iteration is 128 operations or about 2 MiB.
    assert!(event_loop.stats().iterations - iterations > 1000 / 128 + 4);
    drop(near);
    received.join().expect("read");
}

struct PanicsAsWaker;

impl Wake for PanicsAsWaker {
    fn wake(self: Arc<Self>) {
        panic!("a foreign waker");
    }
}

#[test]
fn panicking_foreign_waker_does_not_lose_notifications() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    let foreign = Waker::from(Arc::new(PanicsAsWaker));
    let mut waiting = pin!(event_loop.sock_recv(&near, 10));
    let polled = waiting.as_mut().poll(&mut Context::from_waker(&foreign));
    assert!(polled.is_pending());
    far.get_ref().write_all(b"x").expect("room");
    for _ in 0..2 {
        let (reports, remote) = (Arc::new(AtomicBool::new(false)), event_loop.remote());
        let recorded = reports.clone();
        let call =
            move || remote.call_soon_threadsafe(move || recorded.store(true, Ordering::SeqCst));
        thread::spawn(call).join().expect("called").expect("open");
        run_until(&event_loop, || reports.load(Ordering::SeqCst));
    }
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static HELD: RefCell<Vec<LocalFuture>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn waker_destructor_may_use_the_wait_queue() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    let near = Rc::new(near);
    let noop = &mut Context::from_waker(Waker::noop());
    let hold =
        |future: Pin<Box<dyn Future<Output = ()>>>| HELD.with_borrow_mut(|held| held.push(future));
    // Their end ends other operations on the same socket.
    let drops = || Waker::from(Arc::new(CallOnDrop(|| drop(HELD.take()))));

    let mut first = Box::pin(event_loop.sock_recv(&near, 10));
    assert!(first.as_mut().poll(&mut Context::from_waker(&drops())).is_pending());
    let (handle, sock) = (event_loop.handle(), near.clone());
    let mut other = Box::pin(async move { drop(handle.sock_recv(&sock, 10).await) });
    assert!(other.as_mut().poll(noop).is_pending());
    hold(other);
    assert!(first.as_mut().poll(noop).is_pending());

    let long = vec![1; 10 << 20];
    let mut writing = Box::pin(event_loop.sock_sendall(&near, &long));
    assert!(writing.as_mut().poll(noop).is_pending());
    let mut first = Box::pin(event_loop.sock_sendall(&near, b"x"));
    assert!(first.as_mut().poll(&mut Context::from_waker(&drops())).is_pending());
    let (handle, sock) = (event_loop.handle(), near.clone());
    let mut other = Box::pin(async move { drop(handle.sock_sendall(&sock, b"y").await) });
    assert!(other.as_mut().poll(noop).is_pending());
    hold(other);
    drop(first);
}

#[test]
fn operations_outside_an_iteration_are_not_blocked_by_the_budget() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    far.get_ref().write_all(&[7; 1000]).expect("room");
    let noop = &mut Context::from_waker(Waker::noop());
    for n in 0..1000 {
        let mut one = pin!(event_loop.sock_recv(&near, 1));
        let polls = (0..3).find(|_| one.as_mut().poll(noop).is_ready());
        assert!(polls.is_some(), "byte {n} is there");
    }
}

#[test]
fn advancing_a_manual_clock_causes_no_idle_iterations() {
    let _test = test();
    let built = Loop::builder().clock(Clock::manual()).build();
    let event_loop = built.expect("a loop");
    event_loop.create_task(event_loop.sleep(Duration::from_nanos(1)));
    let remote = event_loop.remote();
    let stops = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        remote.stop();
    });
    event_loop.run_forever();
    stops.join().expect("stopped");
    assert!(event_loop.stats().iterations < 10, "{:?}", event_loop.stats());
}

#[test]
fn recv_larger_than_memory_fails_with_an_error() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    far.get_ref().write_all(b"x").expect("room");
    let received = event_loop.run_until_complete(event_loop.sock_recv(&near, usize::MAX));
    assert_eq!(received.expect("one call asks for at most 1 MiB"), b"x");
}

#[test]
fn blocking_duplicate_does_not_let_a_transfer_block_the_loop() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    near.get_ref().set_nonblocking(false).expect("set");
    let file = file(4 << 20);
    let transfer = event_loop.sock_sendfile(&near, &file);
    let waited = event_loop.wait_for(transfer, Duration::from_millis(5));
    // A blocking sendfile(2) would hang here.
    event_loop.run_until_complete(waited).expect_err("the peer does not read");
}

#[test]
fn executor_ends_if_a_result_panics_on_drop() {
    let _test = test();
    let event_loop = new_loop();
    let seen = Cell::new(false);
    // The job completes after its result is unwanted. Otherwise the drop below would panic.
    let (unwanted, wait) = mpsc::channel();
    drop(event_loop.run_in_executor(move || {
        wait.recv().expect("a message");
        PanicsOnDrop
    }));
    unwanted.send(()).expect("awaited");
    event_loop.run_until_complete(async {
        event_loop.shutdown_default_executor().await;
        seen.set(true);
    });
    assert!(seen.get());
}

#[test]
fn file_that_grows_while_the_header_waits_is_sent() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = small_buffer_unix();
    let file = file(10);
    let header = content(1 << 40, ODD);
    let transfer = event_loop.sock_sendfile(&near, &file).header(&header);
    let mut transfer = pin!(transfer.offset(10).into_future());
    let sent = event_loop.run_until_complete(async {
        // The socket is full of the header.
        let begun = poll_fn(|cx| Poll::Ready(transfer.as_mut().poll(cx))).await;
        assert!(begun.is_pending());
        (&file).write_all(&content(10, 90)).expect("room");
        let received = thread::spawn(move || {
            let mut received = vec![0; ODD + 90];
            far.read_exact(&mut received).expect("all of it");
            received
        });
        let sent = transfer.await.expect("sent");
        (sent, received)
    });
    assert_eq!(sent.0, 90);
    assert_eq!(position(&file), 100);
    let received = sent.1.join().expect("read");
    assert_content(&received[ODD..], 10, 90);
}

#[test]
fn fallback_with_instant_reads_yields_to_other_tasks() {
    let _test = test();
    let event_loop = new_loop();
    // A device takes the fallback, and this socket all of it.
    let zeros = std::fs::File::open("/dev/zero").expect("a device");
    let (near, far) = Socket::pair().expect("a pair");
    let buffer = socket2::SockRef::from(&near).set_send_buffer_size(16 << 20);
    buffer.expect("as far as the system goes along");
    let reading = far.into_inner();
    reading.set_nonblocking(false).expect("set");
    let received = reader(reading);
    let sent = Cell::new(0);
    let transfer = event_loop.sock_sendfile(&near, &zeros).count(32 << 20);
    let mut transfer = Box::pin(transfer.progress(|total| sent.set(total)).into_future());
    let longest = Cell::new(0);
    let total = event_loop.run_until_complete(poll_fn(|cx| {
        let before = sent.get();
        let polled = transfer.as_mut().poll(cx);
        longest.set(longest.get().max(sent.get() - before));
        polled
    }));
    assert_eq!(total.expect("sent"), 32 << 20);
    assert!(longest.get() < 3 << 20, "{} bytes in an iteration", longest.get());
    drop(transfer);
    drop(near);
    assert_eq!(received.join().expect("read").len(), 32 << 20);
}
