//! Sockets that are closed during a wait, reused descriptors, and sockets of two loops.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use crate::util::sock::*;
use crate::util::*;
use sendloop::{Socket, Task};

#[test]
fn reused_descriptor_gets_no_old_events() {
    let _test = test();
    let event_loop = new_loop();
    let (elsewhere, mut far_elsewhere) = pair();
    let waits = receiver(&event_loop, &elsewhere, 10);
    for round in 0..100_u8 {
        let (near, mut far) = pair();
        let number = near.as_fd().as_raw_fd();
        let cancelled = receiver(&event_loop, &near, 10);
        // Its event waits in the kernel when the socket is closed.
        far.write_all(b"late").expect("room");
        cancelled.cancel();
        let near = Rc::try_unwrap(near).expect("the only owner");
        let inside = near.into_inner();
        assert_eq!(event_loop.stats().registered, 1);
        drop((inside, far));

        let (again, mut far) = pair();
        assert_eq!(again.as_fd().as_raw_fd(), number);
        let steps = event_loop.stats().task_steps;
        let receives = receiver(&event_loop, &again, 10);
        run_iteration(&event_loop);
        assert!(!receives.done());
        assert_eq!(event_loop.stats().task_steps, steps + 1);
        far.write_all(&[round]).expect("room");
        assert_eq!(result(&event_loop, receives), [round]);
    }
    assert!(!waits.done());
    far_elsewhere.write_all(b"mine").expect("room");
    assert_eq!(result(&event_loop, waits), b"mine");
}

#[test]
fn event_of_a_socket_closed_in_its_batch_is_ignored() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let victim = Rc::new(RefCell::new(Some((receiver(&event_loop, &near, 10), near))));
    let fresh: Rc<Cell<Option<Task<Vec<u8>>>>> = Rc::default();
    let (hit, makes, handle) = (victim.clone(), fresh.clone(), event_loop.handle());
    let kept = Rc::new(RefCell::new(None));
    let keeps = kept.clone();
    event_loop.call_soon(move || {
        let (task, near) = hit.take().expect("there");
        let number = near.as_fd().as_raw_fd();
        assert!(task.cancel());
        drop(near);
        let (again, far) = pair();
        assert_eq!(again.as_fd().as_raw_fd(), number);
        keeps.replace(Some(far));
        let own = handle.clone();
        let task =
            handle.create_task(async move { own.sock_recv(&again, 10).await.expect("received") });
        makes.set(Some(task));
    });
    far.write_all(b"for the one that is closed").expect("room");
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    let task = fresh.take().expect("made");
    assert!(!task.done());
    let mut far = kept.take().expect("kept");
    far.write_all(b"new").expect("room");
    assert_eq!(result(&event_loop, task), b"new");
}

#[test]
fn duplicate_that_outlives_its_socket_leaves_no_stale_registration() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = pair();
    let dup = near.get_ref().try_clone().expect("a dup");
    receiver(&event_loop, &near, 10).cancel();
    drop(near);
    assert_eq!(event_loop.stats().registered, 0);
    far.write_all(b"for the dup").expect("room");
    let events = event_loop.stats().events;
    run_iteration(&event_loop);
    assert_eq!(event_loop.stats().events, events);
    let dup = Rc::new(Socket::new(dup).expect("non-blocking"));
    let receives = receiver(&event_loop, &dup, 20);
    assert_eq!(result(&event_loop, receives), b"for the dup");
    let waits = receiver(&event_loop, &dup, 20);
    far.write_all(b"more").expect("room");
    assert_eq!(result(&event_loop, waits), b"more");
    drop(dup);
    assert_eq!(far.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn second_loop_may_wait_only_after_the_first_is_closed() {
    let _test = test();
    let (first, second) = (new_loop(), new_loop());
    let (near, mut far) = pair();
    receiver(&first, &near, 10).cancel();
    let waits = second.run_until_complete(second.sock_recv(&near, 10));
    assert_eq!(waits.expect_err("not its socket").kind(), ErrorKind::InvalidInput);
    drop(first);
    let waits = receiver(&second, &near, 10);
    far.write_all(b"mine now").expect("room");
    assert_eq!(result(&second, waits), b"mine now");
    assert_eq!(second.stats().registered, 1);
}

#[test]
fn second_loop_may_complete_ready_operations() {
    let _test = test();
    let (first, second) = (new_loop(), new_loop());
    let (near, mut far) = pair();
    receiver(&first, &near, 10).cancel();
    far.write_all(b"there").expect("room");
    let received = second.run_until_complete(second.sock_recv(&near, 10));
    assert_eq!(received.expect("no waiting, no error"), b"there");
}
