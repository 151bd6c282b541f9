//! Signals run callbacks on the loop, and the former disposition returns afterwards.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::actions::{disposition, raise};
use crate::util::*;
use sendloop::{Loop, LoopClosedError, Signal};

#[track_caller]
fn counting(event_loop: &sendloop::Loop, signal: i32) -> Rc<Cell<u32>> {
    let calls = Rc::new(Cell::new(0));
    let inside = calls.clone();
    let count = move || inside.set(inside.get() + 1);
    event_loop.add_signal_handler(signal, count).expect("caught");
    calls
}

#[test]
fn each_signal_runs_its_callback_once() {
    let _test = test();
    let event_loop = new_loop();
    let calls = counting(&event_loop, libc::SIGUSR1);
    (0..3).for_each(|_| raise(libc::SIGUSR1));
    assert_eq!(calls.get(), 0);
    run_until(&event_loop, || calls.get() == 3);
    assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
    assert!(!event_loop.remove_signal_handler(libc::SIGUSR1));
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
}

#[test]
fn panicking_handler_destructors_do_not_stop_the_restore() {
    let _test = test();
    let event_loop = new_loop();
    let signals = [libc::SIGUSR1, libc::SIGUSR2];
    let held = Rc::new(());
    for signal in signals {
        let (panics_on_drop, held) = (CallOnDrop(|| panic!("an expected panic")), held.clone());
        let handler = move || {
            let _both = (&panics_on_drop, &held);
        };
        event_loop.add_signal_handler(signal, handler).expect("caught");
    }
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(signals.map(disposition), [libc::SIG_DFL; 2]);
}

#[test]
fn signal_to_another_thread_wakes_a_waiting_loop() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    event_loop.add_signal_handler(libc::SIGUSR1, move || handle.stop()).expect("caught");
    let sender = thread::spawn(|| {
        thread::sleep(Duration::from_millis(20));
        raise(libc::SIGUSR1);
    });
    event_loop.run_forever();
    sender.join().expect("sent");
}

#[test]
fn every_loop_gets_the_signal_and_the_last_restores_the_disposition() {
    let _test = test();
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    let (one, other) = (new_loop(), new_loop());
    let (first, second) = (counting(&one, libc::SIGUSR2), counting(&other, libc::SIGUSR2));
    raise(libc::SIGUSR2);
    run_until(&one, || first.get() == 1);
    run_until(&other, || second.get() == 1);
    drop(one);
    raise(libc::SIGUSR2);
    run_until(&other, || second.get() == 2);
    drop(other);
    assert_eq!(disposition(libc::SIGUSR2), libc::SIG_IGN);
    // SAFETY: no code of ours runs at the signal.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_DFL) };
    assert_eq!(first.get(), 1);
}

static FOREIGN_CALLS: AtomicU32 = AtomicU32::new(0);
static CHAINED: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);

/// A handler as other crates install it: it counts, and calls the handler that it replaced.
extern "C" fn foreign(signal: libc::c_int) {
    FOREIGN_CALLS.fetch_add(1, Ordering::SeqCst);
    let former = CHAINED.load(Ordering::SeqCst);
    if former != libc::SIG_DFL && former != libc::SIG_IGN {
        // SAFETY: the kernel returned it as a handler without SA_SIGINFO.
        let former: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(former) };
        former(signal);
        // These signal numbers are invalid.
        [0, -1, 65, 1000].into_iter().for_each(|number| former(number));
    }
}

fn foreign_handler() -> usize {
    foreign as extern "C" fn(libc::c_int) as usize
}

/// Installs a disposition as foreign code does, and returns the handler that it replaced.
fn set_disposition(signal: i32, handler: usize) -> usize {
    // SAFETY: an all-zero sigaction is valid. The handler is `foreign`, or one that the kernel
    // returned.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        assert_eq!(libc::sigaction(signal, &raw const action, &raw mut before), 0);
        before.sa_sigaction
    }
}

/// Installs `foreign`, which calls the present handler. It resets the count of former calls.
fn install_foreign(signal: i32) -> usize {
    FOREIGN_CALLS.store(0, Ordering::SeqCst);
    let before = set_disposition(signal, foreign_handler());
    CHAINED.store(before, Ordering::SeqCst);
    before
}

#[track_caller]
fn assert_foreign_stays(signal: i32) {
    assert_eq!(disposition(signal), foreign_handler());
    let calls = FOREIGN_CALLS.load(Ordering::SeqCst);
    raise(signal);
    assert_eq!(FOREIGN_CALLS.load(Ordering::SeqCst), calls + 1);
    set_disposition(signal, libc::SIG_DFL);
}

