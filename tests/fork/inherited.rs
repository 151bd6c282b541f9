//! An inherited loop behaves as a closed loop in the child: no wait hangs, and nothing is lost.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use sendloop::{Loop, Socket};

use super::child::{Fork, forks, in_child};
use super::util::*;

#[test]
fn dropping_an_inherited_loop_runs_destructors_and_closes_its_descriptors() {
    let _test = test();
    for fork in forks() {
        let before = descriptors();
        let mut event_loop = Some(new_loop());
        let dropped = Rc::new(Cell::new(0));
        let guard = || {
            let dropped = dropped.clone();
            CallOnDrop(move || dropped.set(dropped.get() + 1))
        };
        let handle = event_loop.as_ref().expect("a loop");
        let (in_task, in_callback, in_timer) = (guard(), guard(), guard());
        handle.create_task(async move {
            std::future::pending::<()>().await;
            drop(in_task);
        });
        let (near, _far) = unix();
        let reader = guard();
        handle
            .add_reader(&near, move || {
                let _held = &reader;
            })
            .expect("watched");
        run_iteration(handle);
        handle.call_soon(move || drop(in_callback));
        handle.call_later(Duration::from_secs(60), move || drop(in_timer));
        let file = tempfile::tempfile().expect("a file");
        let remote = handle.remote();
        let call = move || drop(file);
        std::thread::spawn(move || remote.call_soon_threadsafe(call))
            .join()
            .expect("called")
            .expect("open");
        in_child(*fork, || {
            drop(event_loop.take());
            assert_eq!(dropped.get(), 4);
            // The pair is left.
            assert_eq!(descriptors(), before + 2);
        });
        drop(event_loop);
    }
}

#[test]
fn inherited_executor_work_is_cancelled_in_a_child() {
    let _test = test();
    for fork in forks() {
        let event_loop = Loop::builder().executor_threads(1).build().expect("a loop");
        let (sender, receiver) = mpsc::channel::<()>();
        let busy = event_loop.run_in_executor(move || receiver.recv().is_err());
        let queued = event_loop.run_in_executor(|| 1);
        let done = event_loop.run_in_executor(|| 2);
        let (mut busy, mut queued) = (Some(busy), Some(queued));
        in_child(*fork, || {
            let late = event_loop.run_in_executor(|| panic!("the child runs a job of the parent"));
            let own = new_loop();
            own.run_until_complete(async {
                let cancelled = late.await.expect_err("cancelled");
                assert!(cancelled.is_cancelled());
                let busy = busy.take().expect("there").await;
                assert!(busy.expect_err("cancelled").is_cancelled());
                let queued = queued.take().expect("there").await;
                assert!(queued.expect_err("cancelled").is_cancelled());
                event_loop.shutdown_default_executor().await;
                let name = event_loop.getaddrinfo("127.0.0.1", 80).await;
                name.expect_err("no executor");
                assert_eq!(own.run_in_executor(|| 3).await.expect("no panic"), 3);
            });
        });
        drop(sender);
        let busy = event_loop.run_until_complete(busy.expect("the parent's"));
        assert!(busy.expect("no panic"));
        assert_eq!(event_loop.run_until_complete(done).expect("no panic"), 2);
    }
}

#[test]
fn an_inherited_socket_works_with_a_loop_of_the_child() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let (socket, mut far) = unix();
        let socket = Rc::new(socket);
        let (handle, receives) = (event_loop.handle(), socket.clone());
        let task = event_loop.create_task(async move { handle.sock_recv(&receives, 1).await });
        run_iteration(&event_loop);
        in_child(*fork, || {
            let own = new_loop();
            let writer = far.try_clone().expect("a duplicate");
            let byte = own.run_until_complete(async {
                own.call_later(Duration::from_millis(5), move || {
                    (&writer).write_all(b"c").expect("room");
                });
                // A wait by the parent's loop fails. A wait by the child's loop ends.
                let refused = event_loop.sock_recv(&socket, 1).await;
                let refused = refused.expect_err("the parent's loop");
                assert!(refused.to_string().contains("forked child"), "{refused}");
                own.sock_recv(&socket, 1).await.expect("received")
            });
            assert_eq!(byte, b"c");
        });
        far.write_all(b"p").expect("room");
        let byte = event_loop.run_until_complete(task).expect("no panic");
        assert_eq!(byte.expect("received"), b"p");
    }
}

/// Fills the socket's buffer and leaves a writer waiting on the parent's loop.
fn stalled(event_loop: &Loop) -> (Rc<Socket<std::os::unix::net::UnixStream>>, impl Read) {
    let (socket, far) = small_buffer_unix();
    far.set_nonblocking(true).expect("set");
    let socket = Rc::new(socket);
    let (handle, sends) = (event_loop.handle(), socket.clone());
    event_loop.create_task(async move { handle.sock_sendall(&sends, &[1; 1 << 20]).await });
    run_iteration(event_loop);
    (socket, far)
}

#[test]
fn the_parents_writers_do_not_hold_the_write_lock_in_a_child() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let (socket, mut far) = stalled(&event_loop);
        in_child(*fork, || {
            let own = new_loop();
            own.run_until_complete(async {
                let sent = own.create_task({
                    let (own, socket) = (own.handle(), socket.clone());
                    async move { own.sock_sendall(&socket, &[2; 1 << 20]).await }
                });
                own.sleep(Duration::from_millis(1)).await;
                let mut bytes = vec![0; 1 << 16];
                while !sent.done() {
                    while reads_some(&mut far, &mut bytes) {}
                    own.sleep(Duration::from_millis(1)).await;
                }
                sent.await.expect("no panic").expect("sent");
            });
            drop(socket);
        });
    }
}

