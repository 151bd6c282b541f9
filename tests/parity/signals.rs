//! Handlers of signals.

use std::cell::Cell;
use std::rc::Rc;

use rustix::process::{Signal, getpid, kill_process};

use crate::scene::{Named, Scene, mains, millis};

pub(crate) const ALL: &[&[Named]] = &[mains![
    a_signal_handler_runs_on_the_loop,
    a_second_signal_handler_replaces_the_first,
    a_signal_ends_a_wait,
]];

const SIGNAL: Signal = Signal::USR1;

fn add(s: &Scene, handler: impl FnMut() + 'static) {
    let added = s.add_signal_handler(SIGNAL.as_raw(), handler);
    added.expect("it can be handled");
}

fn remove(s: &Scene) -> bool {
    s.remove_signal_handler(SIGNAL.as_raw())
}

/// A handler that says a word and counts.
fn heard(s: &Scene, word: &'static str, times: &Rc<Cell<u32>>) -> impl FnMut() + 'static {
    let (s, times) = (s.clone(), times.clone());
    move || {
        s.say(word);
        times.set(times.get() + 1);
    }
}

/// Sends the signal and waits until a handler has heard it, a little longer than that.
async fn kill(s: &Scene, times: &Cell<u32>) {
    s.say("kill");
    let before = times.get();
    kill_process(getpid(), SIGNAL).expect("it is this process");
    while times.get() == before {
        s.sleep(millis(1)).await;
    }
    s.turns(3).await;
}

async fn a_signal_handler_runs_on_the_loop(s: Scene) {
    let times = Rc::default();
    add(&s, heard(&s, "handler", &times));
    for _ in 0..2 {
        kill(&s, &times).await;
    }
    s.say(remove(&s));
    s.say(remove(&s));
}

async fn a_second_signal_handler_replaces_the_first(s: Scene) {
    let times = Rc::default();
    for word in ["first", "second"] {
        add(&s, heard(&s, word, &times));
    }
    kill(&s, &times).await;
    s.say(remove(&s));
}

async fn a_signal_ends_a_wait(s: Scene) {
    let (promise, future) = s.create_future();
    let (inside, mut promise) = (s.clone(), Some(promise));
    let handler = move || {
        inside.say("handler");
        let promise = promise.take().expect("it is called once");
        promise.set_result("value").expect("awaited");
    };
    add(&s, handler);
    let timer = || kill_process(getpid(), SIGNAL).expect("it is this process");
    s.call_later(millis(5), timer);
    s.say(format!("got-{}", future.await.expect("set")));
    remove(&s);
}
