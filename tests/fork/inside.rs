//! A fork inside a callback or a task: the child continues in the middle of the parent's iteration.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use sendloop::get_running_loop;

use super::child::{End, Fork, end_child, forks, in_child, text, wait};
use super::new_loop::assert_works;
use super::util::*;

#[test]
fn no_loop_runs_in_a_child_that_a_callback_forked_and_a_new_one_can() {
    let _test = test();
    for fork in forks() {
        let (event_loop, fork) = (new_loop(), *fork);
        let handle = event_loop.handle();
        event_loop.call_soon(move || {
            in_child(fork, || {
                assert!(get_running_loop().is_none());
                assert!(!handle.is_running());
                assert_works();
                sendloop::run(async |_| assert!(get_running_loop().is_some())).expect("a loop");
                assert!(get_running_loop().is_none());
            });
            assert!(get_running_loop().is_some());
            handle.stop();
        });
        event_loop.run_forever();
    }
}

/// Runs a loop by `run`, with a callback that forks and returns in the child as well.
///
/// In the child, `run` must panic or fail, and run no later callback.
#[track_caller]
fn child_returns_into(fork: Fork, run: impl Fn(&sendloop::Loop) -> std::io::Result<()>) {
    let event_loop = new_loop();
    let (pid, after) = (Rc::new(Cell::new(-1)), Rc::new(Cell::new(false)));
    let (sets, marks, handle) = (pid.clone(), after.clone(), event_loop.handle());
    event_loop.call_soon(move || sets.set(fork.fork()));
    let forked = pid.clone();
    event_loop.call_soon(move || {
        marks.set(forked.get() == 0);
        handle.stop();
    });
    let ran = catch_unwind(AssertUnwindSafe(|| run(&event_loop)));
    if pid.get() == 0 {
        end_child(|| {
            let words = match ran {
                Ok(result) => result.expect_err("an error").to_string(),
                Err(panic) => text(&*panic),
            };
            assert!(words.contains("forked child"), "{words}");
            assert!(!after.get(), "a later callback of the parent ran in the child");
            drop(event_loop);
            assert_works();
        });
    }
    ran.expect("no panic").expect("an iteration");
    assert_eq!(wait(pid.get()), End::Code(0));
    event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(1)));
}

#[test]
fn child_that_returns_into_the_parents_iteration_panics() {
    let _test = test();
    for fork in forks() {
        child_returns_into(*fork, |event_loop| {
            event_loop.run_forever();
            Ok(())
        });
        child_returns_into(*fork, |event_loop| event_loop.run_once(None));
    }
}

#[test]
fn a_task_that_forks_and_goes_on_ends_the_childs_run_at_its_next_wait() {
    let _test = test();
    for fork in forks() {
        for delay in [Duration::ZERO, Duration::from_millis(1)] {
            let event_loop = new_loop();
            let mut pid = -1;
            let ran = catch_unwind(AssertUnwindSafe(|| {
                event_loop.run_until_complete(async {
                    pid = fork.fork();
                    loop {
                        event_loop.sleep(delay).await;
                        if pid > 0 {
                            return;
                        }
                    }
                });
            }));
            if pid == 0 {
                end_child(|| {
                    let words = text(&*ran.expect_err("a panic"));
                    assert!(words.contains("forked child"), "{words}");
                });
            }
            ran.expect("no panic");
            assert_eq!(wait(pid), End::Code(0));
        }
    }
}

#[test]
fn a_main_future_that_is_complete_in_the_child_ends_its_run_by_a_panic() {
    let _test = test();
    for fork in forks() {
        let event_loop = new_loop();
        let mut pid = -1;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            event_loop.run_until_complete(async { pid = fork.fork() });
        }));
        if pid == 0 {
            end_child(|| {
                let words = text(&*ran.expect_err("a panic"));
                assert!(words.contains("forked child"), "{words}");
            });
        }
        ran.expect("no panic");
        assert_eq!(wait(pid), End::Code(0));
    }
}