#[test]
fn removal_keeps_a_newer_foreign_handler() {
    let _test = test();
    let event_loop = new_loop();
    let calls = counting(&event_loop, libc::SIGUSR1);
    install_foreign(libc::SIGUSR1);
    raise(libc::SIGUSR1);
    run_until(&event_loop, || calls.get() == 1);
    assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
    assert_foreign_stays(libc::SIGUSR1);
}

#[test]
fn loop_drop_keeps_a_newer_foreign_handler() {
    let _test = test();
    let event_loop = new_loop();
    for signal in [libc::SIGUSR1, libc::SIGUSR2] {
        counting(&event_loop, signal);
        install_foreign(signal);
    }
    drop(event_loop);
    assert_foreign_stays(libc::SIGUSR1);
    assert_foreign_stays(libc::SIGUSR2);
}

#[test]
fn the_last_of_several_loops_keeps_a_newer_foreign_handler() {
    let _test = test();
    let (one, other) = (new_loop(), new_loop());
    counting(&one, libc::SIGUSR1);
    install_foreign(libc::SIGUSR1);
    let thread = thread::spawn(|| {
        let own = new_loop();
        counting(&own, libc::SIGUSR2);
        install_foreign(libc::SIGUSR2);
    });
    thread.join().expect("ended");
    assert_foreign_stays(libc::SIGUSR2);
    drop(one);
    assert_eq!(disposition(libc::SIGUSR1), foreign_handler());
    drop(other);
    assert_foreign_stays(libc::SIGUSR1);
}

#[test]
fn the_end_of_run_keeps_a_handler_that_main_installed() {
    let _test = test();
    let result = sendloop::run(async |_| {
        install_foreign(libc::SIGINT);
        // The program handles SIGINT now, so `run` is not interrupted, although the foreign handler
        // calls the former one.
        raise(libc::SIGINT);
        42
    });
    assert_eq!(result.expect("not interrupted"), 42);
    assert_eq!(FOREIGN_CALLS.load(Ordering::SeqCst), 1);
    assert_foreign_stays(libc::SIGINT);
}

#[test]
fn readded_handler_takes_the_signal_and_restores_the_foreign_one() {
    let _test = test();
    for again_on_another_loop in [false, true] {
        let (event_loop, other) = (new_loop(), new_loop());
        counting(&event_loop, libc::SIGUSR1);
        let ours = disposition(libc::SIGUSR1);
        install_foreign(libc::SIGUSR1);
        let again = if again_on_another_loop { &other } else { &event_loop };
        let calls = counting(again, libc::SIGUSR1);
        assert_eq!(disposition(libc::SIGUSR1), ours);
        raise(libc::SIGUSR1);
        run_until(again, || calls.get() == 1);
        assert_eq!(FOREIGN_CALLS.load(Ordering::SeqCst), 0);
        drop(event_loop);
        drop(other);
        assert_foreign_stays(libc::SIGUSR1);
    }
}

#[test]
fn handler_restored_too_late_ignores_one_signal() {
    let _test = test();
    for former in [libc::SIG_DFL, libc::SIG_IGN, foreign_handler()] {
        set_disposition(libc::SIGUSR1, former);
        CHAINED.store(libc::SIG_DFL, Ordering::SeqCst);
        let event_loop = new_loop();
        counting(&event_loop, libc::SIGUSR1);
        // Foreign code saves the handler, and restores it after the loop has removed its own.
        let saved = set_disposition(libc::SIGUSR1, libc::SIG_IGN);
        drop(event_loop);
        assert_eq!(disposition(libc::SIGUSR1), libc::SIG_IGN);
        set_disposition(libc::SIGUSR1, saved);
        raise(libc::SIGUSR1);
        assert_eq!(disposition(libc::SIGUSR1), former);
    }
    set_disposition(libc::SIGUSR1, libc::SIG_DFL);
}

#[test]
fn a_former_handler_called_after_the_loop_is_gone_does_nothing() {
    let _test = test();
    let event_loop = new_loop();
    counting(&event_loop, libc::SIGUSR1);
    install_foreign(libc::SIGUSR1);
    drop(event_loop);
    // The signal slot has another owner now, which does not handle the signal.
    let event_loop = new_loop();
    let other = counting(&event_loop, libc::SIGUSR2);
    raise(libc::SIGUSR1);
    raise(libc::SIGUSR2);
    run_until(&event_loop, || other.get() == 1);
    drop(event_loop);
    assert_foreign_stays(libc::SIGUSR1);
}

