//! The parent's loop works whatever the child does with its copy.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use sendloop::{Clock, Loop, Remote, Socket, Task, TimerHandle};

use super::child::{forks, in_child};
use super::util::*;

/// A loop of the parent with every kind of wait. A child may drop each part.
struct Scene {
    event_loop: Option<Loop>,
    socket: Option<Rc<Socket<UnixStream>>>,
    task: Option<Task<Vec<u8>>>,
    /// The peer of `watched`.
    writer: UnixStream,
    peer: UnixStream,
    watched: Option<UnixStream>,
    calls: Rc<Cell<u32>>,
    timer: Option<TimerHandle>,
    remote: Remote,
    waker: Waker,
    clock: Clock,
}

impl Scene {
    fn new() -> Scene {
        let clock = Clock::manual();
        let event_loop = Loop::builder().clock(clock.clone()).build().expect("a loop");
        let (socket, peer) = unix();
        let socket = Rc::new(socket);
        let (handle, receives) = (event_loop.handle(), socket.clone());
        let task = event_loop
            .create_task(async move { handle.sock_recv(&receives, 100).await.expect("received") });
        let (mut watched, writer) = UnixStream::pair().expect("a pair");
        let calls = Rc::new(Cell::new(0));
        let (reads, counts) = (watched.try_clone().expect("a duplicate"), calls.clone());
        let callback = move || {
            (&reads).read_exact(&mut [0]).expect("a byte");
            counts.set(counts.get() + 1);
        };
        event_loop.add_reader(&watched, callback).expect("watched");
        watched.flush().expect("nothing to flush");
        let place = Rc::new(RefCell::new(None));
        let keeps = place.clone();
        event_loop.create_task(poll_fn(move |cx| {
            keeps.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }));
        let timer = event_loop.call_later(Duration::from_secs(60), || {});
        run_iteration(&event_loop);
        settle(&event_loop);
        let waker = place.take().expect("polled");
        let remote = event_loop.remote();
        Scene {
            event_loop: Some(event_loop),
            socket: Some(socket),
            task: Some(task),
            writer,
            peer,
            watched: Some(watched),
            calls,
            timer: Some(timer),
            remote,
            waker,
            clock,
        }
    }

    /// Checks in the parent that each wait still ends.
    #[track_caller]
    fn assert_alive(mut self) {
        let event_loop = self.event_loop.take().expect("the parent's");
        assert!(!is_readable(&event_loop), "the parent's loop has an event");
        let calls = self.calls.get();
        self.writer.write_all(b"!").expect("room");
        run_until(&event_loop, || self.calls.get() > calls);
        self.peer.write_all(b"hello").expect("room");
        let task = self.task.take().expect("the parent's");
        let received = event_loop.run_until_complete(task).expect("no panic");
        assert_eq!(received, b"hello");
        let called = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let calls = called.clone();
        let call = move || calls.store(true, std::sync::atomic::Ordering::Relaxed);
        let remote = self.remote.clone();
        std::thread::spawn(move || remote.call_soon_threadsafe(call).expect("open"))
            .join()
            .expect("called");
        run_until(&event_loop, || called.load(std::sync::atomic::Ordering::Relaxed));
        let worked = event_loop.run_in_executor(|| 7);
        assert_eq!(event_loop.run_until_complete(worked).expect("no panic"), 7);
    }
}

/// Takes the events that report no change: a descriptor that was registered or armed again is
/// writable.
fn settle(event_loop: &Loop) {
    while is_readable(event_loop) {
        run_iteration(event_loop);
    }
}

/// Returns whether an event waits for the loop, without taking it.
fn is_readable(event_loop: &Loop) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut asked = [PollFd::new(event_loop, PollFlags::IN)];
    let now = rustix::event::Timespec::default();
    poll(&mut asked, Some(&now)).expect("polled") == 1
}

/// Checks that the parent's loop works after a child did `act`.
#[track_caller]
fn parent_survives(act: impl Fn(&mut Scene)) {
    let _test = test();
    for fork in forks() {
        let mut scene = Scene::new();
        in_child(*fork, || act(&mut scene));
        scene.assert_alive();
    }
}

#[test]
fn dropping_a_loop_in_a_child_leaves_the_parents_waits() {
    parent_survives(|scene| drop(scene.event_loop.take()));
}

