//! The loop itself: creation, iterations, timers, threads, signals and fd callbacks.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::pending;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};
use sendloop::Loop;

use super::scene::{Scene, play};
use crate::util::pipe;

const ROUNDS: u32 = 12;

/// Starts timers out of order, which record their number.
fn set_timers(scene: &Scene) -> Rc<RefCell<Vec<u32>>> {
    let fired = Rc::new(RefCell::new(Vec::new()));
    let start = scene.event_loop.time();
    for n in (0..ROUNDS).map(|n| n * 5 % ROUNDS) {
        let (fired, deadline) = (fired.clone(), start + Duration::from_millis(2 * u64::from(n)));
        scene.event_loop.call_at(deadline, move || {
            assert!(Instant::now() >= deadline, "the timer fired early");
            fired.borrow_mut().push(n);
        });
    }
    fired
}

#[test]
fn create_and_drop_loops() {
    play(|scene| {
        for round in 0..ROUNDS {
            // With a fixed number of threads, the loop does not read the number of cores from
            // files.
            let event_loop = scene.insist(|| Loop::builder().executor_threads(1).build());
            assert_eq!(event_loop.run_until_complete(async { round }), round);
        }
    });
}

#[test]
fn timers() {
    play(|scene| {
        let fired = set_timers(scene);
        scene.event_loop.run_until_complete(async {
            let waited = scene.event_loop.wait_for(pending::<()>(), Duration::from_millis(30));
            waited.await.expect_err("time passes");
            scene.event_loop.sleep(Duration::from_millis(3)).await;
        });
        assert_eq!(*fired.borrow(), Vec::from_iter(0..ROUNDS));
    });
}

#[test]
fn single_iterations() {
    play(|scene| {
        // Queued callbacks need no event, so they run even if the poller fails.
        for _ in 0..ROUNDS {
            let done = Rc::new(Cell::new(false));
            let queued = done.clone();
            scene.event_loop.call_soon(move || queued.set(true));
            if let Err(error) = scene.event_loop.run_once(None) {
                scene.met_error(&error);
            }
            assert!(done.get());
        }
        let fired = set_timers(scene);
        while fired.borrow().len() < ROUNDS as usize {
            if let Err(error) = scene.event_loop.run_once(None) {
                scene.met_error(&error);
            }
        }
        assert_eq!(*fired.borrow(), Vec::from_iter(0..ROUNDS));
    });
}

/// Runs the loop while a thread sends it calls.
///
/// The thread waits for each answer, so each call finds the loop asleep.
fn answer_a_thread(event_loop: &Loop) {
    let remote = event_loop.remote();
    let thread = thread::spawn(move || {
        let (answer, answered) = mpsc::channel();
        for n in 0..ROUNDS {
            let answer = answer.clone();
            let call = move || answer.send(n).expect("awaited");
            remote.call_soon_threadsafe(call).expect("open");
            assert_eq!(answered.recv(), Ok(n));
        }
        remote.stop();
    });
    event_loop.run_forever();
    thread.join().expect("answered");
}

#[test]
fn threads() {
    play(|scene| {
        answer_a_thread(&scene.event_loop);
        let handle = scene.event_loop.handle();
        scene.event_loop.run_until_complete(async {
            for n in 0..ROUNDS {
                assert_eq!(handle.run_in_executor(move || n).await.expect("ran"), n);
            }
        });
    });
}

#[test]
fn executor() {
    play(|scene| {
        let handle = scene.event_loop.handle();
        scene.event_loop.run_until_complete(async {
            for n in 0..ROUNDS {
                let result = loop {
                    match handle.run_in_executor(move || n).await {
                        Ok(result) => break result,
                        Err(error) => scene.met_error(&error.into()),
                    }
                };
                assert_eq!(result, n);
            }
        });
    });
}

