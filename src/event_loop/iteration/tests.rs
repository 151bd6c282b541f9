use std::future::pending;
use std::mem;
use std::panic::Location;
use std::sync::{Mutex, mpsc};

use log::{LevelFilter, Log, Metadata, Record};

use super::*;
use crate::clock::Clock;
use crate::event_loop::{Loop, LoopHandle};
use crate::socket::Socket;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the lines about a manual clock whose next timer this file set. Other tests of this binary
/// log too.
struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        if line.contains("manual clock") && line.contains(file!()) {
            LINES.lock().expect("whole").push(line);
        }
    }

    fn flush(&self) {}
}

const HOUR: Duration = Duration::from_secs(3600);

fn new_loop(clock: &Clock) -> Loop {
    let built = Loop::builder().clock(clock.clone()).build();
    built.expect("a loop")
}

/// Runs the loop for longer than the limit, and returns the lines that it logs.
fn logged(event_loop: &Loop) -> Vec<String> {
    for _ in 0..8 {
        event_loop.run_once(Some(STANDSTILL_LIMIT / 4)).expect("an iteration");
    }
    mem::take(&mut LINES.lock().expect("whole"))
}

/// Sets a timer, and returns the location of the call.
type SetTimer = fn(&LoopHandle) -> &'static Location<'static>;

#[track_caller]
fn here() -> &'static Location<'static> {
    Location::caller()
}

#[test]
fn stalled_manual_clock_is_logged_once() {
    log::set_logger(&Capture).expect("the only logger");
    log::set_max_level(LevelFilter::Warn);
    let ways: [SetTimer; 3] = [
        |handle| (handle.call_later(HOUR, || {}), here()).1,
        |handle| (handle.create_task(handle.sleep(HOUR)), here()).1,
        |handle| {
            let (waiting, location) = (handle.wait_for(pending::<()>(), HOUR), here());
            handle.create_task(waiting);
            location
        },
    ];
    for set_timer in ways {
        let event_loop = new_loop(&Clock::manual());
        event_loop.call_later(HOUR * 2, || {});
        let location = set_timer(&event_loop);
        let lines = logged(&event_loop);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let location = format!("{}:{}:", location.file(), location.line());
        assert!(lines[0].contains(&location), "{lines:?} without {location}");
        assert_eq!(logged(&event_loop), [""; 0]);
    }
    // One long wait, with only the descriptor for Ctrl-C.
    let event_loop = new_loop(&Clock::manual());
    event_loop.enable_interrupt().expect("registered");
    event_loop.call_later(HOUR, || {});
    // The poller reports a new descriptor once.
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    event_loop.run_once(None).expect("an iteration");
    assert_eq!(LINES.lock().expect("whole").len(), 1);
    LINES.lock().expect("whole").clear();
    not_logged();
}

/// Checks that a loop logs nothing if something else may wake it.
fn not_logged() {
    for clock in [Clock::real(), Clock::manual()] {
        let event_loop = new_loop(&clock);
        assert_eq!(logged(&event_loop), [""; 0]);
        if clock.is_real() {
            event_loop.call_later(HOUR, || {});
            assert_eq!(logged(&event_loop), [""; 0]);
        }
    }
    let event_loop = new_loop(&Clock::manual());
    event_loop.call_later(HOUR, || {});
    let (release, released) = mpsc::channel::<()>();
    let job = event_loop.run_in_executor(move || released.recv().is_err());
    assert_eq!(logged(&event_loop), [""; 0]);
    drop(release);
    assert!(event_loop.run_until_complete(job).expect("ran"));
    assert_eq!(logged(&event_loop).len(), 1);

    // The real length of a wait is not exact, so this test counts the waits itself.
    let clock = Clock::manual();
    let event_loop = new_loop(&clock);
    event_loop.call_later(HOUR, || {});
    let wait_half = || event_loop.inner.count_wait(STANDSTILL_LIMIT / 2);
    for _ in 0..4 {
        wait_half();
        clock.advance(Duration::from_secs(1));
        event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    }
    wait_half();
    assert_eq!(mem::take(&mut *LINES.lock().expect("whole")), [""; 0]);
    wait_half();
    assert_eq!(mem::take(&mut *LINES.lock().expect("whole")).len(), 1);

    let (near, _far) = Socket::pair().expect("a pair");
    let handle = event_loop.handle();
    event_loop.create_task(async move { handle.sock_recv(&near, 1).await });
    assert_eq!(logged(&event_loop), [""; 0]);
}
