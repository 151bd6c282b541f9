//! Tests of the handler's races, in forked children.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use super::*;

const SIGNAL: i32 = libc::SIGUSR1;

/// Runs `f` in a forked child, and returns the child's wait status.
fn status_of(f: impl FnOnce() -> bool) -> libc::c_int {
    // SAFETY: the child calls `f` and exits. The C library keeps its allocator usable there.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // A panic must not unwind into the harness, of which the child has one thread.
        let code = match catch_unwind(AssertUnwindSafe(f)) {
            Ok(true) => 0,
            _ => 1,
        };
        // SAFETY: it has no conditions.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a local.
    let waited = uninterrupted(|| cvt(unsafe { libc::waitpid(child, &raw mut status, 0) }));
    assert_eq!(waited.expect("a child"), child);
    status
}

#[track_caller]
fn assert_in_child(f: impl FnOnce() -> bool) {
    assert_eq!(status_of(f), 0);
}

fn present() -> libc::sighandler_t {
    let mut present = DEFAULT;
    read(SIGNAL, &mut present).expect("a signal");
    present.sa_sigaction
}

fn set(signal: i32, handler: libc::sighandler_t) {
    let mut action = DEFAULT;
    action.sa_sigaction = handler;
    // SAFETY: SIG_DFL and SIG_IGN run no code, and the tests' handlers only call ours.
    unsafe { swap(signal, &action, &mut { DEFAULT }) }.expect("a signal");
}

#[test]
fn second_of_two_simultaneous_ctrl_c_ends_the_process() {
    let status = status_of(|| {
        set(libc::SIGINT, libc::SIG_DFL);
        let slot = SignalSlot::new().expect("a slot");
        let is_caught = slot.catch_interrupt().expect("installed");
        // SAFETY: no pointers; the signal is handled.
        unsafe { libc::raise(libc::SIGINT) };
        // The second thread's handler has begun before the first one installed the default.
        handle_signal(libc::SIGINT);
        !is_caught
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGINT);
}

#[test]
fn handler_called_by_a_foreign_one_does_not_raise_the_signal() {
    extern "C" fn foreign(signal: libc::c_int) {
        handle_signal(signal);
    }
    assert_in_child(|| {
        set(SIGNAL, foreign as *const () as libc::sighandler_t);
        let slot = SignalSlot::new().expect("a slot");
        slot.catch(SIGNAL).expect("a signal");
        slot.release(SIGNAL);
        // SAFETY: no pointers; the signal is handled.
        unsafe { libc::raise(SIGNAL) };
        true
    });
}

#[test]
fn catch_waits_for_a_handler_that_restores_the_former_action() {
    assert_in_child(|| {
        let slot: &SignalSlot = Box::leak(Box::new(SignalSlot::new().expect("a slot")));
        let counted = HandlerCount::begin();
        let (sender, receiver) = mpsc::channel();
        // A thread of std may hang in a forked child, as `sys::thread` explains.
        let started = crate::sys::thread::start(move || {
            slot.catch(SIGNAL).expect("a signal");
            sender.send(()).expect("the receiver waits");
        });
        started.expect("a thread");
        while !slot.shared.wants(SIGNAL as usize) {
            thread::yield_now();
        }
        let is_waiting = receiver.try_recv().is_err() && present() == libc::SIG_DFL;
        drop(counted);
        is_waiting && receiver.recv().is_ok() && present() == handler_address()
    });
}

#[test]
fn child_does_not_wait_for_a_handler_of_its_parent() {
    assert_in_child(|| {
        let _counted = HandlerCount::begin();
        status_of(|| {
            let slot = SignalSlot::new().expect("a slot");
            slot.catch(SIGNAL).is_ok()
        }) == 0
    });
}

#[test]
fn child_forked_under_the_lock_restores_the_former_action() {
    assert_in_child(|| {
        set(SIGNAL, libc::SIG_IGN);
        let slot = SignalSlot::new().expect("a slot");
        slot.catch(SIGNAL).expect("a signal");
        let locked = lock();
        let status = status_of(|| {
            let own = SignalSlot::new().expect("a slot");
            own.catch(SIGNAL).expect("a signal");
            drop(own);
            present() == libc::SIG_IGN
        });
        drop(locked);
        status == 0
    });
}
