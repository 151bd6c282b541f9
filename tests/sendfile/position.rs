//! With `.update_position(false)` a transfer neither uses nor changes the file's position.

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::util::*;
use sendloop::{LoopHandle, Socket};

const AT: u64 = 17;

/// A file of `len` bytes whose position is `AT`.
fn positioned(len: usize) -> File {
    let mut file = file(len);
    file.seek(SeekFrom::Start(AT)).expect("a position");
    file
}

#[track_caller]
fn assert_untouched(file: &File) {
    assert_eq!(position(file), AT);
}

#[test]
fn success_leaves_the_position() {
    let _test = test();
    let event_loop = new_loop();
    for prefetch in [true, false] {
        for (offset, count) in [(0, None), (5, Some(9)), (ODD as u64, Some(9)), (3, Some(0))] {
            let (near, far) = unix();
            let received = reader(far);
            let file = positioned(ODD);
            let transfer = event_loop.sock_sendfile(&near, &file).offset(offset);
            let mut transfer = transfer.prefetch(prefetch).update_position(false);
            if let Some(count) = count {
                transfer = transfer.count(count);
            }
            let sent = event_loop.run_until_complete(transfer).expect("sent");
            assert_untouched(&file);
            drop(near);
            assert_content(&received.join().expect("read"), offset, sent as usize);
        }
    }
}

#[test]
fn error_and_timeout_leave_the_position() {
    let _test = test();
    let event_loop = new_loop();
    let file = positioned(ODD);
    let (near, far) = unix();
    drop(far);
    let transfer = event_loop.sock_sendfile(&near, &file).update_position(false);
    let error = event_loop.run_until_complete(transfer).expect_err("no peer");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_untouched(&file);
    let (near, _far) = small_buffer_unix();
    let transfer = event_loop.sock_sendfile(&near, &file).update_position(false);
    let transfer = transfer.stall_timeout(Duration::from_millis(5));
    let error = event_loop.run_until_complete(transfer).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_untouched(&file);
}

#[test]
fn drop_and_closed_loop_leave_the_position() {
    let _test = test();
    let event_loop = new_loop();
    let file = positioned(ODD);
    let (near, _far) = small_buffer_unix();
    {
        let transfer = event_loop.sock_sendfile(&near, &file).update_position(false);
        let mut transfer = pin!(transfer.into_future());
        let noop = &mut Context::from_waker(Waker::noop());
        assert!(matches!(transfer.as_mut().poll(noop), Poll::Pending));
        assert_untouched(&file);
    }
    assert_untouched(&file);
    let (file, near) = (std::rc::Rc::new(file), std::rc::Rc::new(near));
    let task = event_loop.create_task({
        let (handle, file, near) = (event_loop.handle(), file.clone(), near.clone());
        async move { send(&handle, &near, &file).await }
    });
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    drop(event_loop);
    assert!(task.cancelled());
    assert_untouched(&file);
}

async fn send<T: std::os::fd::AsFd>(
    event_loop: &LoopHandle,
    near: &Socket<T>,
    file: &File,
) -> std::io::Result<u64> {
    event_loop.sock_sendfile(near, file).update_position(false).await
}

#[test]
fn many_transfers_share_one_file() {
    let _test = test();
    let event_loop = new_loop();
    let file = std::rc::Rc::new(positioned(ODD));
    let mut tasks = Vec::new();
    let mut received = Vec::new();
    for _ in 0..8 {
        let (near, far) = small_buffer_unix();
        received.push(reader(far));
        let (handle, file) = (event_loop.handle(), file.clone());
        tasks.push(event_loop.create_task(async move { send(&handle, &near, &file).await }));
    }
    for task in tasks {
        let sent = event_loop.run_until_complete(task).expect("not cancelled");
        assert_eq!(sent.expect("sent"), ODD as u64);
    }
    for received in received {
        assert_content(&received.join().expect("read"), 0, ODD);
    }
    assert_untouched(&file);
}
