//! Given up at any moment, a transfer leaves the position at what the peer can read, and nothing else behind.

#[path = "util/live.rs"]
mod live;
mod util;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use live::live;
use sendloop::{LoopClosed, Socket, TaskError};
use util::*;

/// Polls a transfer `polls` times while a slow peer reads, then gives it up.
fn given_up_after(polls: usize, offset: u64) {
    let event_loop = new_loop();
    let (near, far) = narrow_unix();
    let far = Socket::new(far).expect("non-blocking");
    let file = file(ODD);
    let mut received = Vec::new();
    let done = event_loop.run_until_complete(async {
        let mut transfer = pin!(
            event_loop
                .sock_sendfile(&near, &file)
                .offset(offset)
                .into_future()
        );
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
fn given_up_after_any_number_of_polls_the_position_is_what_the_peer_can_read() {
    let _test = test();
    for polls in 1..60 {
        given_up_after(polls, (polls as u64 * 977) % 5000);
    }
    given_up_after(10_000, 0);
}

#[test]
fn a_transfer_that_was_never_polled_touches_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = narrow_unix();
    let file = file(100);
    drop(event_loop.sock_sendfile(&near, &file).offset(3));
    assert_eq!(position(&file), 100);
    drop(near);
    assert!(read_rest(far).is_empty());
}

#[test]
fn a_cancelled_task_leaves_the_position_exact_at_once() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = narrow_unix();
    let file = Rc::new(file(ODD));
    let task = {
        let (handle, file) = (event_loop.handle(), file.clone());
        event_loop.create_task(async move { handle.sock_sendfile(&near, &file).await })
    };
    turn_until(&event_loop, || event_loop.stats().registered == 1);
    assert!(task.cancel());
    let sent = position(&file);
    assert!(task.cancelled() && sent > 0);
    assert_content(&read_rest(far), 0, sent as usize);
    assert_eq!(event_loop.stats().registered, 0);
    assert!(matches!(
        event_loop.run_until_complete(task),
        Err(TaskError::Cancelled)
    ));
}

#[test]
fn a_timeout_leaves_the_position_exact() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = narrow_tcp();
    let file = file(8 << 20);
    let transfer = event_loop.sock_sendfile(&near, &file);
    let timed_out = event_loop.wait_for(transfer, Duration::from_millis(30));
    event_loop
        .run_until_complete(timed_out)
        .expect_err("nobody reads");
    let sent = position(&file);
    drop(near);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn a_loop_that_is_dropped_leaves_the_position_exact() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = narrow_unix();
    let file = Rc::new(file(ODD));
    let task = {
        let (handle, file) = (event_loop.handle(), file.clone());
        event_loop.create_task(async move { handle.sock_sendfile(&near, &file).await })
    };
    turn_until(&event_loop, || event_loop.stats().registered == 1);
    drop(event_loop);
    let sent = position(&file);
    assert!(task.cancelled() && sent > 0);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn a_transfer_whose_loop_is_closed_while_another_polls_it_ends_with_an_error() {
    let _test = test();
    let (closing, other) = (new_loop(), new_loop());
    let (near, far) = narrow_unix();
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
    assert!(
        error
            .get_ref()
            .is_some_and(|inner| inner.is::<LoopClosed>()),
        "{error:?}"
    );
    let sent = position(&file);
    drop(near);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn several_transfers_of_one_file_are_each_exact_and_the_last_to_end_sets_the_position() {
    let _test = test();
    let event_loop = new_loop();
    let file = Rc::new(file(ODD));
    let mut readers = Vec::new();
    let mut tasks = Vec::new();
    for offset in [0, 1000, 100_000] {
        let (near, far) = narrow_unix();
        readers.push((offset, reader(far)));
        let (handle, file) = (event_loop.handle(), file.clone());
        let transfer = async move {
            handle
                .sock_sendfile(&near, &file)
                .offset(offset)
                .count(150_000)
                .await
        };
        tasks.push(event_loop.create_task(transfer));
    }
    for task in tasks {
        event_loop
            .run_until_complete(task)
            .expect("a result")
            .expect("sent");
    }
    for (offset, reader) in readers {
        assert_content(&reader.join().expect("read"), offset, 150_000);
    }
    assert!([150_000, 151_000, 250_000].contains(&position(&file)));
}

#[test]
fn a_thousand_rounds_of_start_and_cancel_leave_nothing_behind() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Rc::new(Socket::new(near).expect("non-blocking"));
    let file = Rc::new(file(4 << 20));
    let before = descriptors();
    let mut memory = 0;
    for round in 0..1000 {
        let (handle, near, file) = (event_loop.handle(), near.clone(), file.clone());
        let transfer = async move { handle.sock_sendfile(&near, &file).await };
        let task = event_loop.create_task(transfer);
        event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
        task.cancel();
        drop(task);
        event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
        if round == 100 {
            memory = live();
        }
    }
    assert_eq!(event_loop.stats().tasks, 0);
    assert!(event_loop.stats().registered <= 1);
    assert!(event_loop.stats().registrations <= 2);
    // In the forced fallback a thread of the executor may have a block of the last.
    let near = if FORCED_FALLBACK { 4 << 20 } else { 4 << 10 };
    let grown = live().saturating_sub(memory);
    assert!(grown < near, "{grown} bytes more");
    drop(event_loop);
    turn_out(before);
    drop(far);
}

/// Waits until the executor's threads have given back what they had.
#[track_caller]
fn turn_out(before: usize) {
    let start = std::time::Instant::now();
    while descriptors() > before && start.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert!(descriptors() <= before);
}
