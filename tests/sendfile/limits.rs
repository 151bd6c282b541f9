//! Progress calls, chunk sizes and stall timeouts of a transfer.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::rc::Rc;
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, Socket};

fn run_iterations(event_loop: &Loop) {
    for _ in 0..20 {
        event_loop.run_once(Some(Duration::from_millis(1))).expect("an iteration");
    }
}

#[test]
fn progress_is_called_after_each_step_and_ends_with_the_result() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = file(ODD);
    let received = reader(far);
    let mut totals = Vec::new();
    let transfer = event_loop.sock_sendfile(&near, &file).offset(9);
    let transfer = transfer.chunk(20_000).progress(|sent| totals.push(sent));
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    assert!(totals.len() > 5, "{totals:?}");
    assert!(totals.is_sorted_by(|a, b| a < b), "{totals:?}");
    assert_eq!((totals.last(), sent), (Some(&sent), ODD as u64 - 9));
    drop(near);
    received.join().expect("read");
}

#[test]
fn panic_in_progress_propagates_and_leaves_position_exact() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = Rc::new(file(ODD));
    let task = {
        let (handle, file) = (event_loop.handle(), file.clone());
        event_loop.create_task(async move {
            let transfer = handle.sock_sendfile(&near, &file);
            let transfer = transfer.progress(|_| panic!("enough"));
            transfer.await
        })
    };
    let ended = event_loop.run_until_complete(task);
    assert!(ended.expect_err("a panic").is_panic());
    let sent = position(&file);
    assert!(sent > 0);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn no_step_is_larger_than_a_chunk() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let file = file(ODD);
    let received = reader(far);
    let steps = RefCell::new(vec![0]);
    let transfer = event_loop.sock_sendfile(&near, &file).chunk(5000);
    let transfer = transfer.progress(|sent| steps.borrow_mut().push(sent));
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    assert_eq!(sent, ODD as u64);
    let steps = steps.into_inner();
    let largest = steps.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(largest <= Some(5000), "{largest:?}");
    assert!(steps.len() > ODD / 5000);
    drop(near);
    assert_content(&received.join().expect("read"), 0, ODD);
}

#[test]
fn chunk_is_capped_at_one_mebibyte() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let len = (8 << 20) + 1;
    let file = file(len);
    let received = reader(far);
    let mut largest = 0;
    let mut before = 0;
    let transfer = event_loop.sock_sendfile(&near, &file).chunk(u64::MAX);
    let transfer = transfer.progress(|sent| {
        largest = largest.max(sent - before);
        before = sent;
    });
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    assert_eq!(sent, len as u64);
    assert!(largest <= 1 << 20, "{largest}");
    drop(near);
    assert_content(&received.join().expect("read"), 0, len);
}

#[test]
fn chunk_zero_is_invalid_input() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = file(10);
    let transfer = event_loop.sock_sendfile(&near, &file).header(b"x").chunk(0);
    let error = event_loop.run_until_complete(transfer).expect_err("0");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(position(&file), 10);
    drop(near);
    assert!(read_rest(far).is_empty());
}

#[test]
fn stalled_peer_times_out_with_position_exact() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let (near, far) = small_buffer_unix();
    let file = Rc::new(file(ODD));
    let task = {
        let (handle, file) = (event_loop.handle(), file.clone());
        event_loop.create_task(async move {
            let transfer = handle.sock_sendfile(&near, &file);
            transfer.stall_timeout(Duration::from_secs(5)).await
        })
    };
    run_iterations(&event_loop);
    clock.advance(Duration::from_millis(4999));
    run_iterations(&event_loop);
    assert!(!task.done());
    clock.advance(Duration::from_millis(1));
    let result = event_loop.run_until_complete(task).expect("a result");
    assert_eq!(result.expect_err("stalled").kind(), ErrorKind::TimedOut);
    let sent = position(&file);
    assert!(sent > 0);
    assert_content(&read_rest(far), 0, sent as usize);
}

