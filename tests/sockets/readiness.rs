//! `readable` and `writable` on any descriptor, removal of callbacks by descriptor number, and the
//! errors of `Socket::new`.
#![allow(unsafe_code, reason = "descriptors are closed behind the loop's back")]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, LoopClosedError, Readiness, Socket};

const LIMIT: Duration = Duration::from_secs(10);

/// Polls once.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Begins a wait that must not be ready yet.
#[track_caller]
fn begun<'a>(wait: Readiness<'a>) -> Pin<Box<Readiness<'a>>> {
    let mut wait = Box::pin(wait);
    assert!(poll(wait.as_mut()).is_pending());
    wait
}

/// Returns the result of a future, which must end in time.
#[track_caller]
fn finish<F: Future>(event_loop: &Loop, future: F) -> F::Output {
    let result = event_loop.run_until_complete(event_loop.wait_for(future, LIMIT));
    result.expect("an end in time")
}

/// Makes a descriptor non-blocking.
fn nonblocking(fd: &impl AsFd) {
    rustix::io::ioctl_fionbio(fd, true).expect("set");
}

/// Checks that `idle` waits, and that `wake` ends the wait.
#[track_caller]
fn assert_becomes_readable(event_loop: &Loop, idle: &impl AsFd, wake: impl FnOnce() + 'static) {
    let wait = begun(event_loop.readable(idle));
    assert_eq!(event_loop.stats().registered, 1);
    event_loop.call_soon(wake);
    finish(event_loop, wait).expect("readable");
    assert_eq!(event_loop.stats().registered, 0);
    // Level-triggered: nothing was taken.
    assert!(poll(pin!(event_loop.readable(idle))).is_ready());
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn readable_takes_pipes_terminals_listeners_and_datagram_sockets() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, mut writer) = pipe();
    assert_becomes_readable(&event_loop, &reader, move || {
        writer.write_all(b"x").expect("room");
    });
    let (reader, writer) = pipe();
    assert_becomes_readable(&event_loop, &reader, move || drop(writer));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let client = Rc::new(RefCell::new(None));
    let keep = client.clone();
    assert_becomes_readable(&event_loop, &listener, move || {
        *keep.borrow_mut() = Some(std::net::TcpStream::connect(addr).expect("connected"));
    });
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let addr = receiver.local_addr().expect("bound");
    assert_becomes_readable(&event_loop, &receiver, move || {
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
        sender.send_to(b"x", addr).expect("sent");
    });
    let other = new_loop();
    let remote = other.remote();
    assert_becomes_readable(&event_loop, &other, move || {
        let thread = std::thread::spawn(move || remote.call_soon_threadsafe(|| {}));
        thread.join().expect("ended").expect("open");
    });
}

/// rustix finds the name of a terminal on these systems only.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple"))]
#[test]
fn readable_takes_both_ends_of_a_terminal() {
    let _test = test();
    let event_loop = new_loop();
    let Ok(master) = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR) else {
        return; // No terminals here.
    };
    rustix::pty::unlockpt(&master).expect("unlocked");
    let name = rustix::pty::ptsname(&master, Vec::new()).expect("a name");
    let slave = File::options().read(true).write(true).open(name.to_str().expect("text"));
    let slave = slave.expect("a terminal");
    let mut output = slave.try_clone().expect("a dup");
    assert_becomes_readable(&event_loop, &master, move || {
        output.write_all(b"x\n").expect("room");
    });
    assert_becomes_readable(&event_loop, &slave, move || {
        File::from(master).write_all(b"typed\n").expect("room");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn readable_takes_eventfds_timerfds_pidfds_and_inotify() {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::fs::inotify;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use rustix::time::{self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

    let _test = test();
    let event_loop = new_loop();
    let counted = eventfd(0, EventfdFlags::NONBLOCK).expect("an eventfd");
    let mut adder = File::from(counted.try_clone().expect("a dup"));
    assert_becomes_readable(&event_loop, &counted, move || {
        adder.write_all(&1_u64.to_ne_bytes()).expect("room");
    });
    let timer = time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK);
    let timer = Rc::new(timer.expect("a timerfd"));
    let set = timer.clone();
    assert_becomes_readable(&event_loop, &timer, move || {
        let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let soon = Itimerspec {
            it_interval: zero,
            it_value: rustix::time::Timespec { tv_sec: 0, tv_nsec: 1 },
        };
        time::timerfd_settime(&set, TimerfdTimerFlags::empty(), &soon).expect("set");
    });
    let dir = tempfile::tempdir().expect("a directory");
    let changes = inotify::init(inotify::CreateFlags::NONBLOCK).expect("an inotify");
    inotify::add_watch(&changes, dir.path(), inotify::WatchFlags::CREATE).expect("watched");
    let new = dir.path().join("new");
    assert_becomes_readable(&event_loop, &changes, move || {
        std::fs::write(new, "").expect("room");
    });
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("a pidfd");
    let input = child.stdin.take();
    assert_becomes_readable(&event_loop, &ended, move || drop(input));
    assert!(child.wait().expect("ended").success());
}

#[test]
fn a_ready_descriptor_costs_no_registration_and_no_iteration() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, mut writer) = pipe();
    writer.write_all(b"x").expect("room");
    let before = event_loop.stats().registrations;
    assert!(matches!(poll(pin!(event_loop.readable(&reader))), Poll::Ready(Ok(()))));
    assert!(matches!(poll(pin!(event_loop.writable(&writer))), Poll::Ready(Ok(()))));
    assert_eq!(event_loop.stats().registrations, before);
}

