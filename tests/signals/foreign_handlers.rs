//! Signal handlers that other code installs while a loop holds the signal: the loop leaves them.

use std::cell::Cell;
use std::env;
use std::mem;
use std::process::{self, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::actions::*;
use crate::util::*;
use sendloop::Loop;

const SIGNAL: i32 = libc::SIGUSR1;

const SCENARIO: &str = "SENDLOOP_TEST_SCENARIO";
/// A child ends by SIGALRM after this many seconds.
const SECONDS: u32 = 20;

static CAUGHT: AtomicUsize = AtomicUsize::new(0);
/// The handler that `chain` calls; 0 is none.
static SAVED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_signal: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn chain(signal: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
    let saved = SAVED.load(Ordering::SeqCst);
    if saved != 0 {
        // SAFETY: it is a handler without SA_SIGINFO that sigaction returned.
        let saved: extern "C" fn(libc::c_int) = unsafe { mem::transmute(saved) };
        saved(signal);
    }
}

/// Returns the address of `count`.
///
/// Only this function takes it, because the compiler may give a function several addresses.
#[inline(never)]
fn counting() -> libc::sighandler_t {
    count as extern "C" fn(libc::c_int) as libc::sighandler_t
}

/// Returns the address of `chain`, as [`counting`] does for `count`.
#[inline(never)]
fn chaining() -> libc::sighandler_t {
    chain as extern "C" fn(libc::c_int) as libc::sighandler_t
}

#[track_caller]
fn caught(event_loop: &Loop) -> Rc<Cell<usize>> {
    let calls = Rc::new(Cell::new(0));
    let inside = calls.clone();
    let count = move || inside.set(inside.get() + 1);
    event_loop.add_signal_handler(SIGNAL, count).expect("set");
    calls
}

/// Asserts that the foreign handler is installed and runs.
#[track_caller]
fn assert_foreign(handler_is: libc::sighandler_t) {
    assert_eq!(disposition(SIGNAL), handler_is);
    let before = CAUGHT.load(Ordering::SeqCst);
    raise(SIGNAL);
    assert_eq!(CAUGHT.load(Ordering::SeqCst), before + 1);
}

#[track_caller]
fn assert_default() {
    assert_eq!(disposition(SIGNAL), libc::SIG_DFL);
}

/// Runs a test's scenario in a child process, which runs that test alone. No signal may kill it.
///
/// The test must call this first: in the child, this call runs the scenario and exits.
#[track_caller]
fn survives(name: &str, scenario: fn()) {
    let name = format!("foreign_handlers::{name}");
    if env::var_os(SCENARIO).is_some_and(|running| running == *name) {
        // SAFETY: it has no conditions; the default action of SIGALRM ends the process.
        unsafe { libc::alarm(SECONDS) };
        scenario();
        process::exit(0);
    }
    let _test = test();
    let mut child = this_program();
    child.args([&name, "--exact", "--nocapture", "--test-threads=1"]);
    let status = child.env(SCENARIO, &name).stdout(Stdio::null()).status();
    let status = status.expect("a child process");
    assert!(status.success(), "{status}");
}

#[test]
fn removal_leaves_a_foreign_handler() {
    survives("removal_leaves_a_foreign_handler", || {
        let event_loop = new_loop();
        let calls = caught(&event_loop);
        set_action(SIGNAL, counting());
        assert!(event_loop.remove_signal_handler(SIGNAL));
        assert_foreign(counting());
        drop(event_loop);
        assert_foreign(counting());
        assert_eq!(calls.get(), 0);
    });
}

#[test]
fn removal_leaves_an_ignored_or_default_signal() {
    survives("removal_leaves_an_ignored_or_default_signal", || {
        let event_loop = new_loop();
        for (former, newer) in [
            (libc::SIG_DFL, libc::SIG_IGN),
            (libc::SIG_IGN, libc::SIG_DFL),
            (counting(), libc::SIG_DFL),
            (counting(), libc::SIG_IGN),
        ] {
            set_action(SIGNAL, former);
            caught(&event_loop);
            set_action(SIGNAL, newer);
            assert!(event_loop.remove_signal_handler(SIGNAL));
            assert_eq!(disposition(SIGNAL), newer);
        }
    });
}

#[test]
fn loop_drop_leaves_a_foreign_handler() {
    survives("loop_drop_leaves_a_foreign_handler", || {
        let event_loop = new_loop();
        caught(&event_loop);
        set_action(SIGNAL, counting());
        drop(event_loop);
        assert_foreign(counting());
    });
}

#[test]
fn end_of_run_leaves_a_foreign_handler() {
    survives("end_of_run_leaves_a_foreign_handler", || {
        let result = sendloop::run(async |event_loop| {
            event_loop.add_signal_handler(SIGNAL, || {}).expect("set");
            set_action(SIGNAL, counting());
        });
        result.expect("a loop");
        assert_foreign(counting());
    });
}

#[test]
fn last_of_several_loops_leaves_a_foreign_handler() {
    survives("last_of_several_loops_leaves_a_foreign_handler", || {
        let loops = [new_loop(), new_loop(), new_loop()];
        loops.iter().for_each(|event_loop| drop(caught(event_loop)));
        set_action(SIGNAL, counting());
        for event_loop in loops {
            drop(event_loop);
            assert_foreign(counting());
        }
    });
}

#[test]
fn loops_on_several_threads_leave_a_foreign_handler() {
    survives("loops_on_several_threads_leave_a_foreign_handler", || {
        let barrier = Arc::new(std::sync::Barrier::new(5));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let barrier = barrier.clone();
                thread::spawn(move || {
                    let event_loop = new_loop();
                    caught(&event_loop);
                    barrier.wait();
                    barrier.wait();
                })
            })
            .collect();
        barrier.wait();
        set_action(SIGNAL, counting());
        barrier.wait();
        threads.into_iter().for_each(|it| it.join().expect("ended"));
        assert_foreign(counting());
    });
}

