//! Waiting for a future, and for something in a time.

use std::time::Duration;

use sendloop::TimeoutError;

use crate::scene::{Named, Scene, joined, mains, millis};

pub(crate) const ALL: &[&[Named]] = &[mains![
    a_future_set_before_it_is_awaited,
    a_future_set_while_it_is_awaited,
    a_future_set_by_a_timer,
    a_future_that_is_cancelled,
    wait_for_ends_in_time,
    wait_for_times_out,
    zero_timeout_of_a_done_future,
    zero_timeout_of_a_pending_future,
    zero_timeout_of_a_ready_coroutine,
    wait_for_times_out_on_a_task,
]];

async fn a_future_set_before_it_is_awaited(s: Scene) {
    let (promise, future) = s.create_future();
    promise.set_result("value").expect("awaited");
    s.call_soon(s.word("soon"));
    s.record(format!("got-{}", future.await.expect("set")));
    s.run_iterations(1).await;
}

async fn a_future_set_while_it_is_awaited(s: Scene) {
    let (promise, future) = s.create_future();
    let task = s.task(async |s| {
        s.record("wait");
        s.record(format!("got-{}", future.await.expect("set")));
    });
    s.run_iterations(1).await;
    let set = promise.set_result("value").is_ok();
    s.record(format!("set-{set}"));
    s.call_soon(s.word("soon"));
    joined(task).await;
}

async fn a_future_set_by_a_timer(s: Scene) {
    let (promise, future) = s.create_future();
    let timer = s.with(|s| {
        s.record("timer");
        promise.set_result("value").expect("awaited");
    });
    s.call_later(millis(5), timer);
    s.record(format!("got-{}", future.await.expect("set")));
}

async fn a_future_that_is_cancelled(s: Scene) {
    let (promise, future) = s.create_future::<()>();
    s.soon(|s| {
        s.record("give-up");
        drop(promise);
    });
    let error = future.await.expect_err("never set");
    s.record(error);
}

async fn wait_for_ends_in_time(s: Scene) {
    let work = async {
        s.sleep(millis(5)).await;
        s.record("work");
        "value"
    };
    let result = s.wait_for(work, Duration::from_secs(10)).await;
    s.record(result.expect("in time"));
}

async fn wait_for_times_out(s: Scene) {
    let work = async {
        s.record("work");
        let _cleanup = s.record_on_drop("cleanup");
        std::future::pending::<()>().await;
    };
    if let Err(TimeoutError) = s.wait_for(work, millis(10)).await {
        s.record("timeout");
    }
}

async fn zero_timeout_of_a_done_future(s: Scene) {
    let (promise, future) = s.create_future();
    promise.set_result("value").expect("awaited");
    let result = s.wait_for(future, Duration::ZERO).await;
    s.record(result.expect("in time").expect("set"));
}

async fn zero_timeout_of_a_pending_future(s: Scene) {
    let (promise, future) = s.create_future::<()>();
    if let Err(TimeoutError) = s.wait_for(future, Duration::ZERO).await {
        s.record(format!("timeout-{}", promise.cancelled()));
    }
}

async fn zero_timeout_of_a_ready_coroutine(s: Scene) {
    let work = async { s.record("work") };
    match s.wait_for(work, Duration::ZERO).await {
        Ok(()) => s.record("done"),
        Err(TimeoutError) => s.record("timeout"),
    }
}

async fn wait_for_times_out_on_a_task(s: Scene) {
    let (promise, future) = s.create_future();
    let task = s.task(async |s| {
        future.await.expect("set");
        s.record("work");
    });
    if let Err(TimeoutError) = s.wait_for(task, millis(10)).await {
        s.record("timeout");
    }
    let _ = promise.set_result(());
    s.run_iterations(2).await;
    s.record("end");
}
