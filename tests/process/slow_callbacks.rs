//! Debug mode logs slow callbacks with the location that created them.

use std::io::Write;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::*;
use log::{Level, LevelFilter, Log, Metadata, Record};
use sendloop::{Loop, Socket};

/// The duration of a slow callback, and the limit for it.
///
/// Fast callbacks have a limit that every machine meets.
const SLOW: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_millis(5);
const FAR: Duration = Duration::from_secs(30);

/// Keeps what the library logs as a warning or worse.
struct Capture;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn && metadata.target().starts_with("sendloop")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            lines().push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Sets the logger, and forgets earlier lines.
fn start_capture() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&Capture).expect("the only logger");
        log::set_max_level(LevelFilter::Trace);
    });
    lines().clear();
}

fn logged() -> Vec<String> {
    std::mem::take(&mut *lines())
}

fn debug_loop(limit: Duration) -> Loop {
    let event_loop = Loop::builder().debug(true).build().expect("a loop");
    event_loop.set_slow_callback_duration(limit);
    event_loop
}

fn hold() {
    thread::sleep(SLOW);
}

/// Returns the location `after` lines below this call, as the log names it.
#[track_caller]
fn location_below(after: u32) -> String {
    let here = Location::caller();
    format!("{}:{}:", here.file(), here.line() + after)
}

#[track_caller]
fn run_slow_iteration(event_loop: &Loop) {
    event_loop.run_once(Some(SLOW)).expect("an iteration");
}

/// Asserts that one warning was logged, with the kind, the location and the duration.
#[track_caller]
fn assert_one_warning(what: &str, location: &str) {
    let lines_logged = logged();
    assert_eq!(lines_logged.len(), 1, "{lines_logged:?}");
    let expected = format!("WARN a {what} made at {location}");
    assert!(lines_logged[0].starts_with(&expected), "{lines_logged:?}, expected {expected}");
    assert!(lines_logged[0].contains("held the loop for"), "{lines_logged:?}");
}

#[test]
fn slow_callback_is_logged_with_its_location() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    let location = location_below(1);
    event_loop.call_soon(hold);
    run_slow_iteration(&event_loop);
    assert_one_warning("callback", &location);

    let location = location_below(1);
    event_loop.call_later(Duration::from_millis(1), hold);
    run_until(&event_loop, || !lines().is_empty());
    assert_one_warning("callback", &location);

    let location = location_below(1);
    event_loop.call_at(event_loop.time(), hold);
    run_slow_iteration(&event_loop);
    assert_one_warning("callback", &location);
}

#[test]
fn slow_fd_callback_is_logged_with_its_location() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    let (near, far) = Socket::pair().expect("a pair");
    let location = location_below(1);
    event_loop.add_reader(&near, hold).expect("watched");
    far.get_ref().write_all(b"x").expect("room");
    run_slow_iteration(&event_loop);
    assert_one_warning("callback", &location);
    event_loop.remove_reader(&near);
    let location = location_below(1);
    event_loop.add_writer(&near, hold).expect("watched");
    run_slow_iteration(&event_loop);
    assert_one_warning("callback", &location);
    event_loop.remove_writer(&near);
}

#[test]
fn slow_task_step_is_logged_with_the_tasks_location() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    let handle = event_loop.handle();
    let steps = async move {
        hold();
        handle.sleep(Duration::ZERO).await;
        hold();
    };
    let location = location_below(1);
    let task = event_loop.create_task(steps);
    run_slow_iteration(&event_loop);
    assert_one_warning("task", &location);
    run_slow_iteration(&event_loop);
    assert_one_warning("task", &location);
    assert!(task.done());

    let location = location_below(1);
    task.add_done_callback(hold);
    run_slow_iteration(&event_loop);
    assert_one_warning("callback", &location);
}

#[test]
fn slow_step_of_the_main_future_is_logged_with_its_location() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    let location = location_below(1);
    event_loop.run_until_complete(async { hold() });
    assert_one_warning("run_until_complete", &location);
}

#[test]
fn slow_callback_that_panics_is_logged_as_slow() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    event_loop.set_exception_handler(|_| {});
    let location = location_below(1);
    event_loop.call_soon(|| {
        hold();
        panic!("slowly");
    });
    run_slow_iteration(&event_loop);
    assert_one_warning("callback", &location);
}