#[test]
fn a_file_that_epoll_refuses_is_ready_at_once() {
    let _test = test();
    let event_loop = new_loop();
    let files = [
        file(10),
        file(0),
        File::open("/").expect("a directory"),
        File::open("/dev/null").expect("a device"),
    ];
    for file in &files {
        finish(&event_loop, event_loop.readable(file)).expect("ready");
        finish(&event_loop, event_loop.writable(file)).expect("ready");
    }
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn writable_waits_for_room() {
    let _test = test();
    let event_loop = new_loop();
    let (mut reader, mut writer) = pipe();
    nonblocking(&writer);
    let mut sent = 0;
    while let Ok(n) = writer.write(&[0; 4096]) {
        sent += n;
    }
    let wait = begun(event_loop.writable(&writer));
    event_loop.call_soon(move || reader.read_exact(&mut vec![0; sent]).expect("there"));
    finish(&event_loop, wait).expect("writable");
}

#[cfg(target_os = "linux")]
#[test]
fn hang_up_and_error_are_readable_and_writable() {
    let _test = test();
    let event_loop = new_loop();
    // Only a hang-up or an error makes a pipe's reading end writable, or its writing end readable.
    let (reader, writer) = pipe();
    let waits = [begun(event_loop.readable(&reader)), begun(event_loop.writable(&reader))];
    event_loop.call_soon(move || drop(writer));
    for wait in waits {
        finish(&event_loop, wait).expect("hung up");
    }
    let (reader, writer) = pipe();
    let wait = begun(event_loop.readable(&writer));
    event_loop.call_soon(move || drop(reader));
    finish(&event_loop, wait).expect("failed");
    let (near, far) = UnixStream::pair().expect("a pair");
    let waits = [begun(event_loop.readable(&near)), begun(event_loop.readable(&near))];
    event_loop.call_soon(move || drop(far));
    for wait in waits {
        finish(&event_loop, wait).expect("at its end");
    }
    assert_eq!(event_loop.stats().registered, 0);
}

/// Reads a child's output until its end.
async fn read_output(event_loop: sendloop::LoopHandle, mut output: impl Read + AsFd) {
    loop {
        event_loop.readable(&output).await.expect("readable");
        if output.read(&mut [0; 100]).expect("read") == 0 {
            return;
        }
    }
}

#[test]
fn cancelled_tasks_that_read_a_childs_output_leave_nothing_behind() {
    let _test = test();
    let event_loop = new_loop();
    let mut children = Vec::new();
    let open = descriptors();
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; cat"]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("sh");
        let output = child.stdout.take().expect("a pipe");
        tasks.push(event_loop.create_task(read_output(event_loop.handle(), output)));
        children.push(child);
    }
    for _ in 0..5 {
        event_loop.run_once(Some(Duration::from_millis(5))).expect("an iteration");
    }
    assert_eq!(event_loop.stats().registered, 20);
    for task in &tasks {
        assert!(task.cancel());
    }
    assert_eq!(event_loop.stats().registered, 0);
    for child in &mut children {
        drop(child.stdin.take());
        // The child may get SIGPIPE.
        child.wait().expect("ended");
    }
    assert_eq!(descriptors(), open);
}

