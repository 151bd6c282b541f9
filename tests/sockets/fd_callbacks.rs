//! `add_reader` and `add_writer`: level-triggered, and safe to remove from any callback.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::util::*;
use sendloop::{LoopClosedError, Socket};

/// Counts calls.
fn counter() -> (Rc<Cell<u32>>, impl FnMut() + 'static) {
    let calls = Rc::new(Cell::new(0));
    let inside = calls.clone();
    (calls, move || inside.set(inside.get() + 1))
}

#[track_caller]
fn run_brief_iteration(event_loop: &sendloop::Loop) {
    event_loop.run_once(Some(Duration::from_millis(20))).expect("an iteration");
}

#[test]
fn reader_is_called_each_iteration_while_readable() {
    let _test = test();
    let event_loop = new_loop();
    let (mut reader, mut writer) = pipe();
    let (calls, count) = counter();
    event_loop.add_reader(&reader, count).expect("watched");
    run_brief_iteration(&event_loop);
    assert_eq!(calls.get(), 0);
    writer.write_all(b"abc").expect("room");
    for n in 1..=3 {
        run_brief_iteration(&event_loop);
        assert_eq!(calls.get(), n);
        reader.read_exact(&mut [0]).expect("there");
    }
    run_brief_iteration(&event_loop);
    assert_eq!(calls.get(), 3);
    assert!(event_loop.remove_reader(&reader) && !event_loop.remove_reader(&reader));
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn writer_is_called_each_iteration_and_the_end_is_readable() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, writer) = pipe();
    let (calls, count) = counter();
    event_loop.add_writer(&writer, count).expect("watched");
    (0..5).for_each(|_| run_brief_iteration(&event_loop));
    assert_eq!(calls.get(), 5);
    assert!(event_loop.remove_writer(&writer));
    let (ends, count) = counter();
    event_loop.add_reader(&reader, count).expect("watched");
    drop(writer);
    run_brief_iteration(&event_loop);
    run_brief_iteration(&event_loop);
    assert_eq!(ends.get(), 2);
    event_loop.remove_reader(&reader);
}

#[test]
fn second_reader_replaces_and_drops_the_first() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, mut writer) = pipe();
    let (first, count) = counter();
    event_loop.add_reader(&reader, count).expect("watched");
    let (second, count) = counter();
    event_loop.add_reader(&reader, count).expect("watched");
    assert_eq!(Rc::strong_count(&first), 1);
    writer.write_all(b"x").expect("room");
    run_brief_iteration(&event_loop);
    assert_eq!((first.get(), second.get()), (0, 1));
    event_loop.remove_reader(&reader);
}

#[test]
fn add_reader_refuses_regular_files_and_closed_loops() {
    let _test = test();
    let event_loop = new_loop();
    let file = file(10);
    let (calls, count) = counter();
    let error = event_loop.add_reader(&file, count).expect_err("always ready");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(Rc::strong_count(&calls), 1);
    let handle = event_loop.handle();
    drop(event_loop);
    let (reader, _writer) = pipe();
    let error = handle.add_reader(&reader, || {}).expect_err("closed");
    assert!(error.get_ref().expect("inner").is::<LoopClosedError>());
    assert!(!handle.remove_reader(&reader));
}

#[test]
fn fd_callback_may_remove_callbacks_and_close_descriptors() {
    let _test = test();
    let event_loop = new_loop();
    let pipes: Vec<_> = (0..4).map(|_| pipe()).collect();
    let (readers, writers): (Vec<File>, Vec<_>) = pipes.into_iter().unzip();
    let readers = Rc::new(RefCell::new(readers));
    let calls = Rc::new(Cell::new(0));
    for n in 0..4 {
        let (handle, all, calls) = (event_loop.handle(), readers.clone(), calls.clone());
        let first_wins = move || {
            calls.set(calls.get() + 1);
            for reader in all.borrow_mut().drain(..) {
                assert!(handle.remove_reader(&reader));
            }
        };
        event_loop.add_reader(&readers.borrow()[n], first_wins).expect("watched");
    }
    writers.iter().for_each(|mut writer| writer.write_all(b"x").expect("room"));
    (0..3).for_each(|_| run_brief_iteration(&event_loop));
    assert_eq!(calls.get(), 1);
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn reused_descriptor_gets_no_events_of_the_closed_one() {
    let _test = test();
    let event_loop = new_loop();
    let (stale, count) = counter();
    let (reader, writer) = pipe();
    event_loop.add_reader(&reader, count).expect("watched");
    let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
    drop((reader, writer));
    // The kernel reuses the lowest free descriptor.
    let (reader, mut writer) = pipe();
    assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&reader), number);
    let (fresh, count) = counter();
    event_loop.add_reader(&reader, count).expect("watched");
    writer.write_all(b"x").expect("room");
    run_brief_iteration(&event_loop);
    assert_eq!((stale.get(), fresh.get()), (0, 1));
    assert!(event_loop.remove_reader(&reader));
}

#[test]
fn panic_in_a_reader_is_reported_and_keeps_it_registered() {
    let _test = test();
    let event_loop = new_loop();
    let reports = Rc::new(Cell::new(0));
    let counted = reports.clone();
    event_loop.set_exception_handler(move |_| counted.set(counted.get() + 1));
    let (reader, mut writer) = pipe();
    event_loop.add_reader(&reader, || panic!("no")).expect("watched");
    writer.write_all(b"x").expect("room");
    run_brief_iteration(&event_loop);
    run_brief_iteration(&event_loop);
    assert_eq!(reports.get(), 2);
    assert!(event_loop.remove_reader(&reader));
}

