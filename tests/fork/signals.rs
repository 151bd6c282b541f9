//! Signals of a forked child: its own loop gets them, and the parent's does not.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::child::{End, end_of, forks, in_child};
use super::util::*;

const SIGNAL: i32 = libc::SIGUSR1;

fn raise() {
    send_to_this_thread(SIGNAL);
}

/// Sends a signal to this thread. In a child of a raw fork, musl's raise(3) sends it to the parent.
fn send_to_this_thread(signal: i32) {
    #[cfg(target_os = "linux")]
    // SAFETY: no pointers.
    let sent = unsafe {
        libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::syscall(libc::SYS_gettid), signal)
    };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: no pointers.
    let sent = unsafe { libc::raise(signal) };
    assert_eq!(sent, 0);
}

fn handler(of: &sendloop::Loop) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    let counts = count.clone();
    of.add_signal_handler(SIGNAL, move || counts.set(counts.get() + 1)).expect("caught");
    count
}

#[test]
fn child_has_the_signal_dispositions_from_before_the_loop() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let count = handler(&event_loop);
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        let events = event_loop.stats().events;
        assert_eq!(end_of(*fork, raise), End::Signal(SIGNAL));
        let mut inherited = Some(event_loop);
        let after_drop = || {
            drop(inherited.take());
            raise();
        };
        assert_eq!(end_of(*fork, after_drop), End::Signal(SIGNAL));
        let event_loop = inherited.expect("the parent's");
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        assert_eq!(count.get(), 0);
        let news = event_loop.stats().events - events;
        assert_eq!(news, 0, "bytes in the parent's signal pipe");
        raise();
        run_until(&event_loop, || count.get() == 1);
    }
}

#[test]
fn a_childs_loop_gets_the_childs_signals() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let count = handler(&event_loop);
        let mut inherited = Some(event_loop);
        in_child(*fork, || {
            let own = new_loop();
            let counted = handler(&own);
            raise();
            run_until(&own, || counted.get() == 1);
            // The end of the parent's loop takes nothing from the child's.
            drop(inherited.take());
            raise();
            run_until(&own, || counted.get() == 2);
            assert_eq!(count.get(), 0);
        });
        let removed = || {
            let own = new_loop();
            let _counted = handler(&own);
            assert!(own.remove_signal_handler(SIGNAL));
            raise();
        };
        assert_eq!(end_of(*fork, removed), End::Signal(SIGNAL));
        let event_loop = inherited.expect("the parent's");
        raise();
        run_until(&event_loop, || count.get() == 1);
    }
}

#[test]
fn ctrl_c_ends_a_run_in_a_child_of_a_run() {
    let _test = test();
    for fork in forks() {
        let fork = *fork;
        let ran = sendloop::run(async move |_| {
            in_child(fork, || {
                let interrupted = sendloop::run(async |event_loop| {
                    send_to_this_thread(libc::SIGINT);
                    event_loop.sleep(Duration::from_secs(60)).await;
                });
                let error = interrupted.expect_err("interrupted");
                assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
            });
        });
        ran.expect("the parent's goes on");
    }
}

#[test]
fn parents_signal_object_fails_in_the_child_only() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let mut inherited = Some(event_loop.signal(SIGNAL).expect("caught"));
        in_child(*fork, || {
            let own = new_loop();
            let received = own.run_until_complete(inherited.as_mut().expect("there").recv());
            received.expect_err("the parent's");
            let mut signal = own.signal(SIGNAL).expect("caught");
            raise();
            own.run_until_complete(signal.recv()).expect("received");
            // Dropping the parent's object changes nothing for the child's.
            drop(inherited.take());
            raise();
            own.run_until_complete(signal.recv()).expect("received");
            event_loop.signal(SIGNAL).expect_err("the parent's");
        });
        let after_drop = || {
            drop(inherited.take());
            raise();
        };
        assert_eq!(end_of(*fork, after_drop), End::Signal(SIGNAL));
        let mut signal = inherited.expect("the parent's");
        raise();
        let received = event_loop.wait_for(signal.recv(), Duration::from_secs(10));
        let received = event_loop.run_until_complete(received);
        received.expect("an end in time").expect("received");
    }
}
