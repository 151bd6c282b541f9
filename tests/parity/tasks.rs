//! Tasks: their steps, awaits and results.

use crate::scene::{Named, Scene, fail, joined, mains};

pub(crate) const ALL: &[&[Named]] = &[mains![
    a_new_task_starts_an_iteration_later,
    two_tasks_alternate,
    three_tasks_of_different_length,
    a_task_makes_tasks,
    a_task_awaits_a_task,
    awaiting_a_done_task_takes_no_iteration,
    done_callbacks_run_in_order,
    a_waiter_before_a_done_callback,
    a_done_callback_added_after_the_end,
    a_done_callback_has_an_argument,
    an_error_in_a_done_callback,
    an_error_in_a_task_reaches_its_awaiter,
    an_error_in_a_task_ends_no_other,
    done_and_cancelled,
]];

async fn a_new_task_starts_an_iteration_later(s: Scene) {
    let task = s.counting("task", 1);
    s.call_soon(s.word("soon"));
    s.record("made");
    joined(task).await;
}

async fn two_tasks_alternate(s: Scene) {
    for task in ["a", "b"].map(|word| s.counting(word, 3)) {
        joined(task).await;
    }
}

async fn three_tasks_of_different_length(s: Scene) {
    let tasks = [("a", 1), ("b", 4), ("c", 2)].map(|(word, times)| s.counting(word, times));
    for task in tasks {
        joined(task).await;
    }
    s.record("end");
}

async fn a_task_makes_tasks(s: Scene) {
    let outer = s.task(async |s| {
        s.record("outer");
        let inner = ["x", "y"].map(|word| s.counting(word, 2));
        s.record("made");
        for task in inner {
            joined(task).await;
        }
        s.record("outer-end");
    });
    joined(outer).await;
}

async fn a_task_awaits_a_task(s: Scene) {
    let ticks = s.counting("tick", 7);
    let outer = s.task(async |s| {
        let inner = s.task(async |s| {
            s.record("inner");
            s.run_iterations(2).await;
            s.record("inner-end");
            "value"
        });
        s.record("outer");
        s.record(format!("got-{}", joined(inner).await));
    });
    joined(outer).await;
    joined(ticks).await;
}

async fn awaiting_a_done_task_takes_no_iteration(s: Scene) {
    let task = s.counting("task", 1);
    s.run_iterations(3).await;
    s.call_soon(s.word("soon"));
    joined(task).await;
    s.record("got");
    s.run_iterations(1).await;
}

async fn done_callbacks_run_in_order(s: Scene) {
    let task = s.counting("task", 1);
    for word in ["one", "two", "three"] {
        task.add_done_callback(s.word(word));
    }
    s.run_iterations(1).await;
    joined(task).await;
    s.record("awaited");
    s.run_iterations(1).await;
}

async fn a_waiter_before_a_done_callback(s: Scene) {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::rc::Rc;

    // Shared, as in Python: one waits for it while the other still adds a callback.
    let task = Rc::new(RefCell::new(s.counting("task", 1)));
    let awaited = task.clone();
    let waiter = s.task(async move |s| {
        let end = poll_fn(|cx| Pin::new(&mut *awaited.borrow_mut()).poll(cx)).await;
        end.expect("the task ends");
        s.record("waiter");
    });
    s.run_iterations(1).await;
    task.borrow().add_done_callback(s.word("callback"));
    s.run_iterations(3).await;
    joined(waiter).await;
}

async fn a_done_callback_added_after_the_end(s: Scene) {
    let mut task = s.counting("task", 1);
    (&mut task).await.expect("the task ends");
    task.add_done_callback(s.word("callback"));
    s.record("added");
    s.run_iterations(2).await;
}

/// The recorded word is true because this code compiles.
async fn a_done_callback_has_an_argument(s: Scene) {
    let callback: Box<dyn FnOnce()> = Box::new(s.word("arguments-0"));
    let task = s.counting("task", 1);
    task.add_done_callback(callback);
    s.run_iterations(4).await;
}

async fn an_error_in_a_done_callback(s: Scene) {
    let task = s.counting("task", 1);
    task.add_done_callback(s.with(|s| {
        s.record("bad");
        fail();
    }));
    task.add_done_callback(s.word("good"));
    joined(task).await;
    s.run_iterations(1).await;
    s.record("end");
}

async fn an_error_in_a_task_reaches_its_awaiter(s: Scene) {
    let mut task = s.task(async |s| {
        s.record("bad");
        fail();
    });
    let error: sendloop::TaskError = match (&mut task).await {
        Ok(()) => return,
        Err(error) => error,
    };
    if error.is_panic() {
        s.record(format!("error-{}-{}", task.done(), task.cancelled()));
    }
}

async fn an_error_in_a_task_ends_no_other(s: Scene) {
    let task = s.task(async |s| {
        s.record("bad");
        fail();
    });
    joined(s.counting("other", 2)).await;
    s.record(task.done());
}

async fn done_and_cancelled(s: Scene) {
    let task = s.counting("task", 1);
    s.record(task.done());
    s.run_iterations(1).await;
    s.record(task.done());
    s.run_iterations(1).await;
    let (done, cancelled, effect) = (task.done(), task.cancelled(), task.cancel());
    s.record(format!("{done}-{cancelled}-{effect}"));
}