#[test]
fn add_reader_accepts_a_socket_of_the_loop() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    let (calls, count) = counter();
    let received = event_loop.run_until_complete(async {
        let mut receives = pin!(event_loop.sock_recv(&near, 9));
        let polled = poll_fn(|cx| Poll::Ready(receives.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        event_loop.add_reader(&near, count).expect("watched");
        event_loop.sock_sendall(&far, b"both").await.expect("sent");
        receives.await
    });
    assert_eq!(received.expect("received"), b"both");
    assert!(calls.get() >= 1);
    assert!(event_loop.remove_reader(&near));
    // The socket is registered still, and works.
    let received = event_loop.run_until_complete(async {
        let waiting = event_loop.handle();
        event_loop.call_later(Duration::from_millis(2), move || drop(far));
        waiting.sock_recv(&near, 9).await
    });
    assert_eq!(received.expect("the end"), b"");
}

#[test]
fn dropping_the_loop_drops_fd_callbacks_that_hold_it() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, _writer) = pipe();
    let held = Rc::new(());
    let (handle, inside) = (event_loop.handle(), held.clone());
    event_loop
        .add_reader(&reader, move || drop((handle.clone(), inside.clone())))
        .expect("watched");
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn add_reader_accepts_terminals_and_devices() {
    let _test = test();
    let event_loop = new_loop();
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/ptmx") else {
        return; // No terminals here.
    };
    let (calls, count) = counter();
    event_loop.add_writer(&terminal, count).expect("watched");
    run_brief_iteration(&event_loop);
    assert!(calls.get() >= 1);
    event_loop.remove_writer(&terminal);
}

#[cfg(target_os = "linux")]
#[test]
fn add_reader_accepts_eventfds_timerfds_and_inotify() {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::fs::inotify;
    use rustix::time::{
        self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
    };

    let _test = test();
    let event_loop = new_loop();
    let counted = eventfd(1, EventfdFlags::NONBLOCK).expect("an eventfd");
    let timer = time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK);
    let timer = timer.expect("a timerfd");
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let soon =
        Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: 0, tv_nsec: 1_000_000 } };
    time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &soon).expect("set");
    let dir = tempfile::tempdir().expect("a directory");
    let changes = inotify::init(inotify::CreateFlags::NONBLOCK).expect("an inotify");
    inotify::add_watch(&changes, dir.path(), inotify::WatchFlags::CREATE).expect("watched");
    std::fs::write(dir.path().join("new"), "").expect("room");
    for fd in [&counted, &timer, &changes] {
        let (calls, count) = counter();
        event_loop.add_reader(fd, count).expect("watched");
        run_until(&event_loop, || calls.get() >= 2);
        assert!(event_loop.remove_reader(fd));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn urgent_tcp_data_calls_no_callback_and_costs_no_iterations() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let (calls, count) = counter();
    event_loop.add_reader(&near, count).expect("watched");
    run_brief_iteration(&event_loop);
    let far = socket2::SockRef::from(&far);
    for _ in 0..3 {
        assert_eq!(far.send_out_of_band(b"!").expect("room"), 1);
        wait_for_urgent(&near);
        let end = event_loop.call_later(Duration::from_millis(30), || {});
        let polls = event_loop.stats().polls;
        while event_loop.next_timeout().is_some() {
            event_loop.run_once(None).expect("an iteration");
        }
        // One iteration each for the timer and its callback, and a few for irrelevant epoll events.
        assert!(event_loop.stats().polls - polls < 10);
        drop(end);
    }
    assert_eq!(calls.get(), 0);
    far.send(b"x").expect("room");
    run_brief_iteration(&event_loop);
    run_brief_iteration(&event_loop);
    assert_eq!(calls.get(), 2);
    assert!(event_loop.remove_reader(&near));
}

/// Waits until urgent data has arrived.
#[cfg(target_os = "linux")]
fn wait_for_urgent(socket: &impl std::os::fd::AsFd) {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(socket, PollFlags::PRI)];
    poll(&mut fds, None).expect("poll");
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_with_a_callback_receives_everything_around_urgent_data() {
    let _test = test();
    for (before, removed) in [(true, false), (false, false), (true, true), (false, true)] {
        let event_loop = new_loop();
        let (near, far) = tcp();
        far.set_nodelay(true).expect("set");
        let near = Socket::new(near).expect("non-blocking");
        let wait = Duration::from_millis(1);
        let receive = || event_loop.wait_for(event_loop.sock_recv(&near, 100), wait);
        let add = || event_loop.add_reader(&near, || {}).expect("watched");
        if before {
            add();
        }
        // In the poller, and before that nothing has come.
        event_loop.run_until_complete(receive()).expect_err("empty");
        if !before {
            add();
        }
        if removed {
            assert!(event_loop.remove_reader(&near));
        }
        for round in 0..20 {
            far.try_clone().expect("a duplicate").write_all(b"abc").expect("room");
            let far = socket2::SockRef::from(&far);
            assert_eq!(far.send_out_of_band(b"!").expect("room"), 1);
            assert_eq!(far.send(b"def").expect("room"), 3);
            let all = async {
                let mut received = Vec::new();
                while received.len() < 6 {
                    let more = event_loop.sock_recv(&near, 100).await.expect("data");
                    received.extend(more);
                }
                received
            };
            let all = event_loop.wait_for(all, Duration::from_secs(10));
            let received = event_loop.run_until_complete(all).expect("an end in time");
            assert_eq!(received, b"abcdef", "round {round}");
        }
        assert_ne!(event_loop.remove_reader(&near), removed);
    }
}
