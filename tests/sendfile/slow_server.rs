//! A file whose server is slow for every request, also for the size and the kind.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::slow_fs::{self, SlowFs};
use crate::util::ticker::Ticker;
use crate::util::*;
use sendloop::{Loop, SendFile};

const DELAY: Duration = Duration::from_millis(200);

/// Sends a part of a file from a slow server. Returns the worst lateness of a ticker beside it.
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
    // The ticker may not have recorded its last tick yet.
    event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(5)));
    drop(near);
    let received = received.join().expect("read");
    assert_eq!(sent.expect("sent"), received.len() as u64);
    assert_eq!(position(&file), offset + received.len() as u64);
    assert_content(&received, offset, received.len());
    ticker.worst()
}

#[test]
fn loop_thread_never_waits_for_a_slow_server() {
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

/// Proves that the test above can fail.
#[test]
fn without_prefetch_the_loop_thread_waits_for_a_slow_server() {
    let _test = test();
    if !slow_fs::available() || FORCED_FALLBACK {
        return;
    }
    let late = lateness_of(0, |all| all.prefetch(false));
    assert!(late > DELAY / 2, "{late:?}");
}

#[test]
fn cancelled_prefetch_closes_its_file_on_an_executor_thread() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount_slow_throughout(ODD as u64, DELAY);
    let event_loop = Loop::builder().executor_threads(1).build().expect("a loop");
    let (release, released) = mpsc::channel();
    let busy = event_loop.run_in_executor(move || released.recv().expect("told"));
    let (near, _far) = unix();
    let file = fs.open();
    let ticker = Ticker::start(&event_loop);
    let transfer = event_loop.sock_sendfile(&near, &file);
    let transfer = event_loop.wait_for(transfer, Duration::from_millis(20));
    let cancelled = event_loop.run_until_complete(transfer);
    cancelled.expect_err("no thread reads the file");
    event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(5)));
    let late = ticker.worst();
    release.send(()).expect("it waits");
    event_loop.run_until_complete(busy).expect("no panic");
    assert!(late < DELAY / 2, "{late:?}");
}
