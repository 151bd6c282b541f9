//! Tasks: how they end, what cancelling does, and what a destructor may do.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::panic_any;
use std::rc::Rc;

use crate::util::*;
use sendloop::{Loop, Task, TaskError};

/// Holds a reference count until it is dropped.
async fn held(by: Rc<()>) {
    pending::<()>().await;
    drop(by);
}

/// Creates a task whose body receives the slot with its own handle.
fn spawn_with_own_handle<F: Future<Output = i32> + 'static>(
    event_loop: &Loop,
    body: impl FnOnce(Rc<RefCell<Option<Task<i32>>>>) -> F,
) -> Rc<RefCell<Option<Task<i32>>>> {
    let slot: Rc<RefCell<Option<Task<i32>>>> = Rc::default();
    let task = event_loop.create_task(body(slot.clone()));
    slot.replace(Some(task));
    slot
}

fn cancel(slot: &Rc<RefCell<Option<Task<i32>>>>) -> bool {
    slot.borrow().as_ref().expect("a task").cancel()
}

#[test]
fn awaiting_a_task_returns_its_result_or_panic() {
    let _test = test();
    let event_loop = new_loop();
    let fine = event_loop.create_task(async { 5 });
    let broken = event_loop.create_task(async { panic_any(77_u8) });
    assert!(!fine.done() && !fine.cancelled());
    let result = event_loop.run_until_complete(broken);
    let payload = result.expect_err("it panicked").into_panic();
    assert_eq!(payload.downcast_ref(), Some(&77_u8));
    assert!(fine.done() && !fine.cancelled() && !fine.cancel());
    assert_eq!(event_loop.run_until_complete(fine).expect("a result"), 5);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn a_task_error_is_sync_and_converts_by_a_question_mark() {
    fn assert_error<T: std::error::Error + Send + Sync + Unpin + 'static>() {}
    assert_error::<TaskError>();
    let _test = test();
    let event_loop = new_loop();
    let broken = event_loop.create_task(async { panic_any(Cell::new(5)) });
    let boxed = async { Ok::<i32, Box<dyn std::error::Error + Send + Sync>>(broken.await?) };
    let error = event_loop.run_until_complete(boxed);
    let error: Box<TaskError> = error.expect_err("it panicked").downcast().expect("it");
    let error = std::io::Error::from(*error);
    assert_eq!(error.kind(), std::io::ErrorKind::Other);
    // The payload is not `Sync`, and survives all conversions.
    let error: TaskError = error.downcast().expect("a TaskError");
    assert!(error.is_panic() && !error.is_cancelled());
    let payload = error.into_panic();
    assert_eq!(payload.downcast_ref(), Some(&Cell::new(5)));
}

#[test]
fn into_panic_of_a_cancellation_panics() {
    let _test = test();
    let event_loop = new_loop();
    let task = event_loop.create_task(pending::<()>());
    assert!(task.cancel());
    let error = event_loop.run_until_complete(task).expect_err("cancelled");
    assert!(error.is_cancelled() && !error.is_panic());
    let into_panic = std::panic::AssertUnwindSafe(|| error.into_panic());
    let panic = std::panic::catch_unwind(into_panic).expect_err("it is none");
    let said = panic.downcast_ref::<String>().expect("a text");
    assert!(said.contains("cancelled"), "{said}");
}

#[test]
fn cancel_drops_the_future_before_it_returns() {
    let _test = test();
    let event_loop = new_loop();
    let count = Rc::new(());
    let waiting = event_loop.create_task(held(count.clone()));
    run_iteration(&event_loop);
    let unbegun = event_loop.create_task(held(count.clone()));
    assert_eq!(Rc::strong_count(&count), 3);
    for task in [waiting, unbegun] {
        assert!(task.cancel() && task.cancelled() && task.done());
        assert!(!task.cancel(), "the second time it is done");
        let result = event_loop.run_until_complete(task);
        assert!(result.is_err_and(|error| error.is_cancelled()));
    }
    assert_eq!(Rc::strong_count(&count), 1);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn task_that_cancels_itself_ends_as_cancelled() {
    let _test = test();
    for then in ["waits", "returns", "panics"] {
        let event_loop = new_loop();
        let count = Rc::new(());
        let inside = count.clone();
        let slot = spawn_with_own_handle(&event_loop, |me| async move {
            let _inside = inside;
            assert!(cancel(&me) && cancel(&me));
            assert!(!me.borrow().as_ref().expect("itself").done());
            drop(me);
            match then {
                "waits" => pending().await,
                "returns" => 1,
                _ => panic!("an expected panic"),
            }
        });
        run_iteration(&event_loop);
        assert_eq!(Rc::strong_count(&count), 1, "{then}");
        let task = slot.take().expect("a task");
        assert!(task.cancelled() && !task.cancel(), "{then}");
        let result = event_loop.run_until_complete(task);
        assert!(result.is_err_and(|error| error.is_cancelled()), "{then}");
    }
}

#[test]
fn panic_in_a_future_destructor_leaves_the_loop_running() {
    let _test = test();
    let event_loop = new_loop();
    let panics_on_drop = || {
        let panics_on_drop = CallOnDrop(|| panic!("an expected panic"));
        async move {
            let _loud = panics_on_drop;
            pending::<()>().await;
        }
    };
    let idle = event_loop.create_task(panics_on_drop());
    run_iteration(&event_loop);
    let unbegun = event_loop.create_task(panics_on_drop());
    assert!(idle.cancel() && idle.cancelled());
    assert!(unbegun.cancel() && unbegun.cancelled());
    event_loop.create_task(panics_on_drop());
    let other = event_loop.create_task(async { 1 });
    assert_eq!(event_loop.run_until_complete(other).expect("a result"), 1);
    drop(event_loop);
}

#[test]
fn unwanted_result_may_panic_on_drop() {
    let _test = test();
    let event_loop = new_loop();
    drop(event_loop.create_task(async { CallOnDrop(|| panic!("an expected panic")) }));
    let other = event_loop.create_task(async { 1 });
    assert_eq!(event_loop.run_until_complete(other).expect("a result"), 1);
}

#[test]
fn destructor_may_spawn_and_cancel_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let ran = Rc::new(Cell::new(0));
    let victim = Rc::new(event_loop.create_task(pending::<()>()));
    let (handle, hit, count) = (event_loop.handle(), victim.clone(), ran.clone());
    let at_end = CallOnDrop(move || {
        assert!(hit.cancel());
        let (one, two) = (count.clone(), count.clone());
        handle.call_soon(move || one.set(one.get() + 1));
        handle.create_task(async move { two.set(two.get() + 10) });
    });
    let task = event_loop.create_task(async move {
        let _at_end = at_end;
        pending::<()>().await;
    });
    run_iteration(&event_loop);
    assert!(task.cancel() && victim.cancelled());
    assert_eq!(ran.get(), 0);
    run_iteration(&event_loop);
    assert_eq!((ran.get(), event_loop.stats().tasks), (11, 0));
}

#[test]
fn unwanted_panic_payload_may_panic_on_drop() {
    let _test = test();
    let event_loop = new_loop();
    let panics_on_drop = || panic_any(PanicsOnDrop);
    drop(event_loop.create_task(async move { panics_on_drop() }));
    let other = event_loop.create_task(async { 1 });
    assert_eq!(event_loop.run_until_complete(other).expect("a result"), 1);
}