#[test]
fn several_waits_of_both_directions_share_one_registration() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    nonblocking(&near);
    while (&near).write(&[0; 4096]).is_ok() {}
    let mut readers: Vec<_> = (0..3).map(|_| begun(event_loop.readable(&near))).collect();
    let writers: Vec<_> = (0..3).map(|_| begun(event_loop.writable(&near))).collect();
    assert_eq!(event_loop.stats().registered, 1);
    far.write_all(b"x").expect("room");
    // A dropped wait takes the event from no other.
    drop(readers.remove(0));
    // Neither does a wait that has ended and is kept.
    for wait in &mut readers {
        finish(&event_loop, wait.as_mut()).expect("readable");
    }
    assert_eq!(event_loop.stats().registered, 1);
    nonblocking(&far);
    while far.read(&mut [0; 4096]).is_ok() {}
    for wait in writers {
        finish(&event_loop, wait).expect("writable");
    }
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn wait_continues_if_another_task_took_the_bytes() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, mut writer) = UnixStream::pair().expect("a pair");
    let (reader, got) = (Rc::new(reader), Rc::new(Cell::new(0)));
    nonblocking(&*reader);
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (handle, reader, got) = (event_loop.handle(), reader.clone(), got.clone());
            event_loop.create_task(async move {
                loop {
                    handle.readable(&reader).await.expect("readable");
                    match (&*reader).read(&mut [0; 100]) {
                        Ok(n) => break got.set(got.get() + n),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                }
            })
        })
        .collect();
    run_iteration(&event_loop);
    for n in 1..=6 {
        assert_eq!(event_loop.stats().registered, 1);
        writer.write_all(b"x").expect("room");
        run_until(&event_loop, || got.get() == n);
        // The other tasks have retried, and do not keep the loop busy.
        (0..20).for_each(|_| run_iteration(&event_loop));
        let polls = event_loop.stats().polls;
        event_loop.run_once(Some(Duration::from_millis(10))).expect("an iteration");
        assert_eq!((got.get(), event_loop.stats().polls - polls), (n, 1));
        let left = event_loop.next_timeout();
        assert_eq!(left, None);
    }
    for task in tasks {
        finish(&event_loop, task).expect("ended");
    }
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn a_wait_beside_a_socket_and_a_callback_disturbs_neither() {
    let _test = test();
    for is_first in [true, false] {
        let event_loop = new_loop();
        let (near, mut far) = crate::util::unix();
        let near = Rc::new(near);
        let receive = || {
            let (handle, own) = (event_loop.handle(), near.clone());
            let task = event_loop.create_task(async move { handle.sock_recv(&own, 9).await });
            run_iteration(&event_loop);
            task
        };
        let before = is_first.then(receive);
        let calls = Rc::new(Cell::new(0));
        let counts = calls.clone();
        let count = move || counts.set(counts.get() + 1);
        event_loop.add_reader(&*near, count).expect("watched");
        let dropped = begun(event_loop.readable(&near));
        let kept = begun(event_loop.readable(&near));
        let receives = before.unwrap_or_else(receive);
        drop(dropped);
        assert_eq!(event_loop.stats().registered, 1);
        far.write_all(b"abc").expect("room");
        let received = finish(&event_loop, receives).expect("ended").expect("received");
        assert_eq!(received, b"abc");
        assert!(calls.get() >= 1);
        far.write_all(b"more").expect("room");
        finish(&event_loop, kept).expect("readable");
        assert!(event_loop.remove_reader(&*near));
        // The socket is registered still.
        assert_eq!(event_loop.stats().registered, 1);
        let received = finish(&event_loop, event_loop.sock_recv(&near, 9));
        assert_eq!(received.expect("received"), b"more");
    }
}

