//! A cancelled transfer leaves the position at the bytes that the peer can read.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::start_transfer;
use crate::util::*;
use sendloop::{LoopClosedError, Socket};

/// Polls a transfer `polls` times while a slow peer reads, then drops it.
fn cancel_after(polls: usize, offset: u64) {
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let far = Socket::new(far).expect("non-blocking");
    let file = file(ODD);
    let mut received = Vec::new();
    let done = event_loop.run_until_complete(async {
        let mut transfer =
            pin!(event_loop.sock_sendfile(&near, &file).offset(offset).into_future());
        for _ in 0..polls {
            let polled = poll_fn(|cx| Poll::Ready(transfer.as_mut().poll(cx))).await;
            if polled.is_ready() {
                return true;
            }
            let some = event_loop.wait_for(event_loop.sock_recv(&far, 3000), Duration::ZERO);
            if let Ok(some) = some.await {
                received.extend(some.expect("no error"));
            }
            event_loop.sleep(Duration::ZERO).await;
        }
        false
    });
    let position = position(&file);
    drop(near);
    received.extend(read_rest(far.into_inner()));
    assert!(!done || position == ODD as u64);
    assert_content(&received, offset, (position - offset) as usize);
}

#[test]
fn cancel_after_any_number_of_polls_leaves_position_exact() {
    let _test = test();
    for polls in 1..60 {
        cancel_after(polls, (polls as u64 * 977) % 5000);
    }
    cancel_after(10_000, 0);
}

#[test]
fn unpolled_transfer_touches_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = file(100);
    drop(event_loop.sock_sendfile(&near, &file).offset(3));
    assert_eq!(position(&file), 100);
    drop(near);
    assert!(read_rest(far).is_empty());
}

#[test]
fn cancel_leaves_position_exact() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = Rc::new(file(ODD));
    let task = start_transfer(&event_loop, near, &file);
    run_until(&event_loop, || event_loop.stats().registered == 1);
    assert!(task.cancel());
    let sent = position(&file);
    assert!(task.cancelled() && sent > 0);
    assert_content(&read_rest(far), 0, sent as usize);
    assert_eq!(event_loop.stats().registered, 0);
    let ended = event_loop.run_until_complete(task);
    assert!(ended.is_err_and(|error| error.is_cancelled()));
}

#[test]
fn timeout_leaves_position_exact() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_tcp();
    let file = file(8 << 20);
    let transfer = event_loop.sock_sendfile(&near, &file);
    let timed_out = event_loop.wait_for(transfer, Duration::from_millis(30));
    event_loop.run_until_complete(timed_out).expect_err("the peer does not read");
    let sent = position(&file);
    drop(near);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn loop_drop_leaves_position_exact() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = Rc::new(file(ODD));
    let task = start_transfer(&event_loop, near, &file);
    run_until(&event_loop, || event_loop.stats().registered == 1);
    drop(event_loop);
    let sent = position(&file);
    assert!(task.cancelled() && sent > 0);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn transfer_polled_elsewhere_fails_when_its_loop_closes() {
    let _test = test();
    let (closing, other) = (new_loop(), new_loop());
    let (near, far) = small_buffer_unix();
    let file = file(ODD);
    let transfer = closing.sock_sendfile(&near, &file);
    let closing = Cell::new(Some(closing));
    let error = other.run_until_complete(async {
        let mut transfer = pin!(transfer.into_future());
        poll_fn(|cx| {
            let polled = transfer.as_mut().poll(cx);
            drop(closing.take());
            polled
        })
        .await
    });
    let error = error.expect_err("its loop is closed");
    assert!(error.get_ref().is_some_and(|inner| inner.is::<LoopClosedError>()), "{error:?}");
    let sent = position(&file);
    drop(near);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn concurrent_transfers_of_a_file_are_exact_and_the_last_sets_the_position() {
    let _test = test();
    let event_loop = new_loop();
    let file = Rc::new(file(ODD));
    let mut readers = Vec::new();
    let mut tasks = Vec::new();
    for offset in [0, 1000, 100_000] {
        let (near, far) = small_buffer_unix();
        readers.push((offset, reader(far)));
        let (handle, file) = (event_loop.handle(), file.clone());
        let transfer =
            async move { handle.sock_sendfile(&near, &file).offset(offset).count(150_000).await };
        tasks.push(event_loop.create_task(transfer));
    }
    for task in tasks {
        event_loop.run_until_complete(task).expect("a result").expect("sent");
    }
    for (offset, reader) in readers {
        assert_content(&reader.join().expect("read"), offset, 150_000);
    }
    assert!([150_000, 151_000, 250_000].contains(&position(&file)));
}
