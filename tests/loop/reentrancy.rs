//! Calls into a task while it is polled, dropped or completed: through its handle, result or loop.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::marker::PhantomPinned;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, Task, TaskError};

type Slot<T> = Rc<RefCell<Option<Task<T>>>>;

/// Creates a task that stores its own handle in a shared slot.
fn spawn_in_slot<T: 'static, F: Future<Output = T> + 'static>(
    event_loop: &Loop,
    body: impl FnOnce(Slot<T>) -> F,
) -> Slot<T> {
    let slot = Slot::default();
    let task = event_loop.create_task(body(slot.clone()));
    slot.replace(Some(task));
    slot
}

fn poll<T>(slot: &Slot<T>) -> Poll<Result<T, TaskError>> {
    let mut slot = slot.borrow_mut();
    let task = Pin::new(slot.as_mut().expect("a task"));
    task.poll(&mut Context::from_waker(Waker::noop()))
}

/// A future that must not move between its first poll and its drop.
struct Pinned {
    _held: Rc<()>,
    slot: Cell<Option<usize>>,
    ready: bool,
    _pinned: PhantomPinned,
}

impl Pinned {
    fn new(held: &Rc<()>, ready: bool) -> Pinned {
        Pinned { _held: held.clone(), slot: Cell::new(None), ready, _pinned: PhantomPinned }
    }
}

impl Future for Pinned {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let here = std::ptr::from_ref(&*self).addr();
        assert_eq!(self.slot.replace(Some(here)).unwrap_or(here), here);
        cx.waker().wake_by_ref();
        match self.ready {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let here = std::ptr::from_ref(self).addr();
        assert_eq!(self.slot.get().unwrap_or(here), here, "it was moved");
    }
}

#[test]
fn a_future_is_dropped_where_it_was_polled_however_its_task_ends() {
    let _test = test();
    let held = Rc::new(());
    for detached in [true, false] {
        let event_loop = strict_loop();
        let finishes = event_loop.create_task(Pinned::new(&held, true));
        let cancelled = event_loop.create_task(Pinned::new(&held, false));
        let unbegun = event_loop.create_task(Pinned::new(&held, false));
        assert!(unbegun.cancel());
        let closed = event_loop.create_task(Pinned::new(&held, false));
        run_iteration(&event_loop);
        run_iteration(&event_loop);
        assert!(finishes.done() && cancelled.cancel());
        if detached {
            drop((finishes, cancelled, unbegun, closed));
            assert_eq!(Rc::strong_count(&held), 2, "the one that runs");
            drop(event_loop);
        } else {
            drop(event_loop);
            assert!(!finishes.cancelled() && closed.cancelled());
        }
        assert_eq!(Rc::strong_count(&held), 1);
    }
}

#[test]
fn a_task_that_awaits_itself_waits_until_it_is_cancelled() {
    let _test = test();
    let held = Rc::new(());
    for cancelled in [true, false] {
        let event_loop = strict_loop();
        let inside = held.clone();
        let slot = spawn_in_slot(&event_loop, |me: Slot<()>| async move {
            let _inside = inside;
            poll_fn(|cx| {
                let mut me = me.borrow_mut();
                Pin::new(me.as_mut().expect("itself")).poll(cx)
            })
            .await
            .expect_err("the cancellation of the task");
        });
        for _ in 0..3 {
            run_iteration(&event_loop);
        }
        assert_eq!(event_loop.stats().tasks, 1);
        if cancelled {
            assert!(slot.borrow().as_ref().expect("itself").cancel());
            run_iteration(&event_loop);
        }
        drop(event_loop);
        let ended = poll(&slot).map(|result| result.is_err_and(|error| error.is_cancelled()));
        assert_eq!(ended, Poll::Ready(true));
        assert_eq!(Rc::strong_count(&held), 1);
    }
}

