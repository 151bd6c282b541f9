//! Closing a loop drops everything that it owns, whatever the destructors do.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, LoopClosedError, LoopHandle, Socket};

/// Fills a loop with callbacks, timers, promises and tasks that hold `held`, the loop and each
/// other, in reference cycles.
fn fill(event_loop: &Loop, held: &Rc<()>) {
    let handle = event_loop.handle();
    let (inside, own) = (held.clone(), handle.clone());
    let soon: Rc<RefCell<Option<sendloop::Handle>>> = Rc::default();
    let circle = soon.clone();
    soon.replace(Some(handle.call_soon(move || drop((inside, own, circle)))));

    let (inside, own) = (held.clone(), handle.clone());
    let timer: Rc<RefCell<Option<sendloop::TimerHandle>>> = Rc::default();
    let circle = timer.clone();
    let later = handle.call_later(Duration::MAX, move || drop((inside, own, circle)));
    timer.replace(Some(later));

    let (promise, future) = handle.create_future::<Rc<()>>();
    let (one, other) = Socket::pair().expect("a pair");
    let slot = Rc::new(RefCell::new(None));
    let (inside, own, circle) = (held.clone(), handle.clone(), slot.clone());
    let receives = handle.create_task(async move {
        let _all = (inside, circle, promise, other);
        own.sock_recv(&one, 10).await
    });
    let (inside, own) = (held.clone(), handle.clone());
    let waits = handle.create_task(async move {
        let _all = (inside, own, receives);
        future.await
    });
    let (inside, own) = (held.clone(), handle.clone());
    waits.add_done_callback(move || drop((inside, own)));
    slot.replace(Some(waits));
    let (inside, own) = (held.clone(), handle.clone());
    drop(handle.create_task(async move {
        own.sleep(Duration::MAX).await;
        drop(inside);
    }));
    event_loop.remote().call_soon_threadsafe(|| ()).expect("open");
}

#[test]
fn close_drops_reference_cycles_through_the_loop() {
    let _test = test();
    for iterations in 0..3 {
        let event_loop = new_loop();
        let (held, handle) = (Rc::new(()), event_loop.handle());
        fill(&event_loop, &held);
        for _ in 0..iterations {
            event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
            fill(&event_loop, &held);
        }
        assert!(Rc::strong_count(&held) > 5);
        event_loop.close();
        assert_eq!(Rc::strong_count(&held), 1, "after {iterations} iterations");
        assert!(handle.is_closed() && !handle.is_running());
        assert_eq!((handle.stats().tasks, handle.stats().registered), (0, 0));
    }
}

#[test]
fn destructors_may_use_the_closing_loop() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    let cancelled = Rc::new(Cell::new(0));
    let own = event_loop.handle();
    let asks = || {
        let (handle, held, cancelled) = (own.clone(), held.clone(), cancelled.clone());
        CallOnDrop(move || {
            let [one, two, three] = [held.clone(), held.clone(), held.clone()];
            let soon = handle.call_soon(move || drop(one));
            let later = handle.call_later(Duration::ZERO, move || drop(two));
            let task = handle.create_task(async move {
                pending::<()>().await;
                drop(three);
            });
            task.add_done_callback(|| ());
            let done = u32::from(task.cancelled());
            cancelled.set(cancelled.get() + done);
            drop((soon, later));
        })
    };
    let (in_task, in_callback, in_timer) = (asks(), asks(), asks());
    event_loop.create_task(async move {
        let _in_task = in_task;
        pending::<()>().await;
    });
    event_loop.call_soon(move || drop(in_callback));
    event_loop.call_later(Duration::MAX, move || drop(in_timer));
    drop(event_loop);
    assert_eq!((Rc::strong_count(&held), cancelled.get()), (1, 3));
}

#[test]
fn panicking_destructors_do_not_stop_the_close() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    for _ in 0..3 {
        let panics_on_drop = || CallOnDrop(|| panic!("an expected panic"));
        let (a, b, c) = (panics_on_drop(), panics_on_drop(), panics_on_drop());
        let (one, two, three) = (held.clone(), held.clone(), held.clone());
        event_loop.call_soon(move || drop((a, one)));
        event_loop.call_later(Duration::MAX, move || drop((b, two)));
        event_loop.create_task(async move {
            let _both = (c, three);
            pending::<()>().await;
        });
    }
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn panicking_remote_call_destructor_does_not_stop_the_close() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    let inside = held.clone();
    event_loop.call_soon(move || drop(inside));
    let remote = event_loop.remote();
    let panics_on_drop = CallOnDrop(|| panic!("an expected panic"));
    let call = thread::spawn(move || remote.call_soon_threadsafe(move || drop(panics_on_drop)));
    call.join().expect("called").expect("open");
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
}

/// Returns the results of `call` in three destructors at close: of a task, a callback and a timer.
fn results_at_close<T: 'static>(
    event_loop: Loop,
    call: impl Fn(&LoopHandle) -> T + Clone + 'static,
) -> Vec<T> {
    let results = Rc::new(RefCell::new(Vec::new()));
    let handle = event_loop.handle();
    let at_end = || {
        let (handle, results, call) = (handle.clone(), results.clone(), call.clone());
        CallOnDrop(move || {
            assert!(handle.is_closed());
            let result = call(&handle);
            results.borrow_mut().push(result);
        })
    };
    let (in_task, in_callback, in_timer) = (at_end(), at_end(), at_end());
    event_loop.create_task(async move {
        let _in_task = in_task;
        pending::<()>().await;
    });
    event_loop.call_soon(move || drop(in_callback));
    event_loop.call_later(Duration::MAX, move || drop(in_timer));
    drop(event_loop);
    results.take()
}

