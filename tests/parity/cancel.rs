//! Cancelling a task, at each of its points.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sendloop::Task;

use crate::scene::{Named, Scene, joined, mains, outcome};

pub(crate) const ALL: &[&[Named]] = &[mains![
    before_its_first_step,
    in_the_iteration_in_which_it_ends,
    while_it_sleeps,
    while_it_yields,
    while_it_waits_for_a_future,
    when_its_data_is_ready,
    by_itself_before_it_awaits,
    by_itself_before_it_returns,
    when_it_is_done,
    twice,
    done_callbacks_and_awaiters_are_notified,
    two_tasks_in_order,
    one_that_awaits_a_task,
    inside_wait_for,
]];

const LONG: Duration = Duration::from_secs(1);

async fn before_its_first_step(s: Scene) {
    let mut task = s.task(async |s| s.record("never"));
    s.record(task.cancel());
    let came_to = outcome(&mut task).await;
    s.record(format!("{came_to}-{}", task.cancelled()));
}

async fn in_the_iteration_in_which_it_ends(s: Scene) {
    let task = s.guarded(s.sleep(LONG));
    s.run_iterations(2).await;
    let effect = task.cancel();
    s.record(format!("{effect}-{}", task.done()));
    s.run_iterations(1).await;
    s.record(task.done());
    s.run_iterations(1).await;
}

async fn while_it_sleeps(s: Scene) {
    let mut task = s.guarded(s.sleep(LONG));
    s.run_iterations(2).await;
    task.cancel();
    s.record(outcome(&mut task).await);
}

async fn while_it_yields(s: Scene) {
    let yielding = s.clone();
    let mut task = s.guarded(async move { yielding.run_iterations(10).await });
    s.run_iterations(3).await;
    task.cancel();
    s.record(outcome(&mut task).await);
}

async fn while_it_waits_for_a_future(s: Scene) {
    let (promise, future) = s.create_future::<()>();
    let mut task = s.guarded(future);
    s.run_iterations(1).await;
    task.cancel();
    let came_to = outcome(&mut task).await;
    s.record(format!("{came_to}-{}", promise.cancelled()));
}

async fn when_its_data_is_ready(s: Scene) {
    let (promise, future) = s.create_future();
    let mut task = s.guarded(future);
    s.run_iterations(1).await;
    promise.set_result(()).expect("awaited");
    task.cancel();
    s.record(outcome(&mut task).await);
}

/// The slot in which a task finds its own handle.
type Itself<T> = Rc<RefCell<Option<Task<T>>>>;

/// Cancels a task from inside it, and records whether this had an effect.
fn cancel_itself<T>(s: &Scene, itself: &Itself<T>) {
    let effect = itself.borrow().as_ref().is_some_and(Task::cancel);
    s.record(format!("self-{effect}"));
}

async fn by_itself_before_it_awaits(s: Scene) {
    let itself = Itself::default();
    let inside = itself.clone();
    let task = s.task(async move |s| {
        let _cleanup = s.record_on_drop("cleanup");
        cancel_itself(&s, &inside);
        s.record("before");
        s.run_iterations(1).await;
        s.record("never");
    });
    *itself.borrow_mut() = Some(task);
    s.run_iterations(1).await;
    let task = itself.borrow_mut().take();
    s.record(outcome(&mut task.expect("it is set")).await);
}

async fn by_itself_before_it_returns(s: Scene) {
    let itself = Itself::default();
    let inside = itself.clone();
    let task = s.task(async move |s| {
        cancel_itself(&s, &inside);
        "value"
    });
    *itself.borrow_mut() = Some(task);
    s.run_iterations(4).await;
    s.record(itself.borrow().as_ref().is_some_and(Task::cancelled));
}

async fn when_it_is_done(s: Scene) {
    let mut task = s.task(async |_| "value");
    s.run_iterations(2).await;
    let effect = task.cancel();
    s.record(format!("{effect}-{}", task.cancelled()));
    s.record(outcome(&mut task).await);
}

async fn twice(s: Scene) {
    let task = s.guarded(s.sleep(LONG));
    s.run_iterations(2).await;
    let (first, second) = (task.cancel(), task.cancel());
    s.run_iterations(3).await;
    s.record(first);
    s.record(second);
    s.record(task.cancel());
}

async fn done_callbacks_and_awaiters_are_notified(s: Scene) {
    let task = Rc::new(RefCell::new(s.guarded(s.sleep(LONG))));
    let ended = task.clone();
    let callback = s.with(move |s| s.record(format!("callback-{}", ended.borrow().cancelled())));
    task.borrow().add_done_callback(callback);
    let awaited = task.clone();
    let waiter = s.task(async move |s| {
        let polled = std::future::poll_fn(|cx| {
            let mut task = awaited.borrow_mut();
            std::pin::Pin::new(&mut *task).poll(cx)
        });
        s.record(format!("waiter-{}", polled.await.expect_err("cancelled")));
    });
    s.run_iterations(2).await;
    task.borrow().cancel();
    joined(waiter).await;
}

async fn two_tasks_in_order(s: Scene) {
    let tasks = ["a", "b"].map(|word| {
        s.task(async move |s| {
            let _cleanup = s.record_on_drop(word);
            s.sleep(LONG).await;
        })
    });
    s.run_iterations(2).await;
    for task in tasks.iter().rev() {
        task.cancel();
    }
    for mut task in tasks {
        outcome(&mut task).await;
    }
}

async fn one_that_awaits_a_task(s: Scene) {
    let (promise, future) = s.create_future();
    let inner = s.guarded(future);
    let mut outer = s.guarded(inner);
    s.run_iterations(3).await;
    outer.cancel();
    s.record(format!("outer-{}", outcome(&mut outer).await));
    let _ = promise.set_result(());
    s.run_iterations(2).await;
}

async fn inside_wait_for(s: Scene) {
    let mut task = s.task(async |s| {
        let work = async {
            s.record("start");
            let _cleanup = s.record_on_drop("cleanup");
            s.sleep(LONG).await;
        };
        s.wait_for(work, Duration::from_secs(10)).await
    });
    s.run_iterations(3).await;
    task.cancel();
    s.record(outcome(&mut task).await);
}
