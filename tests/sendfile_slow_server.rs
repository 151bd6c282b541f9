//! A file whose server takes its time for all that it is asked, as one far away does: what its size is, what its kind is.
#![cfg(target_os = "linux")]

#[path = "util/slow_fs.rs"]
mod slow_fs;
mod util;

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use sendloop::{Loop, SendFile};
use slow_fs::SlowFs;
use util::ticker::Ticker;
use util::*;

const DELAY: Duration = Duration::from_millis(200);

/// Sends some of such a file, and gives how late a ticker beside it was.
#[track_caller]
fn lateness_of(
    offset: u64,
    options: fn(SendFile<'_, UnixStream, File>) -> SendFile<'_, UnixStream, File>,
) -> Duration {
    let fs = SlowFs::mount_slow_throughout(ODD as u64, DELAY);
    let event_loop = new_loop();
    let (near, far) = unix();
    let received = reader(far);
    let file = fs.open();
    let ticker = Ticker::start(&event_loop);
    let transfer = event_loop.sock_sendfile(&near, &file).offset(offset);
    let sent = event_loop.run_until_complete(options(transfer));
    // The last tick may still wait to be told.
    event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(5)));
    drop(near);
    let received = received.join().expect("read");
    assert_eq!(sent.expect("sent"), received.len() as u64);
    assert_eq!(position(&file), offset + received.len() as u64);
    assert_content(&received, offset, received.len());
    ticker.worst()
}

#[test]
fn it_is_not_asked_by_the_loops_thread() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    for late in [
        lateness_of(0, |all| all),
        lateness_of(9, |some| some.count(1000).header(b"")),
        lateness_of(0, |many| many.count(3 << 20)),
    ] {
        assert!(late < DELAY / 2, "{late:?}");
    }
}

/// That the test above can fail.
#[test]
fn without_prefetch_it_is() {
    let _test = test();
    if !slow_fs::available() || FORCED_FALLBACK {
        return;
    }
    let late = lateness_of(0, |all| all.prefetch(false));
    assert!(late > DELAY / 2, "{late:?}");
}

#[test]
fn giving_up_what_no_thread_had_begun_closed_it_on_the_loops_thread() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount_slow_throughout(ODD as u64, DELAY);
    let event_loop = Loop::builder().executor_threads(1).build().expect("a loop");
    let (tell, told) = mpsc::channel();
    let busy = event_loop.run_in_executor(move || told.recv().expect("told"));
    let (near, _far) = unix();
    let file = fs.open();
    let ticker = Ticker::start(&event_loop);
    let transfer = event_loop.sock_sendfile(&near, &file);
    let transfer = event_loop.wait_for(transfer, Duration::from_millis(20));
    let given_up = event_loop.run_until_complete(transfer);
    given_up.expect_err("nobody reads the file");
    event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(5)));
    let late = ticker.worst();
    tell.send(()).expect("it waits");
    event_loop.run_until_complete(busy).expect("no panic");
    assert!(late < DELAY / 2, "{late:?}");
}