#[test]
fn dropping_a_socket_in_a_child_leaves_the_parents_registration() {
    parent_survives(|scene| {
        drop(scene.socket.take());
        // Its last use is the task's, which is dropped here.
        scene.task.take().expect("a task").cancel();
    });
}

#[test]
fn removing_a_reader_in_a_child_leaves_the_parents_registration() {
    parent_survives(|scene| {
        let event_loop = scene.event_loop.as_ref().expect("a loop");
        let watched = scene.watched.as_ref().expect("a descriptor");
        assert!(event_loop.remove_reader(watched));
        assert!(event_loop.add_reader(watched, || {}).is_err());
        assert!(event_loop.add_writer(watched, || {}).is_err());
    });
}

#[test]
fn closing_descriptors_in_a_child_leaves_the_parents_registrations() {
    parent_survives(|scene| {
        drop(scene.watched.take());
        drop(scene.socket.take());
        drop(scene.event_loop.take());
        drop(scene.task.take());
    });
}

#[test]
fn no_wake_up_in_a_child_reaches_the_parent() {
    parent_survives(|scene| {
        let refused = scene.remote.call_soon_threadsafe(|| {});
        refused.expect_err("the parent's loop");
        scene.remote.stop();
        scene.waker.wake_by_ref();
        scene.clock.advance(Duration::from_secs(1));
        scene.timer.take().expect("a timer").cancel();
        let event_loop = scene.event_loop.as_ref().expect("a loop");
        event_loop.stop();
        assert!(event_loop.call_soon(|| {}).cancelled());
        let (remote, waker) = (scene.remote.clone(), scene.waker.clone());
        let other = std::thread::spawn(move || {
            remote.call_soon_threadsafe(|| {}).expect_err("refused");
            remote.stop();
            waker.wake();
        });
        other.join().expect("no panic");
    });
}

#[test]
fn running_an_inherited_loop_fails_and_takes_no_event_of_the_parents() {
    let _test = test();
    for fork in forks() {
        let mut scene = Scene::new();
        // The byte is there before the child asks, as an edge that the parent would not get again.
        scene.writer.write_all(b"!").expect("room");
        in_child(*fork, || {
            let event_loop = scene.event_loop.as_ref().expect("a loop");
            super::child::assert_refused(|| event_loop.run_forever());
            super::child::assert_refused(|| event_loop.run_until_complete(async {}));
            let error = event_loop.run_once(Some(Duration::ZERO)).expect_err("fails");
            assert!(error.to_string().contains("forked child"), "{error}");
            assert!(!event_loop.is_running() && event_loop.is_closed());
        });
        let event_loop = scene.event_loop.as_ref().expect("a loop");
        run_until(event_loop, || scene.calls.get() == 1);
        settle(event_loop);
        scene.assert_alive();
    }
}

#[test]
fn a_grandchild_and_a_sibling_leave_the_parents_waits() {
    let _test = test();
    for fork in forks() {
        let mut scene = Scene::new();
        for _ in 0..2 {
            in_child(*fork, || {
                let own = new_loop();
                let mut own = Some(own);
                in_child(*fork, || {
                    drop(scene.event_loop.take());
                    super::child::assert_refused(|| own.as_ref().expect("a loop").run_forever());
                    drop(own.take());
                    let third = new_loop();
                    third.run_until_complete(third.sleep(Duration::from_millis(1)));
                });
                let own = own.expect("a loop");
                own.run_until_complete(own.sleep(Duration::from_millis(1)));
                drop(scene.event_loop.take());
            });
        }
        scene.assert_alive();
    }
}

#[test]
fn transfer_of_the_parent_keeps_its_position() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let (near, far) = small_buffer_unix();
        let file = Rc::new(file(ODD));
        let before = position(&file);
        let sent = {
            let (handle, file) = (event_loop.handle(), file.clone());
            event_loop
                .create_task(async move { handle.sock_sendfile(&near, &file).offset(5).await })
        };
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        let mut inherited = Some((event_loop, sent));
        in_child(*fork, || drop(inherited.take()));
        assert_eq!(position(&file), before);
        let (event_loop, sent) = inherited.expect("the parent keeps it");
        let received = reader(far);
        let sent = event_loop.run_until_complete(sent);
        let sent = sent.expect("not cancelled").expect("sent");
        assert_eq!(sent, ODD as u64 - 5);
        assert_eq!(position(&file), ODD as u64);
        assert_content(&received.join().expect("read"), 5, ODD - 5);
    }
}