#[test]
fn duplicates_of_a_descriptor_wait_independently() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, mut writer) = pipe();
    let dup = reader.try_clone().expect("a dup");
    let waits = [begun(event_loop.readable(&reader)), begun(event_loop.readable(&dup))];
    assert_eq!(event_loop.stats().registered, 2);
    writer.write_all(b"x").expect("room");
    for wait in waits {
        finish(&event_loop, wait).expect("readable");
    }
    assert_eq!(event_loop.stats().registered, 0);
    // The end of one leaves no registration that reports the other's events.
    drop(reader);
    run_iteration(&event_loop);
    let events = event_loop.stats().events;
    writer.write_all(b"x").expect("room");
    run_iteration(&event_loop);
    assert_eq!(event_loop.stats().events, events);
    finish(&event_loop, event_loop.readable(&dup)).expect("readable");
}

#[test]
fn an_event_of_the_other_direction_ends_no_wait() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = UnixStream::pair().expect("a pair");
    let mut wait = begun(event_loop.readable(&near));
    let calls = Rc::new(Cell::new(0));
    let counts = calls.clone();
    let count = move || counts.set(counts.get() + 1);
    event_loop.add_writer(&near, count).expect("watched");
    run_until(&event_loop, || calls.get() > 3);
    assert!(poll(wait.as_mut()).is_pending());
    assert!(event_loop.remove_writer(&near));
    assert!(poll(wait.as_mut()).is_pending());
    assert_eq!(event_loop.stats().registered, 1);
}

#[cfg(target_os = "linux")]
#[test]
fn urgent_tcp_data_is_not_readable() {
    use rustix::event::{PollFd, PollFlags};
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let mut wait = begun(event_loop.readable(&near));
    let sent = socket2::SockRef::from(&far).send_out_of_band(b"!");
    assert_eq!(sent.expect("room"), 1);
    let mut urgent = [PollFd::new(&near, PollFlags::PRI)];
    rustix::event::poll(&mut urgent, None).expect("poll");
    (0..3).for_each(|_| run_iteration(&event_loop));
    assert!(poll(wait.as_mut()).is_pending());
    (&far).write_all(b"x").expect("room");
    finish(&event_loop, wait).expect("readable");
}

#[test]
fn a_loop_of_ready_waits_lets_others_run() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, mut writer) = pipe();
    writer.write_all(b"x").expect("room");
    let handle = event_loop.handle();
    let task = event_loop.create_task(async move {
        loop {
            handle.readable(&reader).await.expect("readable");
        }
    });
    let ran = Rc::new(Cell::new(false));
    let runs = ran.clone();
    event_loop.call_later(Duration::from_millis(1), move || runs.set(true));
    run_until(&event_loop, || ran.get());
    assert!(task.cancel());
}

#[test]
fn closing_the_loop_ends_a_wait_with_an_error() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    let (reader, writer) = pipe();
    let mut wait = begun(handle.readable(&reader));
    let woken = Rc::new(Cell::new(0));
    let other = new_loop();
    let (count, awaits) = (woken.clone(), handle.clone());
    // A task of another loop waits as well: it is woken.
    let dup = reader.try_clone().expect("a dup");
    let task = other.create_task(async move {
        let result = awaits.readable(&dup).await;
        count.set(count.get() + 1);
        result
    });
    run_iteration(&other);
    drop(event_loop);
    let result = finish(&other, task).expect("ended");
    let closed = [Poll::Ready(result), poll(wait.as_mut()), poll(pin!(handle.writable(&writer)))];
    for result in closed {
        let Poll::Ready(Err(error)) = result else {
            panic!("it waits");
        };
        assert!(error.get_ref().expect("inner").is::<LoopClosedError>());
    }
    assert_eq!(woken.get(), 1);
}

/// Closes a descriptor. The caller forgets its owner.
fn close_number(number: RawFd) {
    // SAFETY: the test forgets the owner.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}

#[test]
fn wait_for_a_closed_fd_fails_when_the_fd_is_registered_again() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, writer) = pipe();
    let number = reader.as_raw_fd();
    let reader = std::mem::ManuallyDrop::new(reader);
    let stale = begun(event_loop.readable(&*reader));
    close_number(number);
    let (fresh, mut fresh_writer) = pipe();
    assert_eq!(fresh.as_raw_fd(), number);
    let wait = begun(event_loop.readable(&fresh));
    let error = finish(&event_loop, stale).expect_err("an error for the closed descriptor");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    // The stale one's end does not touch the new registration.
    fresh_writer.write_all(b"x").expect("room");
    finish(&event_loop, wait).expect("readable");
    assert_eq!(event_loop.stats().registered, 0);
    drop(writer);
}

