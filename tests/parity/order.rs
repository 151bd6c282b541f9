//! The order of callbacks, and running, stopping and running again.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;

use sendloop::{Handle, Loop};

use crate::scene::{Named, Scene, fail, fails, plain, run_until_stopped};

pub(crate) const ALL: &[&[Named]] = &[plain![
    callbacks_run_in_order,
    new_callbacks_run_an_iteration_later,
    a_stop_ends_after_its_iteration,
    an_early_stop_allows_one_iteration,
    an_early_stop_does_not_wait,
    queued_callbacks_run_when_main_returns,
    a_task_as_main_runs_fewer_iterations,
    tasks_go_on_in_the_next_run,
    stop_before_main_is_done,
    a_stopped_main_continues,
    an_error_in_a_callback_ends_nothing_else,
    an_error_of_main_propagates,
    a_callback_cancels_the_next,
    cancelling_a_callback_that_ran,
    callbacks_and_tasks_share_one_queue,
    threadsafe_from_the_loops_thread_keeps_the_order,
    threadsafe_from_another_thread,
    stop_from_a_callback_of_another_thread,
]];

fn callbacks_run_in_order(event_loop: &Loop, s: &Scene) {
    for word in ["a", "b", "c"] {
        s.call_soon(s.word(word));
    }
    run_until_stopped(event_loop, s);
}

fn new_callbacks_run_an_iteration_later(event_loop: &Loop, s: &Scene) {
    s.soon(|s| {
        s.record("a");
        s.call_soon(s.word("a-next"));
    });
    s.call_soon(s.word("b"));
    run_until_stopped(event_loop, s);
    run_until_stopped(event_loop, s);
}

fn a_stop_ends_after_its_iteration(event_loop: &Loop, s: &Scene) {
    s.call_soon(s.word("a"));
    s.soon(|s| s.stop());
    s.call_soon(s.word("b"));
    event_loop.run_forever();
    s.record("end");
}

/// Records "a", and "b" an iteration later.
fn a_then_b(s: &Scene) {
    s.record("a");
    s.call_soon(s.word("b"));
}

fn an_early_stop_allows_one_iteration(event_loop: &Loop, s: &Scene) {
    s.stop();
    s.soon(a_then_b);
    event_loop.run_forever();
    s.record("end");
    run_until_stopped(event_loop, s);
}

fn an_early_stop_does_not_wait(event_loop: &Loop, s: &Scene) {
    s.stop();
    s.stop();
    event_loop.run_forever();
    s.record("end");
    s.soon(|s| {
        s.soon(|s| {
            s.record("second-turn");
            s.stop();
        });
    });
    event_loop.run_forever();
    s.record("end");
}

fn queued_callbacks_run_when_main_returns(event_loop: &Loop, s: &Scene) {
    event_loop.run_until_complete(async {
        s.soon(a_then_b);
        s.record("main");
    });
    s.record("end");
    event_loop.run_until_complete(s.run_iterations(1));
    s.record("end");
}

fn a_task_as_main_runs_fewer_iterations(event_loop: &Loop, s: &Scene) {
    let task = s.task(async |s| {
        s.run_iterations(1).await;
        s.soon(a_then_b);
        s.record("work");
    });
    event_loop.run_until_complete(task).expect("no error");
    s.record("end");
}

fn tasks_go_on_in_the_next_run(event_loop: &Loop, s: &Scene) {
    let task = s.counting("work", 4);
    event_loop.run_until_complete(s.run_iterations(1));
    s.record("end");
    event_loop.run_until_complete(task).expect("no error");
    s.record("end");
}

fn stop_before_main_is_done(event_loop: &Loop, s: &Scene) {
    let main = async {
        s.stop();
        std::future::pending::<()>().await;
    };
    if fails(|| event_loop.run_until_complete(main)) {
        s.record("stopped");
    }
    event_loop.run_until_complete(async { s.record("again") });
}

fn a_stopped_main_continues(event_loop: &Loop, s: &Scene) {
    let main = async {
        s.stop();
        s.run_iterations(1).await;
        s.record("main");
    };
    if fails(|| event_loop.run_until_complete(main)) {
        s.record("stopped");
    }
    run_until_stopped(event_loop, s);
}

fn an_error_in_a_callback_ends_nothing_else(event_loop: &Loop, s: &Scene) {
    s.soon(|s| {
        s.record("bad");
        fail();
    });
    s.call_soon(s.word("b"));
    run_until_stopped(event_loop, s);
}

fn an_error_of_main_propagates(event_loop: &Loop, s: &Scene) {
    let main = async {
        s.call_soon(s.word("queued"));
        fail();
    };
    if fails(|| event_loop.run_until_complete(main)) {
        s.record("error");
    }
    run_until_stopped(event_loop, s);
}

fn a_callback_cancels_the_next(event_loop: &Loop, s: &Scene) {
    let next: Rc<RefCell<Option<Handle>>> = Rc::default();
    let to_cancel = next.clone();
    s.soon(move |s| {
        s.record("a");
        to_cancel.borrow().as_ref().expect("a handle").cancel();
    });
    *next.borrow_mut() = Some(s.call_soon(s.word("b")));
    s.call_soon(s.word("c"));
    run_until_stopped(event_loop, s);
    s.record(next.borrow().as_ref().expect("a handle").cancelled());
}

fn cancelling_a_callback_that_ran(event_loop: &Loop, s: &Scene) {
    let handle = s.call_soon(s.word("a"));
    run_until_stopped(event_loop, s);
    s.record(handle.cancelled());
    handle.cancel();
    s.record(handle.cancelled());
}

fn callbacks_and_tasks_share_one_queue(event_loop: &Loop, s: &Scene) {
    s.call_soon(s.word("a"));
    let one = s.task(async |s| s.record("task1"));
    s.call_soon(s.word("b"));
    let two = s.task(async |s| s.record("task2"));
    run_until_stopped(event_loop, s);
    s.record(one.done() && two.done());
}

fn threadsafe_from_the_loops_thread_keeps_the_order(event_loop: &Loop, s: &Scene) {
    let remote = s.remote();
    s.soon(|s| {
        s.record("a");
        s.call_soon(s.word("d"));
        let sent = s.remote().call_soon_threadsafe(s.word("e"));
        sent.expect("the loop is open");
        s.call_soon(s.word("f"));
    });
    let sent = remote.call_soon_threadsafe(s.word("b"));
    sent.expect("the loop is open");
    s.call_soon(s.word("c"));
    run_until_stopped(event_loop, s);
    run_until_stopped(event_loop, s);
}

fn threadsafe_from_another_thread(event_loop: &Loop, s: &Scene) {
    s.call_soon(s.word("a"));
    let (remote, word) = (s.remote(), s.word("thread"));
    let thread = thread::spawn(move || remote.call_soon_threadsafe(word));
    let sent = thread.join().expect("no panic");
    sent.expect("the loop is open");
    s.call_soon(s.word("b"));
    run_until_stopped(event_loop, s);
    run_until_stopped(event_loop, s);
}

fn stop_from_a_callback_of_another_thread(event_loop: &Loop, s: &Scene) {
    let (remote, word) = (s.remote(), s.word("thread"));
    let thread = thread::spawn(move || {
        let sent = remote.call_soon_threadsafe(word);
        remote.stop();
        sent
    });
    event_loop.run_forever();
    let sent = thread.join().expect("no panic");
    sent.expect("the loop is open");
    s.record("end");
}