#[test]
fn foreign_handler_survives_a_race_with_removal() {
    survives("foreign_handler_survives_a_race_with_removal", || {
        let event_loop = new_loop();
        let (round, installed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (rounds, installs) = (round.clone(), installed.clone());
        const ROUNDS: usize = 3000;
        let foreign = thread::spawn(move || {
            for number in 1..=ROUNDS {
                while rounds.load(Ordering::SeqCst) < number {
                    thread::yield_now();
                }
                set_action(SIGNAL, counting());
                installs.store(number, Ordering::SeqCst);
            }
        });
        for number in 1..=ROUNDS {
            set_action(SIGNAL, libc::SIG_DFL);
            caught(&event_loop);
            round.store(number, Ordering::SeqCst);
            assert!(event_loop.remove_signal_handler(SIGNAL));
            while installed.load(Ordering::SeqCst) < number {
                thread::yield_now();
            }
            assert_eq!(disposition(SIGNAL), counting(), "round {number}");
        }
        foreign.join().expect("ended");
    });
}

#[test]
fn signal_hook_survives_the_loop() {
    survives("signal_hook_survives_the_loop", || {
        let event_loop = new_loop();
        let calls = caught(&event_loop);
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGNAL, came.clone()).expect("set");
        // signal-hook calls the handler that it found, so the loop still gets the signal.
        raise(SIGNAL);
        assert!(came.swap(false, Ordering::SeqCst));
        run_until(&event_loop, || calls.get() == 1);
        drop(event_loop);
        raise(SIGNAL);
        assert!(came.load(Ordering::SeqCst));
    });
}

#[test]
fn foreign_handler_may_call_ours_after_removal() {
    survives("foreign_handler_may_call_ours_after_removal", || {
        let event_loop = new_loop();
        let calls = caught(&event_loop);
        let ours = set_action(SIGNAL, chaining()).sa_sigaction;
        SAVED.store(ours, Ordering::SeqCst);
        raise(SIGNAL);
        run_until(&event_loop, || calls.get() == 1);
        drop(event_loop);
        assert_foreign(chaining());
        // An invalid signal number does no harm either.
        // SAFETY: it is the handler that sigaction returned.
        let ours: extern "C" fn(libc::c_int) = unsafe { mem::transmute(ours) };
        for number in [0, -1, 64, 65, i32::MAX, i32::MIN] {
            ours(number);
        }
        assert_eq!(calls.get(), 1);
    });
}

#[test]
fn foreign_code_may_restore_our_handler_after_removal() {
    survives("foreign_code_may_restore_our_handler_after_removal", || {
        let event_loop = new_loop();
        caught(&event_loop);
        let ours = set_action(SIGNAL, counting()).sa_sigaction;
        drop(event_loop);
        set_action(SIGNAL, ours);
        raise(SIGNAL);
        // The next loop catches the signal, and restores the disposition from before the first
        // loop.
        let event_loop = new_loop();
        let calls = caught(&event_loop);
        raise(SIGNAL);
        run_until(&event_loop, || calls.get() == 1);
        drop(event_loop);
        assert_default();
    });
}

#[test]
fn run_handles_ctrl_c_after_foreign_code_restored_ours() {
    survives("run_handles_ctrl_c_after_foreign_code_restored_ours", || {
        let event_loop = new_loop();
        event_loop.add_signal_handler(libc::SIGINT, || {}).expect("set");
        let ours = set_action(libc::SIGINT, counting()).sa_sigaction;
        drop(event_loop);
        set_action(libc::SIGINT, ours);
        let result = sendloop::run(async |_| {
            raise(libc::SIGINT);
            std::future::pending::<()>().await;
        });
        result.expect_err("interrupted");
        assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
    });
}

#[test]
fn adding_again_takes_the_signal_back_and_removal_restores_the_foreign_handler() {
    let name = "adding_again_takes_the_signal_back_and_removal_restores_the_foreign_handler";
    survives(name, || {
        for second_loop in [false, true] {
            set_action(SIGNAL, libc::SIG_DFL);
            let (one, other) = (new_loop(), new_loop());
            caught(&one);
            set_action(SIGNAL, counting());
            let again = if second_loop { &other } else { &one };
            let calls = caught(again);
            let before = CAUGHT.load(Ordering::SeqCst);
            raise(SIGNAL);
            run_until(again, || calls.get() == 1);
            assert_eq!(CAUGHT.load(Ordering::SeqCst), before);
            drop(one);
            drop(other);
            assert_foreign(counting());
        }
    });
}