#[test]
fn dropped_wait_for_a_closed_fd_leaves_its_next_user_alone() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, _writer) = pipe();
    let number = reader.as_raw_fd();
    let reader = std::mem::ManuallyDrop::new(reader);
    let stale = begun(event_loop.readable(&*reader));
    close_number(number);
    let (near, mut far) = crate::util::unix();
    assert_eq!(near.get_ref().as_raw_fd(), number);
    let near = Rc::new(near);
    let (handle, own) = (event_loop.handle(), near.clone());
    let task = event_loop.create_task(async move { handle.sock_recv(&own, 9).await });
    run_iteration(&event_loop);
    drop(stale);
    far.write_all(b"x").expect("room");
    let received = finish(&event_loop, task).expect("ended").expect("received");
    assert_eq!(received, b"x");
}

#[test]
fn a_descriptor_that_is_not_open_is_refused() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, _writer) = pipe();
    let number = reader.as_raw_fd();
    let reader = std::mem::ManuallyDrop::new(reader);
    close_number(number);
    let error = finish(&event_loop, event_loop.readable(&*reader)).expect_err("closed");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}

#[test]
fn an_unpolled_wait_does_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, _writer) = pipe();
    let wait = event_loop.readable(&reader);
    assert_eq!(event_loop.stats().registered, 0);
    drop(wait);
    assert_eq!(event_loop.stats().registrations, 0);
}

#[test]
fn wait_for_bounds_a_wait() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, _writer) = pipe();
    let brief = Duration::from_millis(1);
    let waited = event_loop.wait_for(event_loop.readable(&reader), brief);
    event_loop.run_until_complete(waited).expect_err("no byte arrived");
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn remove_reader_raw_works_after_the_close() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, writer) = pipe();
    let held = Rc::new(());
    let (one, other) = (held.clone(), held.clone());
    event_loop.add_reader(&reader, move || drop(one.clone())).expect("watched");
    event_loop.add_writer(&writer, move || drop(other.clone())).expect("watched");
    let numbers = [reader.as_raw_fd(), writer.as_raw_fd()];
    drop((reader, writer));
    assert!(!event_loop.remove_writer_raw(numbers[0]) && !event_loop.remove_reader_raw(numbers[1]));
    assert!(event_loop.remove_reader_raw(numbers[0]) && event_loop.remove_writer_raw(numbers[1]));
    assert!(!event_loop.remove_reader_raw(numbers[0]) && !event_loop.remove_writer_raw(numbers[1]));
    assert_eq!((Rc::strong_count(&held), event_loop.stats().registered), (1, 0));
    for number in [-1, RawFd::MIN, RawFd::MAX] {
        assert!(!event_loop.remove_reader_raw(number) && !event_loop.remove_writer_raw(number));
    }
}

#[test]
fn remove_reader_raw_leaves_a_newer_socket_or_wait_alone() {
    let _test = test();
    for has_dup in [false, true] {
        let event_loop = new_loop();
        let (reader, writer) = pipe();
        event_loop.add_reader(&reader, || {}).expect("watched");
        let number = reader.as_raw_fd();
        let dup = has_dup.then(|| reader.try_clone().expect("a dup"));
        drop(reader);
        let (near, mut far) = crate::util::unix();
        assert_eq!(near.get_ref().as_raw_fd(), number);
        let near = Rc::new(near);
        let (handle, own) = (event_loop.handle(), near.clone());
        let task = event_loop.create_task(async move { handle.sock_recv(&own, 9).await });
        run_iteration(&event_loop);
        let wait = begun(event_loop.readable(&near));
        assert!(event_loop.remove_reader_raw(number));
        assert_eq!(event_loop.stats().registered, 1);
        far.write_all(b"x").expect("room");
        finish(&event_loop, wait).expect("readable");
        let received = finish(&event_loop, task).expect("ended").expect("received");
        assert_eq!(received, b"x");
        drop((dup, writer));
    }
}