#[test]
fn remote_of_a_closing_loop_reports_closed_to_destructors() {
    let _test = test();
    let answers =
        results_at_close(new_loop(), |handle| handle.remote().call_soon_threadsafe(|| ()));
    assert_eq!(answers, [Err(LoopClosedError); 3]);
}

#[test]
fn executor_work_from_a_destructor_is_cancelled_at_close() {
    let _test = test();
    let works = results_at_close(new_loop(), |handle| handle.run_in_executor(|| ()));
    let other = new_loop();
    for work in works {
        let result = other.run_until_complete(work);
        assert!(result.is_err_and(|error| error.is_cancelled()), "the job ran");
    }
}

#[test]
fn a_destructor_may_make_and_end_other_loops() {
    let _test = test();
    let done = results_at_close(new_loop(), |_| drop(new_loop()));
    assert_eq!(done.len(), 3);
    let done = results_at_close(new_loop(), |handle| {
        // The refused call is dropped inside the inbox.
        let inner = CallOnDrop(|| drop(new_loop()));
        handle.call_soon(move || drop(inner));
    });
    assert_eq!(done.len(), 3);
    let done = results_at_close(new_loop(), |handle| {
        let inner = CallOnDrop(|| drop(new_loop()));
        let _ = handle.remote().call_soon_threadsafe(move || drop(inner));
    });
    assert_eq!(done.len(), 3, "a destructor of a refused remote call panicked");
}

#[test]
fn run_cancels_remaining_tasks_and_waits_for_the_executor() {
    let _test = test();
    let held = Rc::new(());
    let (inside, ended) = (held.clone(), mpsc::channel());
    let (begun, begins) = mpsc::channel::<()>();
    let mut kept = None;
    let result = sendloop::run(async |event_loop: LoopHandle| {
        kept = Some(event_loop.clone());
        let at_end = CallOnDrop(move || begun.send(()).expect("the work"));
        drop(event_loop.create_task(async move {
            let _both = (at_end, inside);
            pending::<()>().await;
        }));
        drop(event_loop.run_in_executor(move || {
            begins.recv().expect("the main task has ended, the others are cancelled");
            ended.0.send("worked").expect("the test");
        }));
        event_loop.sleep(Duration::from_millis(1)).await;
        42
    });
    assert_eq!(result.expect("a loop"), 42);
    assert_eq!(ended.1.try_recv(), Ok("worked"));
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(kept.is_some_and(|handle| handle.is_closed()));
}

#[test]
fn run_returns_its_result_if_stopped_during_executor_shutdown() {
    let _test = test();
    let (begun, begins) = mpsc::channel::<()>();
    let result = sendloop::run(async |event_loop: LoopHandle| {
        drop(event_loop.run_in_executor(move || begins.recv()));
        let handle = event_loop.clone();
        event_loop.call_later(Duration::from_millis(1), move || {
            handle.stop();
            begun.send(()).expect("the work");
        });
        42
    });
    assert_eq!(result.expect("a loop"), 42);
}

#[test]
fn run_drops_executor_work_that_has_not_begun() {
    let _test = test();
    let begun = Arc::new(AtomicUsize::new(0));
    // Each queued job holds the sender. The running jobs wait until the queue is dropped.
    let (queued, end_of_queue) = mpsc::channel::<()>();
    let end_of_queue = Arc::new(Mutex::new(end_of_queue));
    let results = sendloop::run(async |event_loop: LoopHandle| {
        let work = |_| {
            let (begun, queued) = (begun.clone(), queued.clone());
            let end_of_queue = end_of_queue.clone();
            event_loop.run_in_executor(move || {
                drop(queued);
                begun.fetch_add(1, Ordering::SeqCst);
                let end = end_of_queue.lock().expect("whole").recv();
                end.expect_err("nothing is sent");
            })
        };
        // More jobs than an executor ever has threads.
        let results = Vec::from_iter((0..100).map(work));
        drop(queued);
        results
    });
    let event_loop = new_loop();
    let mut ran = 0;
    for result in results.expect("a loop") {
        match event_loop.run_until_complete(result) {
            Ok(()) => ran += 1,
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    assert_eq!(ran, begun.load(Ordering::SeqCst));
    assert!((1..=32).contains(&ran), "{ran} began");
}

#[test]
fn run_waits_for_executor_work_that_is_about_to_begin() {
    let _test = test();
    for round in 0..200 {
        let ran = Arc::new(AtomicUsize::new(0));
        let inside = ran.clone();
        let result = sendloop::run(async |event_loop: LoopHandle| {
            if round % 2 == 1 {
                event_loop.run_in_executor(|| ()).await.expect("ran");
            }
            drop(event_loop.run_in_executor(move || inside.fetch_add(1, Ordering::SeqCst)));
        });
        result.expect("a loop");
        assert_eq!(ran.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn panic_of_a_dropped_done_callback_does_not_stop_the_close() {
    let _test = test();
    let event_loop = new_loop();
    let reports = Rc::new(Cell::new(0));
    let counted = reports.clone();
    event_loop.set_exception_handler(move |_| counted.set(counted.get() + 1));
    let with_callback = event_loop.create_task(pending::<()>());
    let bomb = PanicsOnDrop;
    with_callback.add_done_callback(move || {
        let _bomb = &bomb;
    });
    let dropped = Rc::new(Cell::new(false));
    let seen = dropped.clone();
    let other = event_loop.create_task(async move {
        let _guard = CallOnDrop(move || seen.set(true));
        pending::<()>().await;
    });
    event_loop.run_until_idle().expect("a poller");
    drop(event_loop);
    assert!(dropped.get(), "the other task was dropped");
    assert!(with_callback.done() && other.done());
    assert_eq!(reports.get(), 1);
}
