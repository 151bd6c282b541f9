//! Waiting for a future, and for something in a time.

use std::time::Duration;

use sendloop::TimeoutError;

use crate::scene::{Named, Scene, joined, mains, millis};

pub(crate) const ALL: &[&[Named]] = &[mains![
    a_future_set_before_it_is_awaited,
    a_future_set_while_it_is_awaited,
    a_future_set_by_a_timer,
    a_future_that_is_cancelled,
    wait_for_what_is_done_in_time,
    wait_for_what_takes_too_long,
    wait_for_no_time_what_is_done,
    wait_for_no_time_what_is_not_done,
    wait_for_no_time_what_would_be_done_at_once,
    wait_for_a_task_that_takes_too_long,
]];

async fn a_future_set_before_it_is_awaited(s: Scene) {
    let (promise, future) = s.create_future();
    promise.set_result("value").expect("awaited");
    s.call_soon(s.word("soon"));
    s.say(format!("got-{}", future.await.expect("set")));
    s.turns(1).await;
}

async fn a_future_set_while_it_is_awaited(s: Scene) {
    let (promise, future) = s.create_future();
    let task = s.task(async |s| {
        s.say("wait");
        s.say(format!("got-{}", future.await.expect("set")));
    });
    s.turns(1).await;
    let set = promise.set_result("value").is_ok();
    s.say(format!("set-{set}"));
    s.call_soon(s.word("soon"));
    joined(task).await;
}

async fn a_future_set_by_a_timer(s: Scene) {
    let (promise, future) = s.create_future();
    let timer = s.with(|s| {
        s.say("timer");
        promise.set_result("value").expect("awaited");
    });
    s.call_later(millis(5), timer);
    s.say(format!("got-{}", future.await.expect("set")));
}

async fn a_future_that_is_cancelled(s: Scene) {
    let (promise, future) = s.create_future::<()>();
    s.soon(|s| {
        s.say("give-up");
        drop(promise);
    });
    let error = future.await.expect_err("never set");
    s.say(error);
}

async fn wait_for_what_is_done_in_time(s: Scene) {
    let work = async {
        s.sleep(millis(5)).await;
        s.say("work");
        "value"
    };
    let result = s.wait_for(work, Duration::from_secs(10)).await;
    s.say(result.expect("in time"));
}

async fn wait_for_what_takes_too_long(s: Scene) {
    let work = async {
        s.say("work");
        let _cleanup = s.at_drop("cleanup");
        std::future::pending::<()>().await;
    };
    if let Err(TimeoutError) = s.wait_for(work, millis(10)).await {
        s.say("timeout");
    }
}

async fn wait_for_no_time_what_is_done(s: Scene) {
    let (promise, future) = s.create_future();
    promise.set_result("value").expect("awaited");
    let result = s.wait_for(future, Duration::ZERO).await;
    s.say(result.expect("in time").expect("set"));
}

async fn wait_for_no_time_what_is_not_done(s: Scene) {
    let (promise, future) = s.create_future::<()>();
    if let Err(TimeoutError) = s.wait_for(future, Duration::ZERO).await {
        s.say(format!("timeout-{}", promise.cancelled()));
    }
}

async fn wait_for_no_time_what_would_be_done_at_once(s: Scene) {
    let work = async { s.say("work") };
    match s.wait_for(work, Duration::ZERO).await {
        Ok(()) => s.say("done"),
        Err(TimeoutError) => s.say("timeout"),
    }
}

async fn wait_for_a_task_that_takes_too_long(s: Scene) {
    let (promise, future) = s.create_future();
    let task = s.task(async |s| {
        future.await.expect("set");
        s.say("work");
    });
    if let Err(TimeoutError) = s.wait_for(task, millis(10)).await {
        s.say("timeout");
    }
    let _ = promise.set_result(());
    s.turns(2).await;
    s.say("end");
}