/// Reads the available bytes. It returns false if there are none.
fn reads_some(far: &mut impl Read, bytes: &mut [u8]) -> bool {
    match far.read(bytes) {
        Ok(count) => count > 0,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            false
        }
    }
}

#[test]
fn sleeps_and_tasks_of_an_inherited_loop_do_not_wait_in_a_child() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let begun = event_loop.sleep(Duration::from_secs(60));
        let mut begun = Some(begun);
        let waiting = event_loop.create_task(event_loop.sleep(Duration::from_secs(60)));
        let mut waiting = Some(waiting);
        in_child(*fork, || {
            let own = new_loop();
            own.run_until_complete(async {
                begun.take().expect("there").await;
                event_loop.sleep(Duration::from_secs(60)).await;
                event_loop.sleep(Duration::ZERO).await;
                let waiting = waiting.take().expect("there").await;
                assert!(waiting.expect_err("cancelled").is_cancelled());
                let task = event_loop.create_task(async { 1 });
                assert!(task.await.expect_err("cancelled").is_cancelled());
            });
        });
    }
}

#[test]
fn cancel_handles_and_groups_of_an_inherited_loop_work_in_a_child() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let task = event_loop.create_task(std::future::pending::<()>());
        let cancel_handle = task.cancel_handle();
        let mut group = event_loop.task_group();
        for _ in 0..3 {
            group.create_task(std::future::pending::<()>());
        }
        run_iteration(&event_loop);
        in_child(*fork, || {
            assert!(cancel_handle.cancel() && cancel_handle.cancelled());
            let own = new_loop();
            own.run_until_complete(async {
                assert!(group.create_task(async {}).cancelled());
                for _ in 0..4 {
                    let joined = group.join_next().await.expect("a task");
                    assert!(joined.expect_err("cancelled").is_cancelled());
                }
                assert!(group.join_next().await.is_none());
            });
        });
        assert!(!cancel_handle.done() && group.len() == 3);
        group.cancel();
        assert!(cancel_handle.cancel());
    }
}

#[test]
fn a_job_that_forks_runs_no_other_job_in_the_child() {
    let _test = test();
    for fork in forks() {
        let fork: Fork = *fork;
        let event_loop = Loop::builder().executor_threads(1).build().expect("a loop");
        let (mut reader, writer) = pipe();
        // The child returns from the job into the worker, which ends, and the process with it.
        let forked = event_loop.run_in_executor(move || fork.fork());
        let job = event_loop.run_in_executor(move || {
            let text = format!("{} ", std::process::id());
            (&writer).write_all(text.as_bytes()).expect("room");
        });
        let pid = event_loop.run_until_complete(forked).expect("no panic");
        event_loop.run_until_complete(job).expect("no panic");
        super::child::wait(pid);
        drop(event_loop);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert_eq!(text, format!("{} ", std::process::id()), "{fork:?}");
    }
}

#[test]
fn a_wait_that_a_child_drops_goes_on_in_the_parent() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let (reader, mut writer) = pipe();
        let reader = Rc::new(reader);
        let (handle, own) = (event_loop.handle(), reader.clone());
        let task = event_loop.create_task(async move { handle.readable(&own).await });
        run_iteration(&event_loop);
        let mut inherited = Some((event_loop, task));
        in_child(*fork, || {
            let (event_loop, task) = inherited.take().expect("there");
            let handle = event_loop.handle();
            drop((event_loop, task));
            let own = new_loop();
            let refused = own.run_until_complete(handle.readable(&reader));
            refused.expect_err("the parent's");
            let brief = own.wait_for(own.readable(&reader), Duration::from_millis(1));
            own.run_until_complete(brief).expect_err("no byte arrived");
        });
        let (event_loop, task) = inherited.expect("the parent's");
        writer.write_all(b"x").expect("room");
        let waited = event_loop.wait_for(task, Duration::from_secs(10));
        let result = event_loop.run_until_complete(waited).expect("an end in time");
        result.expect("ended").expect("readable");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn child_leaves_the_timer_of_an_embedded_loop_alone() {
    use rustix::event::{PollFd, PollFlags, poll};

    let _test = test();
    for fork in forks() {
        let mut event_loop = Some(new_loop());
        let parent = event_loop.as_ref().expect("a loop");
        let mut fds = [PollFd::new(parent, PollFlags::IN)];
        let fired = Rc::new(Cell::new(false));
        let fires = fired.clone();
        let timer = parent.call_later(Duration::from_millis(50), move || fires.set(true));
        let handle = parent.handle();
        let work = Cell::new(Some(parent.create_future::<()>()));
        in_child(*fork, || {
            timer.cancel();
            handle.call_later(Duration::from_secs(3600), || {});
            handle.stop();
            drop(work.take());
            drop(handle.sleep(Duration::from_secs(1)));
        });
        assert_eq!(poll(&mut fds, None), Ok(1));
        parent.run_once(Some(Duration::ZERO)).expect("an iteration");
        assert!(fired.get(), "the timer of the parent's loop fired");
        let _fired = timer;
        parent.call_later(Duration::from_millis(50), || {});
        in_child(*fork, || drop(event_loop.take()));
        let parent = event_loop.as_ref().expect("a loop");
        assert_eq!(poll(&mut [PollFd::new(parent, PollFlags::IN)], None), Ok(1));
    }
}