#[test]
fn two_tasks_that_await_each_other_end_when_one_is_cancelled() {
    let _test = test();
    let event_loop = strict_loop();
    let other: Slot<bool> = Slot::default();
    let awaited = other.clone();
    let one = event_loop.create_task(async move {
        let task = awaited.take().expect("a task");
        task.await.expect("a result");
    });
    let one = Rc::new(RefCell::new(one));
    let waits = one.clone();
    let two = event_loop.create_task(async move {
        let result = poll_fn(|cx| Pin::new(&mut *waits.borrow_mut()).poll(cx)).await;
        result.is_err_and(|error| error.is_cancelled())
    });
    other.replace(Some(two));
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert_eq!(event_loop.stats().tasks, 2);
    assert!(one.borrow().cancel());
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn a_handle_dropped_in_the_tasks_own_step_detaches_it() {
    let _test = test();
    let event_loop = strict_loop();
    let held = Rc::new(());
    let inside = held.clone();
    let slot = spawn_in_slot(&event_loop, |me: Slot<Rc<()>>| async move {
        drop(me.take().expect("itself"));
        inside
    });
    run_iteration(&event_loop);
    assert!(slot.borrow().is_none());
    assert_eq!(Rc::strong_count(&held), 1, "no task takes the result");
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn future_destructor_sees_its_task_not_done_and_may_use_it() {
    let _test = test();
    for what in ["looks", "cancels", "drops the handle", "adds a callback"] {
        let event_loop = strict_loop();
        let (held, observed) = (Rc::new(()), Rc::new(Cell::new(0)));
        let (inside, observer) = (held.clone(), observed.clone());
        let slot = spawn_in_slot(&event_loop, |me: Slot<Rc<()>>| {
            let at_end = CallOnDrop(move || {
                assert!(!me.borrow().as_ref().expect("itself").done());
                assert!(poll(&me).is_pending());
                let observer = observer.clone();
                match what {
                    "cancels" => assert!(me.borrow().as_ref().expect("itself").cancel()),
                    "drops the handle" => drop(me.take()),
                    "adds a callback" => {
                        let observe = move || observer.set(observer.get() + 1);
                        let me = me.borrow();
                        me.as_ref().expect("itself").add_done_callback(observe);
                    }
                    _ => {}
                }
            });
            async move {
                let _at_end = &at_end;
                inside
            }
        });
        run_iteration(&event_loop);
        run_iteration(&event_loop);
        assert_eq!(observed.get(), u32::from(what == "adds a callback"));
        match slot.take() {
            None => assert_eq!(what, "drops the handle"),
            Some(task) => {
                assert_eq!(task.cancelled(), what == "cancels");
                let result = event_loop.run_until_complete(task);
                assert_eq!(result.is_err(), what == "cancels");
            }
        }
        assert_eq!(Rc::strong_count(&held), 1, "{what}");
        assert_eq!(event_loop.stats().tasks, 0);
    }
}

#[test]
fn destructor_of_an_overruled_result_may_use_its_task() {
    let _test = test();
    for drops in [true, false] {
        let event_loop = strict_loop();
        let seen = Rc::new(Cell::new(0));
        let sees = seen.clone();
        let slot = spawn_in_slot(&event_loop, |me: Slot<Box<dyn std::any::Any>>| async move {
            assert!(me.borrow().as_ref().expect("itself").cancel());
            let result = CallOnDrop(move || {
                sees.set(sees.get() + 1);
                if drops {
                    drop(me.take());
                } else if let Some(task) = &*me.borrow() {
                    assert!(task.cancel() && !task.done());
                }
            });
            Box::new(result) as Box<dyn std::any::Any>
        });
        run_iteration(&event_loop);
        assert_eq!((seen.get(), event_loop.stats().tasks), (1, 0));
        assert_eq!(slot.borrow().is_none(), drops);
        if let Some(task) = slot.take() {
            assert!(task.cancelled());
        }
    }
}

#[test]
fn destructor_of_an_untaken_result_may_spawn_and_cancel() {
    let _test = test();
    let event_loop = strict_loop();
    let victim = Rc::new(event_loop.create_task(pending::<()>()));
    let (handle, hit) = (event_loop.handle(), victim.clone());
    let ran = Rc::new(Cell::new(false));
    let runs = ran.clone();
    let task = event_loop.create_task(async move {
        CallOnDrop(move || {
            assert!(hit.cancel());
            let runs = runs.clone();
            drop(handle.create_task(async move { runs.set(true) }));
        })
    });
    run_iteration(&event_loop);
    assert!(task.done() && !victim.done());
    drop(task);
    assert!(victim.cancelled());
    run_iteration(&event_loop);
    assert!(ran.get());
}

#[test]
fn task_cancelled_in_its_own_step_ends_as_cancelled() {
    let _test = test();
    let event_loop = strict_loop();
    let me: Slot<()> = Slot::default();
    let hit = me.clone();
    let at_end = CallOnDrop(move || assert!(hit.borrow().as_ref().expect("a task").cancel()));
    let other = event_loop.create_task(async move {
        let _at_end = at_end;
        pending::<()>().await;
    });
    let handle = event_loop.handle();
    let task = event_loop.create_task(async move {
        assert!(other.cancel());
        // The future is still being polled, and may reach its next await.
        handle.sleep(Duration::ZERO).await;
        unreachable!("it was cancelled");
    });
    me.replace(Some(task));
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert!(me.take().expect("a task").cancelled());
    assert_eq!(event_loop.stats().tasks, 0);
}

/// Passes a handle and the last owner of a loop to `end`, and asserts that this closes the loop.
#[track_caller]
fn assert_closes(what: &str, end: impl FnOnce(sendloop::LoopHandle, Rc<Loop>)) {
    let event_loop = Rc::new(strict_loop());
    let (handle, held) = (event_loop.handle(), Rc::new(()));
    let (one, two, three) = (held.clone(), held.clone(), held.clone());
    let task = handle.create_task(async move {
        pending::<()>().await;
        drop(one);
    });
    let observed = held.clone();
    task.add_done_callback(move || drop(observed));
    handle.call_soon(move || drop(two));
    handle.call_later(Duration::MAX, move || drop(three));
    end(handle.clone(), event_loop);
    assert!(handle.is_closed() && task.cancelled(), "{what}");
    assert_eq!(Rc::strong_count(&held), 1, "{what}");
    assert_eq!(handle.stats().tasks, 0, "{what}");
}

#[test]
fn any_owned_destructor_may_close_the_loop() {
    let _test = test();
    assert_closes("a task's future", |handle, owner| {
        let task = handle.create_task(async move {
            pending::<()>().await;
            drop(owner);
        });
        task.add_done_callback(|| ());
        assert!(task.cancel() && task.cancelled());
    });
    assert_closes("a callback", |handle, owner| {
        let soon = handle.call_soon(move || drop(owner));
        soon.cancel();
        assert!(soon.cancelled());
    });
    assert_closes("a timer", |handle, owner| {
        let later = handle.call_later(Duration::MAX, move || drop(owner));
        later.cancel();
        assert!(later.cancelled());
    });
    assert_closes("a reader", |handle, owner| {
        let (reader, _writer) = pipe();
        handle.add_reader(&reader, move || drop(owner.clone())).expect("watched");
        assert!(handle.remove_reader(&reader));
    });
    assert_closes("the value of a promise", |handle, owner| {
        let (promise, future) = handle.create_future();
        assert!(promise.set_result(owner).is_ok());
        drop(future);
    });
    assert_closes("an exception handler", |handle, owner| {
        handle.set_exception_handler(move |_| drop(owner.clone()));
        handle.clear_exception_handler();
    });
}

#[test]
fn result_that_owns_the_loop_closes_it() {
    let _test = test();
    let event_loop = Rc::new(strict_loop());
    let (handle, owner) = (event_loop.handle(), event_loop.clone());
    let task = event_loop.create_task(async move { owner });
    let other = event_loop.create_task(pending::<()>());
    run_iteration(&event_loop);
    assert!(task.done());
    drop(event_loop);
    assert!(!handle.is_closed());
    drop(task);
    assert!(handle.is_closed() && other.cancelled());
}

#[test]
fn destructor_may_run_another_loop_outside_a_run() {
    let _test = test();
    let event_loop = strict_loop();
    let at_end = CallOnDrop(|| {
        let inner = strict_loop();
        let task = inner.create_task(async { 3 });
        assert_eq!(inner.run_until_complete(task).expect("a result"), 3);
    });
    let task = event_loop.create_task(async move {
        let _at_end = at_end;
        pending::<()>().await;
    });
    run_iteration(&event_loop);
    assert!(task.cancel());
}

#[test]
fn task_polled_manually_returns_its_result_once() {
    let _test = test();
    let event_loop = strict_loop();
    let mut task = event_loop.create_task(async { 9 });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(&mut task).poll(&mut cx).is_pending());
    run_iteration(&event_loop);
    assert!(matches!(pin!(&mut task).poll(&mut cx), Poll::Ready(Ok(9))));
    let again = std::panic::AssertUnwindSafe(|| pin!(&mut task).poll(&mut cx).is_ready());
    std::panic::catch_unwind(again).expect_err("a panic at the second poll");
}