#[test]
fn slow_reader_is_not_timed_out() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let (near, mut far) = small_buffer_unix();
    far.set_nonblocking(true).expect("a socket");
    let file = Rc::new(file(1_000_000));
    let task = {
        let (handle, file) = (event_loop.handle(), file.clone());
        event_loop.create_task(async move {
            let transfer = handle.sock_sendfile(&near, &file);
            transfer.stall_timeout(Duration::from_secs(5)).await
        })
    };
    let mut received = Vec::new();
    let mut some = [0; 4096];
    let mut pauses = 0;
    while !task.done() {
        run_until(&event_loop, || match far.read(&mut some) {
            Ok(read) => {
                received.extend(&some[..read]);
                true
            }
            Err(_) => task.done(),
        });
        while let Ok(read @ 1..) = far.read(&mut some) {
            received.extend(&some[..read]);
        }
        clock.advance(Duration::from_secs(4));
        pauses += 1;
    }
    assert!(pauses > 3, "it took longer than it may stand still");
    let result = event_loop.run_until_complete(task).expect("a result");
    assert_eq!(result.expect("sent"), 1_000_000);
    received.extend(read_rest(far));
    assert_content(&received, 0, 1_000_000);
}

#[test]
fn stall_timeout_counts_from_the_last_byte() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let (near, _far) = small_buffer_unix();
    let file = file(ODD);
    let task = {
        let (handle, clock) = (event_loop.handle(), clock.clone());
        event_loop.create_task(async move {
            let transfer = handle.sock_sendfile(&near, &file).stall_timeout(Duration::from_secs(5));
            // The wait begins 3 s after the last byte.
            transfer.progress(|_| clock.advance(Duration::from_secs(3))).await
        })
    };
    run_iterations(&event_loop);
    clock.advance(Duration::from_millis(1999));
    run_iterations(&event_loop);
    assert!(!task.done());
    clock.advance(Duration::from_millis(1));
    run_iterations(&event_loop);
    assert!(task.done());
    let result = event_loop.run_until_complete(task).expect("a result");
    assert_eq!(result.expect_err("stalled").kind(), ErrorKind::TimedOut);
}

#[test]
fn stall_timeout_excludes_the_wait_for_the_write_lock() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let (near, far) = small_buffer_unix();
    let (near, file) = (Rc::new(near), Rc::new(file(ODD)));
    let first = {
        let (handle, near) = (event_loop.handle(), near.clone());
        event_loop.create_task(async move { handle.sock_sendall(&near, &content(0, ODD)).await })
    };
    let second = {
        let (handle, file) = (event_loop.handle(), file.clone());
        event_loop.create_task(async move {
            let transfer = handle.sock_sendfile(&near, &file);
            transfer.stall_timeout(Duration::from_secs(5)).await
        })
    };
    run_iterations(&event_loop);
    clock.advance(Duration::from_secs(60));
    run_iterations(&event_loop);
    assert!(!second.done());
    let received = reader(far);
    let first = event_loop.run_until_complete(first).expect("a result");
    first.expect("sent");
    let second = event_loop.run_until_complete(second).expect("a result");
    assert_eq!(second.expect("sent"), ODD as u64);
    assert_eq!(received.join().expect("read").len(), 2 * ODD);
}

#[test]
fn closing_the_loop_ends_a_stalled_transfer_on_another_loop() {
    let _test = test();
    let event_loop = new_loop();
    let other = new_loop();
    let (near, _far) = small_buffer_unix();
    let file = file(ODD);
    let transfer = event_loop.sock_sendfile(&near, &file);
    let transfer = transfer.stall_timeout(Duration::from_secs(50));
    let mut transfer = std::pin::pin!(transfer.into_future());
    let timed_wait = other.wait_for(transfer.as_mut(), Duration::from_millis(5));
    other.run_until_complete(timed_wait).expect_err("the peer does not read");
    drop(event_loop);
    let error = other.run_until_complete(transfer).expect_err("closed");
    let inner = error.get_ref().expect("an inner error");
    assert!(inner.is::<sendloop::LoopClosedError>());
}