#[test]
fn loops_on_many_threads_leave_the_default_disposition_behind() {
    let _test = test();
    let base = new_loop();
    let calls = counting(&base, libc::SIGUSR1);
    let threads = (0..4).map(|_| {
        thread::spawn(|| {
            for round in 0..200 {
                let own = new_loop();
                let calls = counting(&own, libc::SIGUSR1);
                raise(libc::SIGUSR1);
                run_until(&own, || calls.get() > 0);
                if round % 2 == 0 {
                    assert!(own.remove_signal_handler(libc::SIGUSR1));
                }
            }
        })
    });
    let threads = Vec::from_iter(threads);
    run_until(&base, || calls.get() >= 800);
    for thread in threads {
        thread.join().expect("ended");
    }
    assert_ne!(disposition(libc::SIGUSR1), libc::SIG_DFL);
    drop(base);
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
}

/// Records the number of each signal when its callback runs.
fn noting(event_loop: &sendloop::Loop, signals: &[i32]) -> Rc<RefCell<Vec<i32>>> {
    let noted = Rc::new(RefCell::new(Vec::new()));
    for &signal in signals {
        let noted = noted.clone();
        event_loop
            .add_signal_handler(signal, move || noted.borrow_mut().push(signal))
            .expect("caught");
    }
    noted
}

#[test]
fn signals_of_one_iteration_run_in_the_order_in_which_they_arrived() {
    let _test = test();
    let signals = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP, libc::SIGTERM];
    let event_loop = new_loop();
    let noted = noting(&event_loop, &signals);
    let mut random = Random(14);
    for _ in 0..20 {
        let sent = Vec::from_iter((0..30).map(|_| signals[random.below(signals.len())]));
        sent.iter().for_each(|signal| raise(*signal));
        run_until(&event_loop, || noted.borrow().len() == sent.len());
        assert_eq!(noted.take(), sent);
    }
}

#[test]
fn signals_beyond_the_pipes_room_are_all_called() {
    let _test = test();
    let signals = [libc::SIGUSR1, libc::SIGUSR2];
    let event_loop = new_loop();
    let noted = noting(&event_loop, &signals);
    for _ in 0..5000 {
        signals.iter().rev().for_each(|signal| raise(*signal));
    }
    run_until(&event_loop, || noted.borrow().len() == 10_000);
    let noted = noted.take();
    let first = noted.iter().filter(|signal| **signal == libc::SIGUSR1);
    assert_eq!(first.count(), 5000);
    assert!(!event_loop.remove_signal_handler(libc::SIGTERM));
}

#[test]
fn a_signal_whose_handler_was_removed_before_its_delivery_is_ignored() {
    let _test = test();
    let event_loop = new_loop();
    let removed = counting(&event_loop, libc::SIGUSR1);
    let kept = counting(&event_loop, libc::SIGUSR2);
    raise(libc::SIGUSR1);
    raise(libc::SIGUSR2);
    assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
    run_until(&event_loop, || kept.get() == 1);
    assert_eq!(removed.get(), 0);
    // As in asyncio, the handler at the time of delivery runs.
    counting(&event_loop, libc::SIGUSR1);
    raise(libc::SIGUSR1);
    assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
    let next = counting(&event_loop, libc::SIGUSR1);
    run_until(&event_loop, || next.get() == 1);
}

#[test]
fn a_queued_call_runs_though_an_earlier_one_removes_its_handler() {
    let _test = test();
    let event_loop = new_loop();
    let second = counting(&event_loop, libc::SIGUSR2);
    let handle = event_loop.handle();
    let remove = move || assert!(handle.remove_signal_handler(libc::SIGUSR2));
    event_loop.add_signal_handler(libc::SIGUSR1, remove).expect("caught");
    raise(libc::SIGUSR1);
    raise(libc::SIGUSR2);
    run_until(&event_loop, || second.get() == 1);
    assert_eq!(disposition(libc::SIGUSR2), libc::SIG_DFL);
}

