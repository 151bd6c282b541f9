//! Signals arrive on the loop; what happened at them before comes back. A binary of its own: signals are the process's.
#![allow(
    unsafe_code,
    reason = "raising signals and looking at their dispositions"
)]

mod util;

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use util::*;

fn raise(signal: i32) {
    // SAFETY: raising a signal that is handled or ignored.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

fn disposition(signal: i32) -> usize {
    // SAFETY: all zero is a value of sigaction, and the call writes to it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(
            libc::sigaction(signal, std::ptr::null(), &raw mut action),
            0
        );
        action.sa_sigaction
    }
}

#[track_caller]
fn counting(event_loop: &sendloop::Loop, signal: i32) -> Rc<Cell<u32>> {
    let calls = Rc::new(Cell::new(0));
    let inside = calls.clone();
    let count = move || inside.set(inside.get() + 1);
    event_loop
        .add_signal_handler(signal, count)
        .expect("caught");
    calls
}

#[test]
fn a_signal_is_a_callback_on_the_loop_as_often_as_it_came() {
    let _test = test();
    let event_loop = new_loop();
    let calls = counting(&event_loop, libc::SIGUSR1);
    (0..3).for_each(|_| raise(libc::SIGUSR1));
    assert_eq!(calls.get(), 0);
    turn_until(&event_loop, || calls.get() == 3);
    assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
    assert!(!event_loop.remove_signal_handler(libc::SIGUSR1));
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
}

#[test]
fn destructors_of_handlers_that_panic_keep_nothing_from_being_put_back() {
    let _test = test();
    let event_loop = new_loop();
    let signals = [libc::SIGUSR1, libc::SIGUSR2];
    let held = Rc::new(());
    for signal in signals {
        let (loud, held) = (AtEnd(|| panic!("as it should")), held.clone());
        let handler = move || {
            let _both = (&loud, &held);
        };
        event_loop
            .add_signal_handler(signal, handler)
            .expect("caught");
    }
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(signals.map(disposition), [libc::SIG_DFL; 2]);
}

#[test]
fn a_signal_to_another_thread_wakes_a_parked_loop() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    event_loop
        .add_signal_handler(libc::SIGUSR1, move || handle.stop())
        .expect("caught");
    let sender = thread::spawn(|| {
        thread::sleep(Duration::from_millis(20));
        raise(libc::SIGUSR1);
    });
    event_loop.run_forever();
    sender.join().expect("sent");
}

#[test]
fn several_loops_are_each_told_and_the_former_disposition_comes_back_with_the_last() {
    let _test = test();
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    let (one, other) = (new_loop(), new_loop());
    let (first, second) = (
        counting(&one, libc::SIGUSR2),
        counting(&other, libc::SIGUSR2),
    );
    raise(libc::SIGUSR2);
    turn_until(&one, || first.get() == 1);
    turn_until(&other, || second.get() == 1);
    drop(one);
    raise(libc::SIGUSR2);
    turn_until(&other, || second.get() == 2);
    drop(other);
    assert_eq!(disposition(libc::SIGUSR2), libc::SIG_IGN);
    // SAFETY: no code of ours runs at the signal.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_DFL) };
    assert_eq!(first.get(), 1);
}

#[test]
fn what_cannot_be_caught_is_refused() {
    let _test = test();
    let event_loop = new_loop();
    for signal in [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        0,
        -1,
        32,
        65,
        1000,
        i32::MAX,
        i32::MIN,
    ] {
        let error = event_loop
            .add_signal_handler(signal, || {})
            .expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "signal {signal}");
        assert!(!event_loop.remove_signal_handler(signal));
    }
}

#[test]
fn a_second_handler_replaces_the_first_and_may_remove_itself() {
    let _test = test();
    let event_loop = new_loop();
    let first = counting(&event_loop, libc::SIGUSR1);
    let second = Rc::new(Cell::new(0));
    let (handle, inside) = (event_loop.handle(), second.clone());
    let once = move || {
        inside.set(inside.get() + 1);
        assert!(handle.remove_signal_handler(libc::SIGUSR1));
    };
    event_loop
        .add_signal_handler(libc::SIGUSR1, once)
        .expect("caught");
    raise(libc::SIGUSR1);
    turn_until(&event_loop, || second.get() == 1);
    assert_eq!((first.get(), Rc::strong_count(&first)), (0, 1));
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
}

#[test]
fn ctrl_c_inside_run_drops_main_and_is_an_error() {
    let _test = test();
    let dropped = Rc::new(());
    let inside = dropped.clone();
    let result = sendloop::run(async |event_loop| {
        let task = event_loop.create_task(async move {
            let _inside = inside;
            std::future::pending::<()>().await;
        });
        event_loop.call_later(Duration::from_millis(5), || raise(libc::SIGINT));
        let _ = task.await;
    });
    assert_eq!(
        result.expect_err("interrupted").kind(),
        ErrorKind::Interrupted
    );
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
}

#[test]
fn a_handler_of_mains_own_takes_ctrl_c_over() {
    let _test = test();
    let result = sendloop::run(async |event_loop| {
        let (promise, future) = event_loop.create_future();
        let mut promise = Some(promise);
        let own = move || {
            let _ = promise.take().map(|promise| promise.set_result("own"));
        };
        event_loop
            .add_signal_handler(libc::SIGINT, own)
            .expect("caught");
        event_loop.sleep(Duration::from_millis(2)).await;
        raise(libc::SIGINT);
        future.await.expect("set")
    });
    assert_eq!(result.expect("not interrupted"), "own");
}
