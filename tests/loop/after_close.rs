//! A closed loop drops new callbacks and tasks, and no operation waits for it.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{LoopClosedError, LoopHandle, Socket};

fn closed() -> LoopHandle {
    new_loop().handle()
}

#[track_caller]
fn assert_closed<T: std::fmt::Debug>(result: io::Result<T>) {
    let error = result.expect_err("its loop is closed");
    let inner = error.get_ref();
    assert!(inner.is_some_and(|inner| inner.is::<LoopClosedError>()), "{error:?}");
}

#[test]
fn closed_loop_drops_new_callbacks_and_tasks() {
    let _test = test();
    let handle = closed();
    let held = Rc::new(());
    let [one, two, three] = [held.clone(), held.clone(), held.clone()];
    let soon = handle.call_soon(move || drop(one));
    let later = handle.call_later(Duration::ZERO, move || drop(two));
    let task = handle.create_task(async move { drop(three) });
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(soon.cancelled() && later.cancelled());
    assert!(task.cancelled() && task.done() && !task.cancel());
    let called = Rc::new(Cell::new(false));
    let calls = called.clone();
    task.add_done_callback(move || calls.set(true));
    assert!(!called.get() && Rc::strong_count(&called) == 1);
    let result = new_loop().run_until_complete(task);
    assert!(result.is_err_and(|error| error.is_cancelled()));
    handle.stop();
    soon.cancel();
    later.cancel();
    let remote = handle.remote();
    remote.stop();
    assert_eq!(remote.call_soon_threadsafe(|| ()), Err(LoopClosedError));
    let elsewhere = thread::spawn(move || remote.call_soon_threadsafe(|| ()));
    assert_eq!(elsewhere.join().expect("called"), Err(LoopClosedError));
}

#[test]
fn awaiting_on_a_closed_loop_returns_at_once() {
    let _test = test();
    let (handle, other) = (closed(), new_loop());
    other.run_until_complete(async {
        handle.sleep(Duration::MAX).await;
        handle.sleep(Duration::ZERO).await;
        let waited = handle.wait_for(pending::<()>(), Duration::MAX).await;
        assert!(waited.is_err());
        assert_eq!(handle.wait_for(async { 3 }, Duration::MAX).await, Ok(3));
        let work = handle.run_in_executor(|| ()).await;
        assert!(work.is_err_and(|error| error.is_cancelled()));
        handle.shutdown_default_executor().await;
        let (promise, future) = handle.create_future();
        promise.set_result(1).expect("kept");
        assert_eq!(future.await.expect("set"), 1);
    });
}

#[test]
fn closed_loop_completes_ready_operations_and_fails_others() {
    let _test = test();
    let (handle, other) = (closed(), new_loop());
    let (near, far) = Socket::pair().expect("a pair");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listener = Socket::new(listener).expect("non-blocking");
    other.run_until_complete(async {
        assert_closed(handle.sock_accept(&listener).await);
        assert_closed(handle.sock_recv(&near, 10).await);
        handle.sock_sendall(&far, b"there").await.expect("room");
        let received = handle.sock_recv(&near, 10).await;
        assert_eq!(received.expect("data"), b"there");
        assert_closed(handle.sock_recv_into(&near, &mut [0; 3]).await);
        assert_closed(handle.sock_sendall(&far, &vec![1; 8 << 20]).await);
    });
}

#[test]
fn closed_loop_completes_ready_operations_repeatedly() {
    let _test = test();
    let (handle, other) = (closed(), new_loop());
    let (near, far) = Socket::pair().expect("a pair");
    other.run_until_complete(async {
        other.sock_sendall(&far, &content(0, 500)).await.expect("room");
        for n in 0..500 {
            let byte = other.wait_for(handle.sock_recv(&near, 1), Duration::from_secs(2));
            let byte = byte.await;
            assert!(byte.is_ok(), "byte {n} is ready, but the result is {byte:?}");
        }
    });
}

#[test]
fn closing_a_loop_wakes_its_futures_on_another_loop() {
    let _test = test();
    let (closing, other) = (new_loop(), new_loop());
    let handle = closing.handle();
    let (near, far) = Socket::pair().expect("a pair");
    let receives = other.create_task({
        let handle = handle.clone();
        async move { handle.sock_recv(&near, 10).await }
    });
    let sleeps = other.create_task(handle.sleep(Duration::MAX));
    let waits = other.create_task(handle.wait_for(pending::<()>(), Duration::MAX));
    let joins = other.create_task(handle.create_task(pending::<()>()));
    other.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(handle.stats().registered == 1 && other.stats().registered == 0);
    other.call_soon(move || drop(closing));
    other.run_until_complete(async {
        assert_closed(receives.await.expect("no panic"));
        sleeps.await.expect("over");
        assert!(waits.await.expect("over").is_err());
        assert!(joins.await.expect("over").is_err());
    });
    drop(far);
}
