//! Tasks: how they end, what cancelling does, and what a destructor may do.

mod util;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::panic_any;
use std::rc::Rc;
use std::time::Duration;

use sendloop::{Loop, Task, TaskError};
use util::*;

#[track_caller]
fn turn(event_loop: &Loop) {
    event_loop.run_once(Some(Duration::ZERO)).expect("a turn");
}

/// Holds a count while it waits for ever.
async fn held(by: Rc<()>) {
    pending::<()>().await;
    drop(by);
}

/// A task that is handed itself.
fn knowing_itself<F: Future<Output = i32> + 'static>(
    event_loop: &Loop,
    body: impl FnOnce(Rc<RefCell<Option<Task<i32>>>>) -> F,
) -> Rc<RefCell<Option<Task<i32>>>> {
    let place: Rc<RefCell<Option<Task<i32>>>> = Rc::default();
    let task = event_loop.create_task(body(place.clone()));
    place.replace(Some(task));
    place
}

fn cancel(place: &Rc<RefCell<Option<Task<i32>>>>) -> bool {
    place.borrow().as_ref().expect("a task").cancel()
}

#[test]
fn a_task_gives_its_result_or_its_panic() {
    let _test = test();
    let event_loop = new_loop();
    let fine = event_loop.create_task(async { 5 });
    let broken = event_loop.create_task(async { panic_any(77_u8) });
    assert!(!fine.done() && !fine.cancelled());
    let result = event_loop.run_until_complete(broken);
    let Err(TaskError::Panicked(payload)) = result else {
        panic!("it should have panicked");
    };
    assert_eq!((&*payload as &dyn Any).downcast_ref(), Some(&77_u8));
    assert!(fine.done() && !fine.cancelled() && !fine.cancel());
    assert_eq!(event_loop.run_until_complete(fine).expect("a result"), 5);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn a_cancelled_task_is_gone_before_cancel_returns() {
    let _test = test();
    let event_loop = new_loop();
    let count = Rc::new(());
    let waiting = event_loop.create_task(held(count.clone()));
    turn(&event_loop);
    let unbegun = event_loop.create_task(held(count.clone()));
    assert_eq!(Rc::strong_count(&count), 3);
    for task in [waiting, unbegun] {
        assert!(task.cancel() && task.cancelled() && task.done());
        assert!(!task.cancel(), "the second time it is done");
        let result = event_loop.run_until_complete(task);
        assert!(matches!(result, Err(TaskError::Cancelled)));
    }
    assert_eq!(Rc::strong_count(&count), 1);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn a_task_that_cancels_itself_is_cancelled_whatever_it_does_then() {
    let _test = test();
    for then in ["waits", "returns", "panics"] {
        let event_loop = new_loop();
        let count = Rc::new(());
        let inside = count.clone();
        let place = knowing_itself(&event_loop, |me| async move {
            let _inside = inside;
            assert!(cancel(&me) && cancel(&me));
            assert!(!me.borrow().as_ref().expect("itself").done());
            drop(me);
            match then {
                "waits" => pending().await,
                "returns" => 1,
                _ => panic!("as it should"),
            }
        });
        turn(&event_loop);
        assert_eq!(Rc::strong_count(&count), 1, "{then}");
        let task = place.take().expect("a task");
        assert!(task.cancelled() && !task.cancel(), "{then}");
        let result = event_loop.run_until_complete(task);
        assert!(matches!(result, Err(TaskError::Cancelled)), "{then}");
    }
}

#[test]
fn a_destructor_that_panics_ends_nothing_else() {
    let _test = test();
    let event_loop = new_loop();
    let loud = || {
        let loud = AtEnd(|| panic!("as it should"));
        async move {
            let _loud = loud;
            pending::<()>().await;
        }
    };
    let idle = event_loop.create_task(loud());
    turn(&event_loop);
    let unbegun = event_loop.create_task(loud());
    assert!(idle.cancel() && idle.cancelled());
    assert!(unbegun.cancel() && unbegun.cancelled());
    event_loop.create_task(loud());
    let other = event_loop.create_task(async { 1 });
    assert_eq!(event_loop.run_until_complete(other).expect("a result"), 1);
    drop(event_loop);
}

#[test]
fn a_result_that_nobody_wants_and_panics_where_it_is_dropped_ends_nothing_else() {
    let _test = test();
    let event_loop = new_loop();
    drop(event_loop.create_task(async { AtEnd(|| panic!("as it should")) }));
    let other = event_loop.create_task(async { 1 });
    assert_eq!(event_loop.run_until_complete(other).expect("a result"), 1);
}

#[test]
fn a_destructor_may_make_tasks_and_callbacks_and_cancel_others() {
    let _test = test();
    let event_loop = new_loop();
    let ran = Rc::new(Cell::new(0));
    let victim = Rc::new(event_loop.create_task(pending::<()>()));
    let (handle, hit, count) = (event_loop.handle(), victim.clone(), ran.clone());
    let at_end = AtEnd(move || {
        assert!(hit.cancel());
        let (one, two) = (count.clone(), count.clone());
        handle.call_soon(move || one.set(one.get() + 1));
        handle.create_task(async move { two.set(two.get() + 10) });
    });
    let task = event_loop.create_task(async move {
        let _at_end = at_end;
        pending::<()>().await;
    });
    turn(&event_loop);
    assert!(task.cancel() && victim.cancelled());
    assert_eq!(ran.get(), 0);
    turn(&event_loop);
    assert_eq!((ran.get(), event_loop.stats().tasks), (11, 0));
}

#[test]
fn a_payload_that_nobody_wants_and_panics_where_it_is_dropped_ends_nothing_else() {
    let _test = test();
    let event_loop = new_loop();
    let loud = || panic_any(Loud);
    drop(event_loop.create_task(async move { loud() }));
    let other = event_loop.create_task(async { 1 });
    assert_eq!(event_loop.run_until_complete(other).expect("a result"), 1);
}

struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        panic!("a payload that panics where it is dropped");
    }
}
