//! A reused descriptor gets no events of its former use, also if a duplicate of that is open.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::util::sock::*;
use crate::util::*;
use sendloop::{Loop, Socket};

/// A pipe whose reader has an fd callback. It was closed without the loop's knowledge, and a
/// duplicate is open.
struct StaleFd {
    number: RawFd,
    calls: Rc<Cell<u32>>,
    _dup: File,
    writer: File,
}

fn stale(event_loop: &Loop) -> StaleFd {
    let (reader, writer) = pipe();
    let calls = Rc::new(Cell::new(0));
    let counts = calls.clone();
    let count = move || counts.set(counts.get() + 1);
    event_loop.add_reader(&reader, count).expect("watched");
    StaleFd { number: reader.as_raw_fd(), calls, _dup: reader.try_clone().expect("a dup"), writer }
}

/// A socket that reuses the stale descriptor, and its peer.
#[track_caller]
fn with_fd_of(stale: &StaleFd) -> (Rc<Socket<UnixStream>>, UnixStream) {
    let (near, far) = pair();
    assert_eq!(near.get_ref().as_raw_fd(), stale.number);
    (near, far)
}

#[test]
fn stale_fd_callback_takes_no_events_from_the_next_socket() {
    let _test = test();
    let event_loop = new_loop();
    let mut stale = stale(&event_loop);
    let (near, mut far) = with_fd_of(&stale);
    let waits = receiver(&event_loop, &near, 10);
    stale.writer.write_all(b"for the dup").expect("room");
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert_eq!(stale.calls.get(), 1);
    far.write_all(b"mine").expect("room");
    assert_eq!(result(&event_loop, waits), b"mine");
    drop(event_loop);
}

#[test]
fn due_fd_callback_of_a_reused_descriptor_takes_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let mut stale = stale(&event_loop);
    stale.writer.write_all(b"for the dup").expect("room");
    let (near, mut far) = with_fd_of(&stale);
    // In the iteration that finds the event, the task's first step runs before the fd callback.
    let (handle, own) = (event_loop.handle(), near.clone());
    let waits =
        event_loop.create_task(async move { handle.sock_recv(&own, 10).await.expect("received") });
    run_iteration(&event_loop);
    assert_eq!(stale.calls.get(), 1);
    far.write_all(b"mine").expect("room");
    assert_eq!(result(&event_loop, waits), b"mine");
    drop(event_loop);
}

#[test]
fn stale_registration_causes_no_iterations() {
    let _test = test();
    let event_loop = new_loop();
    let mut stale = stale(&event_loop);
    let (near, far) = with_fd_of(&stale);
    receiver(&event_loop, &near, 10).cancel();
    drop((near, far));
    stale.writer.write_all(b"for the dup").expect("room");
    run_iteration(&event_loop);
    let events = event_loop.stats().events;
    for _ in 0..10 {
        run_iteration(&event_loop);
    }
    assert_eq!(event_loop.stats().events, events);
    drop(event_loop);
}

#[test]
fn duplicate_leaves_no_stale_registration_after_removal() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, mut writer) = pipe();
    let dup = reader.try_clone().expect("a dup");
    event_loop.add_reader(&reader, || ()).expect("watched");
    assert!(event_loop.remove_reader(&reader));
    drop(reader);
    writer.write_all(b"for the dup").expect("room");
    let events = event_loop.stats().events;
    run_iteration(&event_loop);
    assert_eq!(event_loop.stats().events, events);
    let calls = Rc::new(Cell::new(0));
    let counts = calls.clone();
    let count = move || counts.set(counts.get() + 1);
    event_loop.add_reader(&dup, count).expect("watched");
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert_eq!(calls.get(), 2);
    assert!(event_loop.remove_reader(&dup));
}
