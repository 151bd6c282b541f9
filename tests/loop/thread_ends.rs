//! Loops in the destructors of thread locals, which run while their thread ends.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, get_running_loop};

type Last = Box<dyn FnOnce()>;

/// Runs a closure when its thread ends.
#[derive(Default)]
struct AtThreadEnd(Cell<Option<Last>>);

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}

thread_local! {
    static LAST: AtThreadEnd = AtThreadEnd::default();
    static KEPT: RefCell<Option<Loop>> = const { RefCell::new(None) };
}

fn at_thread_end(last: impl FnOnce() + 'static) {
    LAST.with(|it| it.0.set(Some(Box::new(last))));
}

/// Uses each part of a loop, and returns a sum of the results.
fn use_all(event_loop: &Loop) -> u32 {
    let (promise, result) = event_loop.create_future();
    let remote = event_loop.remote();
    event_loop.run_until_complete(async {
        let handle = get_running_loop().expect("a running loop");
        let worked = handle.run_in_executor(|| 1);
        let task = handle.create_task({
            let sleep = handle.sleep(Duration::from_millis(1));
            async move {
                sleep.await;
                worked.await.expect("no panic")
            }
        });
        remote.call_soon_threadsafe(|| assert!(get_running_loop().is_some())).expect("open");
        handle.call_soon(move || promise.set_result(10).expect("awaited"));
        let (socket, far) = unix();
        let waits = handle.create_task({
            let handle = handle.clone();
            async move { handle.sock_recv(&socket, 1).await.expect("received") }
        });
        handle.sleep(Duration::ZERO).await;
        drop(far);
        assert!(waits.await.expect("no panic").is_empty());
        task.await.expect("no panic") + result.await.expect("set")
    })
}

fn run_and_report(sender: &Sender<u32>) {
    let event_loop = new_loop();
    let sum = use_all(&event_loop);
    assert!(get_running_loop().is_none());
    sender.send(sum).expect("received");
}

#[test]
fn loop_runs_in_a_thread_local_destructor() {
    let _test = test();
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || at_thread_end(move || run_and_report(&sender)));
    thread.join().expect("no panic");
    assert_eq!(receiver.recv(), Ok(11));
}

#[test]
fn loop_runs_in_thread_local_destructors_of_any_order() {
    let _test = test();
    for is_first in [true, false] {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            // The order of the destructors is that of the first uses, or the other way round.
            let (early, late) = (sender.clone(), sender);
            if is_first {
                at_thread_end(move || run_and_report(&early));
                run_and_report(&late);
            } else {
                run_and_report(&late);
                at_thread_end(move || run_and_report(&early));
            }
        });
        thread.join().expect("no panic");
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [11, 11]);
    }
}

#[test]
fn thread_local_loop_runs_and_drops_in_its_destructor() {
    let _test = test();
    for is_first in [true, false] {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            let uses = || {
                let event_loop = new_loop();
                use_all(&event_loop);
                event_loop.create_task(std::future::pending::<()>());
                event_loop
            };
            let last = move |event_loop: Option<Loop>| {
                let event_loop = event_loop.expect("kept");
                sender.send(use_all(&event_loop)).expect("received");
            };
            if is_first {
                let event_loop = uses();
                at_thread_end(move || last(Some(event_loop)));
            } else {
                at_thread_end(move || {
                    let kept = KEPT.try_with(RefCell::take).ok().flatten();
                    last(kept.or_else(|| Some(new_loop())));
                });
                KEPT.set(Some(uses()));
            }
        });
        thread.join().expect("no panic");
        assert_eq!(receiver.recv(), Ok(11));
    }
}