#[test]
fn slow_remote_call_is_logged_with_its_location() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    let remote = event_loop.remote();
    let location = location_below(1);
    let call = move || remote.call_soon_threadsafe(hold).expect("open");
    thread::spawn(call).join().expect("called");
    run_slow_iteration(&event_loop);
    assert_one_warning("callback", &location);
}

#[test]
fn slow_signal_handler_is_logged_with_its_location() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    let location = location_below(1);
    let set = event_loop.add_signal_handler(libc::SIGUSR1, hold);
    set.expect("set");
    let usr1 = rustix::process::Signal::USR1;
    rustix::process::kill_process(rustix::process::getpid(), usr1).expect("sent");
    // On a slow machine, the loop's own callback for signals may be logged too.
    let expected = format!("WARN a callback made at {location}");
    let count = || lines().iter().filter(|line| line.starts_with(&expected)).count();
    run_until(&event_loop, || count() > 0);
    assert_eq!(count(), 1, "{:?}", logged());
}

/// Runs a slow callback, a slow timer, a slow task and a slow main future.
fn hold_by_every_kind(event_loop: &Loop) {
    event_loop.call_soon(hold);
    event_loop.call_later(Duration::from_millis(1), hold);
    event_loop.create_task(async { hold() });
    event_loop.run_until_complete(async { hold() });
    run_until(event_loop, || event_loop.next_timeout().is_none());
}

#[test]
fn nothing_is_logged_when_debug_mode_is_off() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(LIMIT);
    event_loop.set_debug(false);
    hold_by_every_kind(&event_loop);
    assert_eq!(logged(), Vec::<String>::new());
    event_loop.set_debug(true);
    hold_by_every_kind(&event_loop);
    assert_eq!(logged().len(), 4);
}

#[test]
fn fast_callbacks_are_not_logged() {
    let _test = test();
    start_capture();
    let event_loop = debug_loop(FAR);
    hold_by_every_kind(&event_loop);
    assert_eq!(logged(), Vec::<String>::new());
    // The limit can change at any time. With a limit of zero, everything is slow.
    event_loop.set_slow_callback_duration(Duration::ZERO);
    event_loop.call_soon(|| {});
    run_slow_iteration(&event_loop);
    assert_eq!(logged().len(), 1);
}

#[test]
fn default_slow_callback_duration_is_100_ms() {
    let _test = test();
    start_capture();
    let event_loop = Loop::builder().debug(true).build().expect("a loop");
    let tenth = Duration::from_millis(100);
    event_loop.call_soon(move || thread::sleep(tenth));
    run_slow_iteration(&event_loop);
    assert_eq!(logged().len(), 1);
    let start = Instant::now();
    event_loop.call_soon(move || thread::sleep(tenth / 2));
    run_slow_iteration(&event_loop);
    // If the machine itself was slow, the callback may have been logged.
    if start.elapsed() < tenth {
        assert_eq!(logged(), Vec::<String>::new());
    }
}

/// Runs in a new process for the test below, and prints its state.
#[test]
fn child_prints_its_debug_mode() {
    let _test = test();
    start_capture();
    let event_loop = new_loop();
    event_loop.set_slow_callback_duration(LIMIT);
    event_loop.call_soon(hold);
    run_slow_iteration(&event_loop);
    let by_hand = Loop::builder().debug(false).build().expect("a loop");
    assert!(!by_hand.get_debug());
    println!("debug: {}, {} logged", event_loop.get_debug(), logged().len());
}

#[test]
fn environment_variable_enables_debug_mode() {
    let _test = test();
    let output_of = |value: Option<&str>| {
        let mut child = this_program();
        child.args(["--exact", "slow_callbacks::child_prints_its_debug_mode", "--nocapture"]);
        child.env_remove("SENDLOOP_DEBUG");
        child.envs(value.map(|value| ("SENDLOOP_DEBUG", value)));
        let output = child.output().expect("a child process");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for on in ["1", "yes"] {
        let printed = output_of(Some(on));
        assert!(printed.contains("debug: true, 1 logged"), "{on:?}: {printed}");
    }
    for off in [None, Some("0"), Some("")] {
        let printed = output_of(off);
        assert!(printed.contains("debug: false, 0 logged"), "{off:?}: {printed}");
    }
}