#[test]
fn remove_reader_raw_leaves_the_loops_own_descriptors_alone() {
    let _test = test();
    let event_loop = new_loop();
    let (reader, writer) = pipe();
    let numbers = [reader.as_raw_fd(), writer.as_raw_fd()];
    event_loop.add_reader(&reader, || {}).expect("watched");
    drop((reader, writer));
    // The loop's signal pipe gets the closed descriptors.
    let calls = Rc::new(Cell::new(0));
    let counts = calls.clone();
    let count = move || counts.set(counts.get() + 1);
    event_loop.add_signal_handler(libc::SIGUSR1, count).expect("caught");
    for number in numbers {
        event_loop.remove_reader_raw(number);
    }
    for number in 0..50 {
        event_loop.remove_reader_raw(number);
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1)
        .expect("sent");
    run_until(&event_loop, || calls.get() == 1);
}

/// Returns whether an open file is non-blocking.
fn is_nonblocking(fd: &impl AsFd) -> bool {
    let flags = rustix::fs::fcntl_getfl(fd).expect("open");
    flags.contains(rustix::fs::OFlags::NONBLOCK)
}

#[test]
fn non_socket_is_refused_unchanged() {
    let _test = test();
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().expect("true");
    let output = OwnedFd::from(child.stdout.take().expect("a pipe"));
    child.wait().expect("ended");
    let (reader, writer) = pipe();
    let mut others: Vec<OwnedFd> = vec![output, reader.into(), writer.into()];
    others.push(file(10).into());
    others.push(File::open("/").expect("a directory").into());
    others.push(File::open("/dev/null").expect("a device").into());
    if let Ok(terminal) = File::options().read(true).write(true).open("/dev/ptmx") {
        others.push(terminal.into());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{EventfdFlags, eventfd};
        others.push(eventfd(0, EventfdFlags::empty()).expect("an eventfd"));
        let path = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        others.push(path.expect("a path"));
    }
    for other in others {
        let dup = other.try_clone().expect("a dup");
        let before = descriptors();
        let error = Socket::new(other).expect_err("not a socket");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(descriptors(), before - 1, "it is closed");
        assert!(!is_nonblocking(&dup));
    }
}

#[test]
fn sockets_of_every_kind_are_taken() {
    let _test = test();
    let (one, other) = UnixStream::pair().expect("a pair");
    let (stream, _peer) = tcp();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let all: [OwnedFd; 5] =
        [one.into(), other.into(), stream.into(), listener.into(), datagrams.into()];
    for socket in all {
        let socket = Socket::new(socket).expect("a socket");
        assert!(is_nonblocking(&socket));
    }
    // A borrowed socket too.
    let (one, _other) = UnixStream::pair().expect("a pair");
    assert!(Socket::new(one.as_fd()).is_ok());
    let number = one.into_raw_fd();
    close_number(number);
}

/// The wait borrows the descriptor and is not bound to the loop's lifetime.
fn _a_wait_outlives_its_handle(fd: &File) -> impl Future<Output = io::Result<()>> + Unpin + '_ {
    let event_loop = new_loop();
    event_loop.handle().readable(fd)
}

/// A waker that records that it was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future that one of the loop's tasks could be waiting for.
struct Waiter<'a> {
    /// The socket, and whether this waits to write.
    of: (usize, bool),
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    flag: Arc<Flag>,
}

impl Waiter<'_> {
    /// Polls if woken, and returns whether the wait is over.
    fn is_over(&mut self) -> bool {
        let waker = Waker::from(self.flag.clone());
        let mut cx = Context::from_waker(&waker);
        self.flag.0.swap(false, Ordering::SeqCst) && self.future.as_mut().poll(&mut cx).is_ready()
    }
}

