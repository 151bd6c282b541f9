//! The results of tasks for those that await them, and promises.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::util::*;

#[test]
fn dropped_task_keeps_running() {
    let _test = test();
    let event_loop = new_loop();
    let ran = Rc::new(Cell::new(false));
    let (handle, runs) = (event_loop.handle(), ran.clone());
    drop(event_loop.create_task(async move {
        handle.sleep(Duration::from_millis(2)).await;
        runs.set(true);
    }));
    run_until(&event_loop, || ran.get());
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn await_of_a_task_may_be_cancelled_and_repeated() {
    let _test = test();
    let event_loop = new_loop();
    let (promise, future) = event_loop.create_future();
    let mut task = event_loop.create_task(future);
    event_loop.run_until_complete(async {
        for _ in 0..3 {
            let waited = event_loop.wait_for(&mut task, Duration::from_millis(1));
            waited.await.expect_err("not set yet");
        }
        promise.set_result("kept").expect("the future waits");
        let result = task.await.expect("a result");
        assert_eq!(result.expect("set"), "kept");
    });
}

#[test]
fn done_callbacks_run_in_order_soon_after_the_end() {
    let _test = test();
    let event_loop = new_loop();
    let log = Rc::new(RefCell::new(Vec::new()));
    let note = |name: u32| {
        let log = log.clone();
        move || log.borrow_mut().push(name)
    };
    for cancelled in [false, true] {
        log.take();
        let task = event_loop.create_task(async {});
        task.add_done_callback(note(1));
        task.add_done_callback(|| panic!("an expected panic"));
        task.add_done_callback(note(2));
        if cancelled {
            task.cancel();
        } else {
            run_iteration(&event_loop);
        }
        assert!(task.done() && log.borrow().is_empty());
        task.add_done_callback(note(3));
        drop(task);
        run_iteration(&event_loop);
        assert_eq!(*log.borrow(), [1, 2, 3]);
    }
}

#[test]
fn promise_and_future_may_be_dropped_in_any_order() {
    let _test = test();
    let event_loop = new_loop();
    let value = Rc::new(());
    let (promise, future) = event_loop.create_future();
    drop(future);
    assert!(promise.cancelled());
    drop(promise.set_result(value.clone()).expect_err("given back"));

    let (promise, future) = event_loop.create_future();
    promise.set_result(value.clone()).expect("kept");
    assert!(future.done());
    drop(future);

    let (promise, future) = event_loop.create_future::<Rc<()>>();
    drop(promise);
    assert!(future.done());
    let result = event_loop.run_until_complete(future);
    assert!(result.is_err_and(|error| error.is_cancelled()));

    let (promise, mut future) = event_loop.create_future();
    let waited = event_loop.wait_for(&mut future, Duration::ZERO);
    assert!(event_loop.run_until_complete(waited).is_err());
    drop(future);
    assert!(promise.set_result(value.clone()).is_err());
    assert_eq!(Rc::strong_count(&value), 1);
}
