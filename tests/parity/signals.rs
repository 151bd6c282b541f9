//! Handlers of signals.

use std::cell::Cell;
use std::rc::Rc;

use rustix::process::{Signal, getpid, kill_process};

use crate::scene::{Named, Scene, mains, millis};

pub(crate) const ALL: &[&[Named]] = &[mains![
    a_signal_handler_runs_on_the_loop,
    a_second_signal_handler_replaces_the_first,
    a_signal_ends_a_wait,
    signals_run_in_the_order_in_which_they_arrive,
    a_signal_is_ignored_if_its_handler_is_removed_before_its_delivery,
    a_signal_goes_to_the_handler_at_its_delivery,
    a_queued_call_runs_after_its_handler_is_removed,
]];

const SIGNAL: Signal = Signal::USR1;

fn add(s: &Scene, handler: impl FnMut() + 'static) {
    let added = s.add_signal_handler(SIGNAL.as_raw(), handler);
    added.expect("it can be handled");
}

fn remove(s: &Scene) -> bool {
    s.remove_signal_handler(SIGNAL.as_raw())
}

/// Returns a handler that records a word and a count.
fn recording_handler(
    s: &Scene,
    word: &'static str,
    times: &Rc<Cell<u32>>,
) -> impl FnMut() + 'static {
    let (s, times) = (s.clone(), times.clone());
    move || {
        s.record(word);
        times.set(times.get() + 1);
    }
}

/// Sends the signal and waits until its handler has run, and a little longer.
async fn kill(s: &Scene, times: &Cell<u32>) {
    s.record("kill");
    let before = times.get();
    kill_process(getpid(), SIGNAL).expect("it is this process");
    while times.get() == before {
        s.sleep(millis(1)).await;
    }
    s.run_iterations(3).await;
}

async fn a_signal_handler_runs_on_the_loop(s: Scene) {
    let times = Rc::default();
    add(&s, recording_handler(&s, "handler", &times));
    for _ in 0..2 {
        kill(&s, &times).await;
    }
    s.record(remove(&s));
    s.record(remove(&s));
}

async fn a_second_signal_handler_replaces_the_first(s: Scene) {
    let times = Rc::default();
    for word in ["first", "second"] {
        add(&s, recording_handler(&s, word, &times));
    }
    kill(&s, &times).await;
    s.record(remove(&s));
}

async fn a_signal_ends_a_wait(s: Scene) {
    let (promise, future) = s.create_future();
    let (inside, mut promise) = (s.clone(), Some(promise));
    let handler = move || {
        inside.record("handler");
        let promise = promise.take().expect("it is called once");
        promise.set_result("value").expect("awaited");
    };
    add(&s, handler);
    let timer = || kill_process(getpid(), SIGNAL).expect("it is this process");
    s.call_later(millis(5), timer);
    s.record(format!("got-{}", future.await.expect("set")));
    remove(&s);
}

/// Sends a signal to this thread, so that it has arrived on return.
#[allow(unsafe_code, reason = "only libc raises signals")]
fn raise(signal: i32) {
    // SAFETY: the signal has a handler.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Adds a handler that records a word and a count.
fn add_recording_handler(s: &Scene, signal: i32, word: &'static str, times: &Rc<Cell<u32>>) {
    let added = s.add_signal_handler(signal, recording_handler(s, word, times));
    added.expect("it can be handled");
}

/// Waits until the handlers have run this often, and a little longer.
async fn all_signals_arrived(s: &Scene, times: &Cell<u32>, number: u32) {
    while times.get() < number {
        s.sleep(millis(1)).await;
    }
    s.run_iterations(3).await;
}

async fn signals_run_in_the_order_in_which_they_arrive(s: Scene) {
    let times = Rc::default();
    let (hup, usr1, usr2) = (libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2);
    for (signal, word) in [(hup, "hup"), (usr1, "usr1"), (usr2, "usr2")] {
        add_recording_handler(&s, signal, word, &times);
    }
    [usr2, hup, usr1, usr2, hup].into_iter().for_each(raise);
    all_signals_arrived(&s, &times, 5).await;
    for signal in [hup, usr1, usr2] {
        s.remove_signal_handler(signal);
    }
}

async fn a_signal_is_ignored_if_its_handler_is_removed_before_its_delivery(s: Scene) {
    let times = Rc::default();
    add_recording_handler(&s, libc::SIGUSR1, "removed", &times);
    add_recording_handler(&s, libc::SIGUSR2, "kept", &times);
    raise(libc::SIGUSR1);
    raise(libc::SIGUSR2);
    s.record(s.remove_signal_handler(libc::SIGUSR1));
    all_signals_arrived(&s, &times, 1).await;
    s.remove_signal_handler(libc::SIGUSR2);
}

async fn a_signal_goes_to_the_handler_at_its_delivery(s: Scene) {
    let times = Rc::default();
    add_recording_handler(&s, libc::SIGUSR1, "removed", &times);
    raise(libc::SIGUSR1);
    s.record(s.remove_signal_handler(libc::SIGUSR1));
    add_recording_handler(&s, libc::SIGUSR1, "next", &times);
    all_signals_arrived(&s, &times, 1).await;
    s.remove_signal_handler(libc::SIGUSR1);
}

async fn a_queued_call_runs_after_its_handler_is_removed(s: Scene) {
    let times = Rc::default();
    let inside = s.clone();
    let first = move || {
        let removed = inside.remove_signal_handler(libc::SIGUSR2);
        inside.record(format!("first-{removed}"));
    };
    let added = s.add_signal_handler(libc::SIGUSR1, first);
    added.expect("it can be handled");
    add_recording_handler(&s, libc::SIGUSR2, "second", &times);
    raise(libc::SIGUSR1);
    raise(libc::SIGUSR2);
    all_signals_arrived(&s, &times, 1).await;
    s.remove_signal_handler(libc::SIGUSR1);
}