fn wait_for<'a>(
    event_loop: &Loop,
    sockets: &'a [Socket<OwnedFd>],
    random: &mut Random,
) -> Waiter<'a> {
    let (n, kind) = (random.below(sockets.len()), random.below(8));
    let (handle, socket) = (event_loop.handle(), &sockets[n]);
    let future: Pin<Box<dyn Future<Output = ()> + 'a>> = match kind {
        0 | 1 => Box::pin(async move { handle.readable(socket).await.expect("readable") }),
        2 | 3 => Box::pin(async move { handle.writable(socket).await.expect("writable") }),
        4 | 5 => Box::pin(async move { drop(handle.sock_recv(socket, 10).await) }),
        _ => Box::pin(async move { drop(handle.sock_sendall(socket, &[7; 30_000]).await) }),
    };
    Waiter {
        of: (n, kind == 2 || kind == 3 || kind > 5),
        future,
        flag: Arc::new(Flag(AtomicBool::new(true))),
    }
}

/// Returns whether poll(2) reports the direction that `waiter` waits for.
fn is_ready(waiter: &Waiter<'_>, sockets: &[Socket<OwnedFd>]) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let (n, is_write) = waiter.of;
    let flags = if is_write { PollFlags::OUT } else { PollFlags::IN };
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&sockets[n], flags)], Some(&now)).expect("poll") > 0
}

/// Returns TCP or Unix socket pairs with small buffers, and a file over each end.
fn small_buffer_pairs(is_tcp: bool) -> Vec<(Socket<OwnedFd>, File, File)> {
    let pair = |_| -> (OwnedFd, OwnedFd) {
        if is_tcp {
            let (near, far) = small_buffer_tcp();
            (near.into(), far.into())
        } else {
            let (near, far) = small_buffer_unix();
            (near.into(), far.into())
        }
    };
    let with_files = |(near, far): (OwnedFd, OwnedFd)| {
        let file = File::from(near.try_clone().expect("a dup"));
        nonblocking(&far);
        let socket = Socket::new(near).expect("a socket");
        (socket, file, File::from(far))
    };
    (0..3).map(pair).map(with_files).collect()
}

/// Does something to one end of a pair that its waiters may be waiting for.
fn disturb(random: &mut Random, near: &mut File, far: &mut File) {
    use std::net::Shutdown;
    let shut = |file: &File, how| drop(socket2::SockRef::from(file).shutdown(how));
    let most = if random.below(30) == 0 { 7 } else { 4 };
    match random.below(most) {
        0 => drop(far.write(&[0; 15])),
        1 => while near.read(&mut [0; 100]).is_ok_and(|n| n > 0) {},
        2 => while near.write(&[0; 4096]).is_ok() {},
        3 => while far.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {},
        4 => shut(near, Shutdown::Write),
        5 => shut(near, Shutdown::Read),
        _ => shut(far, Shutdown::Both),
    }
}

#[test]
fn no_wait_is_lost_in_any_order_of_events() {
    let _test = test();
    for seed in 0..40 {
        let mut random = Random(seed);
        let event_loop = new_loop();
        let mut files = Vec::new();
        let mut sockets = Vec::new();
        for (socket, near, far) in small_buffer_pairs(seed % 2 == 0) {
            sockets.push(socket);
            files.push((near, far));
        }
        let mut waiters: Vec<Waiter<'_>> = Vec::new();
        for _ in 0..400 {
            match random.below(8) {
                0 | 1 => waiters.push(wait_for(&event_loop, &sockets, &mut random)),
                2 if !waiters.is_empty() => {
                    drop(waiters.swap_remove(random.below(waiters.len())));
                }
                3 | 4 => run_iteration(&event_loop),
                _ => {
                    let (near, far) = &mut files[random.below(sockets.len())];
                    disturb(&mut random, near, far);
                }
            }
            // Some tasks are slow to poll.
            waiters.retain_mut(|waiter| random.below(2) == 0 || !waiter.is_over());
        }
        // The test's own time limit ends a hang.
        while waiters.iter().any(|waiter| is_ready(waiter, &sockets)) {
            run_iteration(&event_loop);
            waiters.retain_mut(|waiter| !waiter.is_over());
        }
        // An event wakes one task after the other. TCP may report room later, which begins again.
        let most = 100 * (waiters.len() + 5);
        let becomes_idle = (0..most).any(|_| {
            run_iteration(&event_loop);
            waiters.retain_mut(|waiter| !waiter.is_over());
            event_loop.next_timeout().is_none()
        });
        assert!(becomes_idle, "seed {seed}: busy");
        drop(waiters);
        drop(sockets);
        assert_eq!(event_loop.stats().registered, 0);
    }
}
