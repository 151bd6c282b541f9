//! Cancel handles and task groups.

use std::cell::{Cell, RefCell};
use std::future::{Ready, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::util::*;
use sendloop::{CancelHandle, Loop, LoopHandle, TaskError, TaskGroup};

/// Holds a value until it is cancelled.
async fn held<T>(value: T) {
    pending::<()>().await;
    drop(value);
}

/// An awaitable that is no future.
struct Five;

impl IntoFuture for Five {
    type Output = i32;
    type IntoFuture = Ready<i32>;

    fn into_future(self) -> Ready<i32> {
        ready(5)
    }
}

#[test]
fn create_task_wait_for_and_run_until_complete_take_into_future() {
    let _test = test();
    let event_loop = new_loop();
    let task = event_loop.create_task(Five);
    assert_eq!(event_loop.run_until_complete(task).expect("a result"), 5);
    assert_eq!(event_loop.run_until_complete(Five), 5);
    let mut group = event_loop.task_group();
    group.create_task(Five);
    let joined = event_loop.run_until_complete(group.join_next());
    assert_eq!(joined.expect("a task").expect("a result"), 5);
    let waited = event_loop.wait_for(Five, Duration::from_secs(10));
    assert_eq!(event_loop.run_until_complete(waited), Ok(5));
}

#[test]
fn cancel_handle_cancels_a_task_that_another_task_awaits() {
    let _test = test();
    let event_loop = strict_loop();
    let task = event_loop.create_task(pending::<()>());
    let cancel_handle = task.cancel_handle();
    let waits = event_loop.create_task(task);
    run_iteration(&event_loop);
    assert!(!cancel_handle.done() && !cancel_handle.cancelled());
    assert!(cancel_handle.clone().cancel());
    assert!(cancel_handle.done() && cancel_handle.cancelled() && !cancel_handle.cancel());
    let result = event_loop.run_until_complete(waits).expect("not cancelled");
    assert!(result.is_err_and(|error| error.is_cancelled()));
    assert_eq!(format!("{cancel_handle:?}"), "CancelHandle { done: true, cancelled: true }");
}

#[test]
fn cancel_handle_of_an_ended_task_cancels_nothing() {
    let _test = test();
    let event_loop = strict_loop();
    let task = event_loop.create_task(async {});
    let early = task.cancel_handle();
    run_iteration(&event_loop);
    let late = task.cancel_handle();
    drop(task);
    // The next task takes the slot of the one that has ended.
    let next = event_loop.create_task(pending::<()>());
    for cancel_handle in [early, late] {
        assert!(cancel_handle.done() && !cancel_handle.cancelled());
        assert!(!cancel_handle.cancel());
    }
    assert!(!next.done());
}

#[test]
fn cancel_handle_outlives_task_and_loop() {
    let _test = test();
    let event_loop = strict_loop();
    let held_by_task = Rc::new(());
    let create = || event_loop.create_task(held(held_by_task.clone()));
    let detached = create().cancel_handle();
    let left = create().cancel_handle();
    assert!(detached.cancel() && detached.cancelled());
    assert_eq!(Rc::strong_count(&held_by_task), 2);
    let handle = event_loop.handle();
    drop(event_loop);
    let late = handle.create_task(pending::<()>()).cancel_handle();
    for cancel_handle in [left, late] {
        assert!(cancel_handle.done() && cancel_handle.cancelled() && !cancel_handle.cancel());
    }
    assert_eq!(Rc::strong_count(&held_by_task), 1);
}

#[test]
fn a_task_cancels_itself_by_its_cancel_handle() {
    let _test = test();
    let event_loop = strict_loop();
    let own: Rc<RefCell<Option<CancelHandle>>> = Rc::default();
    let inside = own.clone();
    let task = event_loop.create_task(async move {
        let own = inside.take().expect("its handle");
        assert!(own.cancel() && own.cancel() && !own.done());
        pending::<()>().await;
    });
    own.replace(Some(task.cancel_handle()));
    let result = event_loop.run_until_complete(task);
    assert!(result.is_err_and(|error| error.is_cancelled()));
}

#[test]
fn a_destructor_cancels_by_a_cancel_handle() {
    let _test = test();
    let event_loop = strict_loop();
    let victim = event_loop.create_task(pending::<()>());
    let cancel_handle = victim.cancel_handle();
    let at_end = CallOnDrop(move || assert!(cancel_handle.cancel()));
    let task = event_loop.create_task(held(at_end));
    assert!(task.cancel() && victim.cancelled());
}

#[test]
fn the_destructor_of_the_tasks_own_future_may_use_its_cancel_handle() {
    let _test = test();
    let event_loop = strict_loop();
    let own: Rc<RefCell<Option<CancelHandle>>> = Rc::default();
    let inside = own.clone();
    let at_end = CallOnDrop(move || {
        let own = inside.borrow();
        let own = own.as_ref().expect("its handle");
        assert!(own.cancel() && !own.done(), "it is being cancelled");
    });
    let task = event_loop.create_task(held(at_end));
    own.replace(Some(task.cancel_handle()));
    assert!(task.cancel() && task.cancelled());
    assert!(own.take().is_some_and(|own| own.cancelled()));
}

type Joined<T> = Option<Result<T, TaskError>>;

/// Polls `join_next` once, and drops its future.
fn poll_once<T>(group: &mut TaskGroup<T>) -> Poll<Joined<T>> {
    pin!(group.join_next()).poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns the remaining results as text.
async fn join_all(group: &mut TaskGroup<i32>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(result) = group.join_next().await {
        all.push(match result {
            Ok(number) => number.to_string(),
            Err(error) => error.to_string(),
        });
    }
    all
}

#[test]
fn join_next_returns_every_result_in_completion_order() {
    let _test = test();
    let clock = sendloop::Clock::manual();
    let event_loop = Loop::builder().clock(clock.clone()).build().expect("a loop");
    let mut group = event_loop.task_group();
    for delay in [3, 1, 2] {
        let sleep = event_loop.sleep(Duration::from_secs(delay));
        group.create_task(async move {
            sleep.await;
            delay as i32
        });
    }
    group.create_task(pending()).cancel();
    assert_eq!((group.len(), group.is_empty()), (4, false));
    run_iteration(&event_loop);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        run_iteration(&event_loop);
        run_iteration(&event_loop);
    }
    // They have ended, and their results were not taken.
    assert_eq!(group.len(), 4);
    let results = event_loop.run_until_complete(join_all(&mut group));
    assert_eq!(results, ["cancelled", "1", "2", "3"]);
    assert_eq!((group.len(), group.is_empty()), (0, true));
    // An empty group may be used again.
    group.create_task(ready(4));
    assert_eq!(event_loop.run_until_complete(join_all(&mut group)), ["4"]);
    assert!(matches!(poll_once(&mut group), Poll::Ready(None)));
}

#[test]
fn panic_cancels_the_other_tasks_and_returns_every_result() {
    let _test = test();
    let event_loop = strict_loop();
    let mut group = event_loop.task_group();
    let dropped = Rc::new(());
    for _ in 0..2 {
        let held = held(dropped.clone());
        group.create_task(async move {
            held.await;
            0
        });
    }
    group.create_task(ready(1));
    group.create_task(async { panic!("no") });
    // This task is queued after the one that panics, so it never starts.
    group.create_task(async { unreachable!("the panic cancels it") });
    run_iteration(&event_loop);
    assert_eq!(Rc::strong_count(&dropped), 1);
    // The group is shut down: a new task is cancelled at once.
    let late = group.create_task(ready(2));
    assert!(late.cancelled());
    let results = event_loop.run_until_complete(join_all(&mut group));
    assert_eq!(results[..2], ["1", "panicked: no"]);
    assert_eq!(results[2..], ["cancelled"; 4]);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn an_error_or_a_cancelled_task_leaves_the_others_alone() {
    let _test = test();
    let event_loop = strict_loop();
    let mut group = event_loop.task_group();
    group.create_task(async { Err("no") });
    group.create_task(pending()).cancel();
    group.create_task(async {
        yield_now().await;
        Ok(1)
    });
    event_loop.run_until_complete(async {
        assert!(group.join_next().await.expect("one").is_err());
        assert_eq!(group.join_next().await.expect("one").expect("a result"), Err("no"));
        assert_eq!(group.join_next().await.expect("one").expect("a result"), Ok(1));
        assert!(group.join_next().await.is_none());
    });
}

#[test]
fn cancel_drops_the_futures_before_it_returns_and_shuts_the_group_down() {
    let _test = test();
    let event_loop = strict_loop();
    let mut group = event_loop.task_group();
    let count = Rc::new(());
    group.create_task(held(count.clone()));
    run_iteration(&event_loop);
    group.create_task(held(count.clone()));
    group.cancel();
    assert_eq!(Rc::strong_count(&count), 1);
    assert!(group.create_task(held(count.clone())).cancelled());
    assert_eq!((Rc::strong_count(&count), group.len()), (1, 3));
    group.cancel();
    for _ in 0..3 {
        let Poll::Ready(Some(Err(error))) = poll_once(&mut group) else {
            panic!("no result");
        };
        assert!(error.is_cancelled());
    }
    assert!(matches!(poll_once(&mut group), Poll::Ready(None)));
}

#[test]
fn dropping_a_group_cancels_its_tasks_and_keeps_no_result() {
    let _test = test();
    let event_loop = strict_loop();
    let group = event_loop.task_group();
    let count = Rc::new(());
    for ends in [true, false] {
        let count = count.clone();
        group.create_task(async move {
            if !ends {
                pending::<()>().await;
            }
            count
        });
    }
    run_iteration(&event_loop);
    assert_eq!(Rc::strong_count(&count), 3);
    drop(group);
    assert_eq!((Rc::strong_count(&count), event_loop.stats().tasks), (1, 0));
}

#[test]
fn untaken_panic_is_reported_when_the_group_is_dropped() {
    let _test = test();
    let event_loop = new_loop();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let reported = reports.clone();
    event_loop.set_exception_handler(move |context| {
        reported.borrow_mut().push(context.to_string());
    });
    let group = event_loop.task_group();
    group.create_task(async { panic!("no") });
    run_iteration(&event_loop);
    assert!(reports.borrow().is_empty());
    drop::<TaskGroup<()>>(group);
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
}

#[test]
fn a_task_drops_its_own_group() {
    let _test = test();
    let event_loop = strict_loop();
    let slot: Rc<RefCell<Option<TaskGroup<()>>>> = Rc::default();
    let group = event_loop.task_group();
    let (inside, ran) = (slot.clone(), Rc::new(Cell::new(0)));
    let runs = ran.clone();
    group.create_task(async move {
        drop(inside.take());
        runs.set(1);
        yield_now().await;
        runs.set(2);
    });
    group.create_task(pending());
    slot.replace(Some(group));
    run_iteration(&event_loop);
    assert_eq!((ran.get(), event_loop.stats().tasks), (1, 0));
}

#[test]
fn a_task_cancels_its_own_group() {
    let _test = test();
    let event_loop = strict_loop();
    let slot: Rc<RefCell<Option<TaskGroup<i32>>>> = Rc::default();
    let group = event_loop.task_group();
    let inside = slot.clone();
    group.create_task(async move {
        let group = inside.borrow();
        let group = group.as_ref().expect("its group");
        group.cancel();
        // A task may also add to its own group.
        assert!(group.create_task(ready(2)).cancelled());
        1
    });
    group.create_task(pending());
    slot.replace(Some(group));
    run_iteration(&event_loop);
    let mut group = slot.take().expect("its group");
    let results = event_loop.run_until_complete(join_all(&mut group));
    assert_eq!(results, ["cancelled"; 3]);
}

#[test]
fn a_dropped_join_next_loses_no_result() {
    let _test = test();
    let event_loop = strict_loop();
    let mut group = event_loop.task_group();
    group.create_task(async {
        yield_now().await;
        7
    });
    assert!(poll_once(&mut group).is_pending());
    event_loop.run_until_complete(async {
        let none = event_loop.wait_for(group.join_next(), Duration::ZERO).await;
        assert!(none.is_err());
    });
    (0..3).for_each(|_| run_iteration(&event_loop));
    assert_eq!(event_loop.run_until_complete(join_all(&mut group)), ["7"]);
}

#[test]
fn the_last_waker_is_woken_once() {
    let _test = test();
    let event_loop = strict_loop();
    let mut group = event_loop.task_group();
    group.create_task(ready(1));
    group.create_task(ready(2));
    let (first, last) = (Arc::new(WakeCount::default()), Arc::new(WakeCount::default()));
    let mut next = Box::pin(group.join_next());
    for counts in [&first, &last] {
        let waker = Waker::from(counts.clone());
        let polled = next.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    run_iteration(&event_loop);
    let woken = [&first, &last].map(|counts| counts.get());
    assert_eq!(woken, [0, 1]);
    drop(next);
    assert_eq!(event_loop.run_until_complete(join_all(&mut group)), ["1", "2"]);
}

#[test]
fn closing_the_loop_ends_a_wait_for_the_next_result() {
    let _test = test();
    let (event_loop, other) = (strict_loop(), strict_loop());
    let mut group = event_loop.task_group();
    group.create_task(pending::<i32>());
    let owner = RefCell::new(Some(event_loop));
    other.run_until_complete(async {
        let mut next = pin!(join_all(&mut group));
        poll_fn(|cx| {
            assert!(next.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        other.call_soon({
            let event_loop = owner.take();
            move || drop(event_loop)
        });
        assert_eq!(next.await, ["cancelled"]);
    });
    // A task for the closed loop ends at once.
    assert!(group.create_task(ready(1)).cancelled());
    assert_eq!(group.len(), 1);
    assert_eq!(other.run_until_complete(join_all(&mut group)), ["cancelled"]);
}

#[test]
fn a_destructor_that_panics_disturbs_no_other_task_of_the_group() {
    let _test = test();
    let event_loop = new_loop();
    let mut group = event_loop.task_group();
    for number in 0..3 {
        let panics_on_drop = CallOnDrop(|| panic!("an expected panic"));
        group.create_task(async move {
            let _loud = panics_on_drop;
            if number == 1 {
                return number;
            }
            pending().await
        });
    }
    run_iteration(&event_loop);
    assert_eq!(group.len(), 3);
    group.cancel();
    let results = event_loop.run_until_complete(join_all(&mut group));
    assert_eq!(results.len(), 3);
    assert_eq!(results[1..], ["cancelled"; 2]);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn a_nested_group_is_cancelled_with_the_task_that_owns_it() {
    let _test = test();
    let event_loop = strict_loop();
    let count = Rc::new(());
    let mut group = event_loop.task_group();
    let (handle, inside) = (event_loop.handle(), count.clone());
    group.create_task(async move {
        let mut inner = handle.task_group();
        inner.create_task(held(inside));
        inner.join_next().await;
    });
    (0..3).for_each(|_| run_iteration(&event_loop));
    assert_eq!((Rc::strong_count(&count), event_loop.stats().tasks), (2, 2));
    group.create_task(async { panic!("no") });
    run_iteration(&event_loop);
    assert_eq!((Rc::strong_count(&count), event_loop.stats().tasks), (1, 0));
    let Poll::Ready(Some(Err(error))) = poll_once(&mut group) else {
        panic!("no result");
    };
    assert!(error.is_panic());
}

/// Runs a group in which every task waits, and then all end at once. Returns the polls and the
/// results.
async fn ends_together(event_loop: &LoopHandle, tasks: usize) -> (u32, usize) {
    let mut group = event_loop.task_group();
    for _ in 0..tasks {
        group.create_task(yield_now());
    }
    let mut all = pin!(async {
        let mut joined = 0;
        while let Some(result) = group.join_next().await {
            result.expect("a result");
            joined += 1;
        }
        joined
    });
    let mut polls = 0;
    let joined = poll_fn(|cx| {
        polls += 1;
        all.as_mut().poll(cx)
    });
    let joined = joined.await;
    (polls, joined)
}

#[test]
fn ten_thousand_tasks_that_end_together_wake_the_joiner_twice() {
    const TASKS: usize = 10_000;
    let _test = test();
    let event_loop = strict_loop();
    let before = event_loop.stats().task_steps;
    let (polls, joined) = event_loop.run_until_complete(ends_together(&event_loop, TASKS));
    assert_eq!(joined, TASKS);
    assert!(polls <= 3, "{polls} polls");
    assert_eq!(event_loop.stats().task_steps - before, 2 * TASKS as u64);
}

/// Measures a group whose tasks end one by one. Takes each result before the next task ends.
fn time_one_by_one(tasks: usize) -> Duration {
    let event_loop = strict_loop();
    let start = Instant::now();
    event_loop.run_until_complete(async {
        let mut group = event_loop.task_group();
        let mut promises = Vec::new();
        for _ in 0..tasks {
            let (promise, future) = event_loop.create_future();
            promises.push(promise);
            group.create_task(future);
        }
        for (number, promise) in promises.into_iter().enumerate() {
            promise.set_result(number).expect("awaited");
            let result = group.join_next().await.expect("a task");
            assert_eq!(result.expect("a result").expect("set"), number);
        }
    });
    start.elapsed()
}

#[test]
fn the_cost_of_a_result_does_not_grow_with_the_group() {
    let _test = test();
    let best = |tasks| (0..3).map(|_| time_one_by_one(tasks)).min();
    let (few, many) = (best(1_000), best(20_000));
    let (few, many) = (few.expect("three"), many.expect("three"));
    // Twenty times as many tasks: a cost that grows with the group would take 400 times as long.
    assert!(many < few * 150, "{few:?} for 1,000, {many:?} for 20,000");
}

#[test]
fn group_is_awaitable_through_a_pin() {
    fn assert_unpin<T: Unpin>(_: &T) {}
    let _test = test();
    let event_loop = strict_loop();
    let group = event_loop.task_group::<RefCell<std::marker::PhantomPinned>>();
    assert_unpin(&group);
    assert_eq!(format!("{group:?}"), "TaskGroup { len: 0, ended: 0 }");
    let mut task = event_loop.create_task(pending::<()>());
    let polled = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

#[test]
fn question_mark_converts_a_task_error_into_anyhow() {
    async fn fails(event_loop: LoopHandle) -> anyhow::Result<i32> {
        let one = event_loop.create_task(async { 1 }).await?;
        let mut group = event_loop.task_group::<()>();
        group.create_task(async { panic!("no") });
        while let Some(result) = group.join_next().await {
            result?;
        }
        Ok(one)
    }
    let _test = test();
    let error = sendloop::run(fails).expect("a loop").expect_err("a panic");
    assert!(error.downcast_ref::<TaskError>().is_some_and(TaskError::is_panic));
    assert_eq!(error.to_string(), "panicked: no");
}