#[test]
fn removal_inside_run_does_not_touch_runs_own_handler() {
    let _test = test();
    let result = sendloop::run(async |event_loop| {
        assert!(!event_loop.remove_signal_handler(libc::SIGINT));
        assert_ne!(disposition(libc::SIGINT), libc::SIG_DFL);
        raise(libc::SIGINT);
        assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
        std::future::pending::<()>().await;
    });
    let kind = result.expect_err("interrupted").kind();
    assert_eq!(kind, ErrorKind::Interrupted);
}

#[test]
fn handler_of_another_thread_replaces_ctrl_c() {
    let _test = test();
    let result = sendloop::run(async |event_loop| {
        let (started, start) = std::sync::mpsc::channel();
        let other = thread::spawn(move || {
            let own = new_loop();
            let calls = counting(&own, libc::SIGINT);
            started.send(()).expect("a waiting receiver");
            run_until(&own, || calls.get() == 1);
        });
        start.recv().expect("caught");
        raise(libc::SIGINT);
        event_loop.run_in_executor(move || other.join()).await
    });
    result.expect("not interrupted").expect("ran").expect("called");
    assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
}

#[test]
fn uncatchable_signals_are_refused() {
    let _test = test();
    let event_loop = new_loop();
    for signal in
        [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1, 32, 65, 1000, i32::MAX, i32::MIN]
    {
        let error = event_loop.add_signal_handler(signal, || {}).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "signal {signal}");
        assert!(!event_loop.remove_signal_handler(signal));
    }
}

#[test]
fn a_second_handler_replaces_the_first_and_may_remove_itself() {
    let _test = test();
    let event_loop = new_loop();
    let first = counting(&event_loop, libc::SIGUSR1);
    let second = Rc::new(Cell::new(0));
    let (handle, inside) = (event_loop.handle(), second.clone());
    let once = move || {
        inside.set(inside.get() + 1);
        assert!(handle.remove_signal_handler(libc::SIGUSR1));
    };
    event_loop.add_signal_handler(libc::SIGUSR1, once).expect("caught");
    raise(libc::SIGUSR1);
    run_until(&event_loop, || second.get() == 1);
    assert_eq!((first.get(), Rc::strong_count(&first)), (0, 1));
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
}

#[test]
fn ctrl_c_inside_run_drops_main_and_is_an_error() {
    let _test = test();
    let dropped = Rc::new(());
    let inside = dropped.clone();
    let result = sendloop::run(async |event_loop| {
        let task = event_loop.create_task(async move {
            let _inside = inside;
            std::future::pending::<()>().await;
        });
        event_loop.call_later(Duration::from_millis(5), || raise(libc::SIGINT));
        let _ = task.await;
    });
    assert_eq!(result.expect_err("interrupted").kind(), ErrorKind::Interrupted);
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
}

#[test]
fn own_handler_replaces_ctrl_c() {
    let _test = test();
    let result = sendloop::run(async |event_loop| {
        let (promise, future) = event_loop.create_future();
        let mut promise = Some(promise);
        let own = move || {
            let _ = promise.take().map(|promise| promise.set_result("own"));
        };
        event_loop.add_signal_handler(libc::SIGINT, own).expect("caught");
        event_loop.sleep(Duration::from_millis(2)).await;
        raise(libc::SIGINT);
        future.await.expect("set")
    });
    assert_eq!(result.expect("not interrupted"), "own");
}

#[test]
fn ctrl_c_before_the_own_handler_still_interrupts_run() {
    let _test = test();
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    let result = sendloop::run(async |event_loop| {
        raise(libc::SIGINT);
        let own = move || counted.set(counted.get() + 1);
        event_loop.add_signal_handler(libc::SIGINT, own).expect("caught");
        raise(libc::SIGINT);
        pending::<()>().await;
    });
    assert_eq!(result.expect_err("interrupted").kind(), ErrorKind::Interrupted);
    assert_eq!(calls.get(), 1);
    assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
}

#[test]
fn ctrl_c_beyond_the_pipes_room_interrupts_run_and_calls_no_handler() {
    let _test = test();
    let result = sendloop::run(async |event_loop| {
        event_loop.add_signal_handler(libc::SIGUSR1, || {}).expect("caught");
        (0..1000).for_each(|_| raise(libc::SIGUSR1));
        raise(libc::SIGINT);
        let mut own = event_loop.signal(libc::SIGINT).expect("caught");
        own.recv().await.expect("open");
    });
    assert_eq!(result.expect_err("interrupted").kind(), ErrorKind::Interrupted);
    assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
}

