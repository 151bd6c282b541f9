//! A panic that no task retrieves reaches the exception handler once.

use std::cell::RefCell;
use std::process::Stdio;
use std::rc::Rc;

use crate::util::*;
use sendloop::{ExceptionContext, Loop, Socket};

fn record_exceptions(event_loop: &Loop) -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let recorded = reports.clone();
    event_loop
        .set_exception_handler(move |context| recorded.borrow_mut().push(context.to_string()));
    reports
}

#[test]
fn unretrieved_panic_is_reported_once_when_the_task_is_dropped() {
    let _test = test();
    let event_loop = new_loop();
    let reports = record_exceptions(&event_loop);
    let kept = event_loop.create_task(async { panic!("kept") });
    let taken = event_loop.create_task(async { panic!("taken") });
    drop(event_loop.create_task(async { panic!("detached") }));
    event_loop.run_until_complete(taken).expect_err("a panic");
    assert_eq!(reports.borrow().len(), 1);
    assert!(
        reports.borrow()[0].contains("detached") && reports.borrow()[0].contains("exceptions.rs")
    );
    drop(kept);
    assert_eq!(reports.borrow().len(), 2);
    assert!(reports.borrow()[1].contains("kept"));
}

#[test]
fn panics_in_destructors_are_reported_wherever_the_loop_drops() {
    let _test = test();
    let event_loop = new_loop();
    let reports = record_exceptions(&event_loop);
    let panics_on_drop = PanicsOnDrop;
    let task = event_loop.create_task(async move {
        let _panics_on_drop = panics_on_drop;
        std::future::pending::<()>().await;
    });
    event_loop.run_until_complete(async {});
    assert!(task.cancel() && task.cancelled());
    assert_eq!(reports.borrow().len(), 1);
    let (soon, later) = (PanicsOnDrop, PanicsOnDrop);
    event_loop.call_soon(move || drop(soon));
    event_loop.call_later(std::time::Duration::from_secs(9), move || drop(later));
    drop(event_loop);
    assert_eq!(reports.borrow().len(), 3);
}

#[test]
fn panic_in_the_exception_handler_is_harmless() {
    let _test = test();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    event_loop.set_exception_handler(move |context| {
        handle.default_exception_handler(context);
        handle.call_exception_handler(ExceptionContext::new("from inside"));
        panic!("again");
    });
    event_loop.call_soon(|| panic!("first"));
    event_loop.call_soon(|| panic!("second"));
    event_loop.run_until_complete(async {});
    event_loop.clear_exception_handler();
    event_loop.call_exception_handler(ExceptionContext::new("to the log"));
}

#[test]
fn replaced_handler_may_panic_in_its_destructor() {
    let _test = test();
    let event_loop = new_loop();
    let (handle, panics_on_drop) = (event_loop.handle(), PanicsOnDrop);
    event_loop.set_exception_handler(move |_| {
        let _panics_on_drop = &panics_on_drop;
        handle.clear_exception_handler();
    });
    event_loop.call_soon(|| panic!("first"));
    event_loop.run_until_complete(async {});
    let panics_on_drop = PanicsOnDrop;
    event_loop.set_exception_handler(move |_| {
        let _panics_on_drop = &panics_on_drop;
    });
    drop(event_loop);
}

#[test]
fn handler_receives_exceptions_that_the_program_reports() {
    let _test = test();
    let event_loop = new_loop();
    let reports = record_exceptions(&event_loop);
    event_loop.call_exception_handler(ExceptionContext::new("mine"));
    assert_eq!(*reports.borrow(), ["mine"]);
}

#[test]
fn debug_mode_refuses_blocking_sockets() {
    let _test = test();
    let event_loop = new_loop();
    assert!(!event_loop.get_debug());
    let (near, _far) = Socket::pair().expect("a pair");
    near.get_ref().set_nonblocking(false).expect("set");
    event_loop.set_debug(true);
    let file = file(10);
    event_loop.run_until_complete(async {
        let error = event_loop.sock_sendall(&near, b"x").await.expect_err("blocking");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let error = event_loop.sock_sendfile(&near, &file).await.expect_err("blocking");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        event_loop.set_debug(false);
        event_loop.sock_sendall(&near, b"x").await.expect("sent");
    });
    assert!(Loop::builder().debug(true).build().expect("a loop").get_debug());
}

const SCENARIO: &str = "SENDLOOP_SCENARIO";

/// Writes each record to standard error, unless it filters all of them out.
struct Logger {
    filters: bool,
}

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        !self.filters
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("logged {}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Does nothing in an ordinary run. With a scenario in the environment it is one of the processes
/// of the test below.
#[test]
fn scenario() {
    let Ok(name) = std::env::var(SCENARIO) else {
        return;
    };
    if name != "none" {
        let logger = Logger { filters: name == "filter" };
        log::set_logger(Box::leak(Box::new(logger))).expect("the only logger");
        log::set_max_level(match name.as_str() {
            "off" => log::LevelFilter::Off,
            _ => log::LevelFilter::Error,
        });
    }
    let event_loop = new_loop();
    event_loop.call_exception_handler(ExceptionContext::new("mine"));
    drop(event_loop.create_task(async { panic!("detached") }));
    event_loop.run_until_complete(async {});
}

/// Runs the scenario in a new process, and returns the lines about its exceptions.
#[track_caller]
fn reported(name: &str, stderr: Stdio) -> Vec<String> {
    let mut command = this_program();
    command.args(["--exact", "exceptions::scenario", "--nocapture"]);
    let command = command.env(SCENARIO, name).stderr(stderr);
    let output = command.output().expect("a child process");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    let about = |line: &&str| line.contains("mine") || line.contains("nobody took");
    text.lines().filter(about).map(str::to_owned).collect()
}

#[test]
fn exceptions_go_to_standard_error_if_the_log_is_off() {
    let _test = test();
    for name in ["none", "off"] {
        let lines = reported(name, Stdio::piped());
        assert_eq!(lines.len(), 2, "{name}: {lines:?}");
        assert_eq!(lines[0], "sendloop: mine");
        assert!(
            lines[1].starts_with("sendloop: panic in a task whose result nobody took: detached")
        );
        assert!(lines[1].contains("exceptions.rs"));
    }
    let lines = reported("logger", Stdio::piped());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("logged ERROR: ")));
    assert_eq!(reported("filter", Stdio::piped()), [""; 0]);
    // A failed write to standard error does not end the process.
    let unwritable = std::fs::File::open("/dev/null").expect("open");
    assert_eq!(reported("none", unwritable.into()), [""; 0]);
}