/// Work that waits for other work: the first thread is busy until a second one starts.
#[test]
fn executor_of_two_threads() {
    play(|scene| {
        let event_loop = scene.insist(|| Loop::builder().executor_threads(2).build());
        // Another step covers threads that do not start.
        while event_loop.run_until_complete(event_loop.run_in_executor(|| ())).is_err() {}
        let (answer_sender, answered) = mpsc::channel();
        let waits = event_loop.run_in_executor(move || answered.recv());
        let sends = event_loop.run_in_executor(move || answer_sender.send(5));
        event_loop.run_until_complete(async {
            assert_eq!(waits.await.expect("a job that ran"), Ok(5));
            sends.await.expect("a job that ran").expect("awaited");
            event_loop.shutdown_default_executor().await;
        });
    });
}

/// The loop sleeps for a limited time.
#[test]
fn threads_beside_a_timer() {
    play(|scene| {
        let handle = scene.event_loop.handle();
        let ticking = scene.event_loop.create_task(async move {
            loop {
                handle.sleep(Duration::from_millis(5)).await;
            }
        });
        answer_a_thread(&scene.event_loop);
        assert!(ticking.cancel());
    });
}

#[test]
fn signals() {
    play(|scene| {
        let caught = Rc::new(Cell::new(0));
        scene.insist(|| {
            let (caught, handle) = (caught.clone(), scene.event_loop.handle());
            scene.event_loop.add_signal_handler(libc::SIGUSR1, move || {
                caught.set(caught.get() + 1);
                handle.stop();
            })
        });
        for round in 1..=ROUNDS {
            kill_process(getpid(), Signal::USR1).expect("sent");
            scene.event_loop.run_forever();
            assert_eq!(caught.get(), round);
        }
        assert!(scene.event_loop.remove_signal_handler(libc::SIGUSR1));
    });
}

/// Adds a reader that takes one byte of several per call.
///
/// The loop must call it again for the next byte without a new event. `drive` runs the loop until
/// the reader has all bytes.
fn add_one_byte_reader(scene: &Scene, drive: impl Fn(&Loop, &dyn Fn() -> bool)) {
    let (reader, mut writer) = pipe();
    let bytes = Vec::from_iter(0..ROUNDS as u8);
    writer.write_all(&bytes).expect("written");
    let read = Rc::new(RefCell::new(Vec::new()));
    scene.insist(|| {
        let (read, handle) = (read.clone(), scene.event_loop.handle());
        let mut from = rustix::io::dup(&reader).map(File::from)?;
        scene.event_loop.add_reader(&reader, move || {
            let mut byte = [0];
            from.read_exact(&mut byte).expect("readable");
            read.borrow_mut().extend(byte);
            handle.stop();
        })
    });
    drive(&scene.event_loop, &|| read.borrow().len() == bytes.len());
    assert!(scene.event_loop.remove_reader(&reader));
    assert_eq!(*read.borrow(), bytes);
}

#[test]
fn fd_callbacks() {
    play(|scene| {
        add_one_byte_reader(scene, |event_loop, done| {
            while !done() {
                event_loop.run_forever();
            }
        });
    });
}

/// Each run calls the reader, also after the kernel refused to rearm at the end of the run before.
#[test]
fn fd_callbacks_in_runs_until_idle() {
    play(|scene| {
        add_one_byte_reader(scene, |event_loop, done| {
            for _ in 0..ROUNDS {
                assert!(!done());
                event_loop.run_until_idle().expect("the poller works");
            }
            assert!(done());
        });
    });
}

/// Runs the loop in a foreign one, which polls its descriptor alone.
fn embed(scene: &Scene, done: &dyn Fn() -> bool) {
    while !done() {
        let mut fds = [PollFd::new(&scene.event_loop, PollFlags::IN)];
        poll(&mut fds, None).expect("polled");
        if let Err(error) = scene.event_loop.run_once(Some(Duration::ZERO)) {
            scene.met_error(&error);
        }
    }
}

#[test]
fn fd_callbacks_in_a_foreign_loop() {
    play(|scene| add_one_byte_reader(scene, |_, done| embed(scene, done)));
}

#[test]
fn timers_in_a_foreign_loop() {
    play(|scene| {
        let fired = set_timers(scene);
        embed(scene, &|| fired.borrow().len() == ROUNDS as usize);
        assert_eq!(*fired.borrow(), Vec::from_iter(0..ROUNDS));
    });
}