/// Takes the next signal. It returns false if none has arrived.
fn has_arrived(signal: &mut Signal) -> bool {
    let polled = pin!(signal.recv()).poll(&mut Context::from_waker(Waker::noop()));
    match polled {
        Poll::Ready(result) => result.map(|()| true).expect("an open loop"),
        Poll::Pending => false,
    }
}

/// Delivers the signals that were raised so far.
#[track_caller]
fn deliver(event_loop: &Loop) {
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
}

/// Receives a signal. Panics if it does not arrive in time.
#[track_caller]
fn receive(event_loop: &Loop, signal: &mut Signal) {
    let received = event_loop.wait_for(signal.recv(), Duration::from_secs(10));
    let received = event_loop.run_until_complete(received);
    received.expect("an end in time").expect("an open loop");
}

#[test]
fn each_signal_object_and_the_handler_get_each_signal() {
    let _test = test();
    let event_loop = new_loop();
    let mut before = event_loop.signal(libc::SIGUSR1).expect("caught");
    let calls = counting(&event_loop, libc::SIGUSR1);
    let mut after = event_loop.signal(libc::SIGUSR1).expect("caught");
    let mut other = event_loop.signal(libc::SIGUSR2).expect("caught");
    for n in 1..=3 {
        raise(libc::SIGUSR1);
        receive(&event_loop, &mut before);
        receive(&event_loop, &mut after);
        run_until(&event_loop, || calls.get() == n);
        assert!(![&mut before, &mut after, &mut other].into_iter().any(has_arrived));
    }
    // Removing the handler or dropping one object takes no signal from the others.
    assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
    drop(before);
    raise(libc::SIGUSR1);
    receive(&event_loop, &mut after);
    drop(after);
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
    assert_ne!(disposition(libc::SIGUSR2), libc::SIG_DFL);
    assert_eq!(calls.get(), 3);
}

#[test]
fn the_handler_outlives_the_signal_objects() {
    let _test = test();
    let event_loop = new_loop();
    drop(event_loop.signal(libc::SIGUSR1).expect("caught"));
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
    let signal = event_loop.signal(libc::SIGUSR1).expect("caught");
    let calls = counting(&event_loop, libc::SIGUSR1);
    drop(signal);
    raise(libc::SIGUSR1);
    run_until(&event_loop, || calls.get() == 1);
}

#[test]
fn signal_object_ignores_earlier_signals() {
    let _test = test();
    let event_loop = new_loop();
    let calls = counting(&event_loop, libc::SIGUSR1);
    raise(libc::SIGUSR1);
    let mut signal = event_loop.signal(libc::SIGUSR1).expect("caught");
    run_until(&event_loop, || calls.get() == 1);
    assert!(!has_arrived(&mut signal));
    raise(libc::SIGUSR1);
    receive(&event_loop, &mut signal);
    run_until(&event_loop, || calls.get() == 2);
}

#[test]
fn signals_before_recv_are_merged_and_not_lost() {
    let _test = test();
    let event_loop = new_loop();
    let mut signal = event_loop.signal(libc::SIGUSR1).expect("caught");
    (0..5).for_each(|_| raise(libc::SIGUSR1));
    deliver(&event_loop);
    assert!(has_arrived(&mut signal));
    assert!(!has_arrived(&mut signal));
    raise(libc::SIGUSR1);
    deliver(&event_loop);
    assert!(has_arrived(&mut signal));
}

#[test]
fn a_dropped_recv_loses_no_signal_and_keeps_no_waker() {
    let _test = test();
    let event_loop = new_loop();
    let mut signal = event_loop.signal(libc::SIGUSR1).expect("caught");
    let waker = std::sync::Arc::new(CallOnDrop(|| ()));
    let counted = Waker::from(waker.clone());
    {
        let mut receives = pin!(signal.recv());
        let mut cx = Context::from_waker(&counted);
        assert!(receives.as_mut().poll(&mut cx).is_pending());
        assert_eq!(std::sync::Arc::strong_count(&waker), 3);
        raise(libc::SIGUSR1);
        deliver(&event_loop);
        // It was woken, and is dropped before it is polled.
    }
    assert_eq!(std::sync::Arc::strong_count(&waker), 2);
    receive(&event_loop, &mut signal);
    let brief = Duration::from_millis(1);
    let waited = event_loop.wait_for(signal.recv(), brief);
    event_loop.run_until_complete(waited).expect_err("no signal arrived");
}

#[test]
fn a_signal_object_keeps_a_newer_foreign_handler() {
    let _test = test();
    let event_loop = new_loop();
    let signal = event_loop.signal(libc::SIGUSR1).expect("caught");
    install_foreign(libc::SIGUSR1);
    drop(signal);
    assert_foreign_stays(libc::SIGUSR1);
}

#[test]
fn signal_object_refuses_the_same_signals_as_a_handler() {
    let _test = test();
    let event_loop = new_loop();
    let refused = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        0,
        -1,
        65,
        i32::MAX,
        i32::MIN,
    ];
    for signal in refused {
        let error = event_loop.signal(signal).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "signal {signal}");
    }
}

#[test]
fn a_closed_loop_ends_recv_with_an_error() {
    let _test = test();
    let (event_loop, other) = (new_loop(), new_loop());
    let handle = event_loop.handle();
    let mut signal = handle.signal(libc::SIGUSR1).expect("caught");
    let task = other.create_task(async move { (signal.recv().await, signal.recv().await) });
    deliver(&other);
    drop(event_loop);
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
    let waited = other.wait_for(task, Duration::from_secs(10));
    let (first, second) = other.run_until_complete(waited).expect("an end in time").expect("ended");
    for result in [first, second, handle.signal(libc::SIGUSR1).map(drop)] {
        let error = result.expect_err("closed");
        assert!(error.get_ref().expect("inner").is::<LoopClosedError>());
    }
}

#[test]
fn the_end_of_a_loop_drops_tasks_that_wait_for_a_signal() {
    let _test = test();
    let event_loop = new_loop();
    let held = Rc::new(());
    let (handle, inside) = (event_loop.handle(), held.clone());
    event_loop.create_task(async move {
        let _inside = inside;
        let mut signal = handle.signal(libc::SIGUSR1).expect("caught");
        while signal.recv().await.is_ok() {}
    });
    deliver(&event_loop);
    assert_ne!(disposition(libc::SIGUSR1), libc::SIG_DFL);
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
}

#[test]
fn signal_object_replaces_ctrl_c() {
    let _test = test();
    let result = sendloop::run(async |event_loop| {
        let mut signal = event_loop.signal(libc::SIGINT).expect("caught");
        for _ in 0..3 {
            raise(libc::SIGINT);
            signal.recv().await.expect("open");
        }
        drop(signal);
        assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
        42
    });
    assert_eq!(result.expect("not interrupted"), 42);
}

#[test]
fn the_drop_of_a_signal_object_does_not_depend_on_the_number_of_others() {
    let _test = test();
    let event_loop = new_loop();
    let all = (0..30_000).map(|_| event_loop.signal(libc::SIGUSR1).expect("caught"));
    let mut all = Vec::from_iter(all);
    raise(libc::SIGUSR1);
    deliver(&event_loop);
    assert!(all.iter_mut().all(has_arrived));
    let start = Instant::now();
    drop(all);
    assert!(start.elapsed() < Duration::from_secs(5), "dropped in {:?}", start.elapsed());
    assert_eq!(disposition(libc::SIGUSR1), libc::SIG_DFL);
}

/// Set while this thread's signals must reach a loop.
static MUST_REACH_LOOP: AtomicBool = AtomicBool::new(false);
static WENT_ASTRAY: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static IS_LOOPS: Cell<bool> = const { Cell::new(false) };
}

extern "C" fn note_stray(_: libc::c_int) {
    if IS_LOOPS.get() && MUST_REACH_LOOP.load(Ordering::SeqCst) {
        WENT_ASTRAY.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn former_handler_gets_no_signal_while_a_loop_handles_it() {
    let _test = test();
    set_disposition(libc::SIGUSR1, note_stray as extern "C" fn(libc::c_int) as usize);
    IS_LOOPS.set(true);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Signals on other threads arrive while the loop lets go and takes the signal again.
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    raise(libc::SIGUSR1);
                }
            });
        }
        let event_loop = new_loop();
        for _ in 0..STRAY_ROUNDS {
            event_loop.add_signal_handler(libc::SIGUSR1, || {}).expect("caught");
            MUST_REACH_LOOP.store(true, Ordering::SeqCst);
            raise(libc::SIGUSR1);
            MUST_REACH_LOOP.store(false, Ordering::SeqCst);
            assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    IS_LOOPS.set(false);
    set_disposition(libc::SIGUSR1, libc::SIG_DFL);
    assert_eq!(WENT_ASTRAY.load(Ordering::SeqCst), 0);
}

const STRAY_ROUNDS: u32 = 10_000;
