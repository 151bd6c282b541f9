//! Defects of earlier versions of sendfile. Each test states the correct behaviour.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::ptr;
use std::sync::mpsc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::{Duration, Instant};

use crate::disk::cold;
use crate::mounts;
use crate::slow_fs::{self, Pages, SlowFs};
use crate::util::*;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use sendloop::{Loop, SendFile, SendfileNotAvailableError, SendfilePhase, Socket};

const MIB: usize = 1 << 20;

/// Returns a Unix pair whose far end the test reads itself.
fn stream() -> (Socket<UnixStream>, UnixStream) {
    let (near, far) = unix();
    far.set_nonblocking(true).expect("set");
    (near, far)
}

/// Reads the available bytes.
fn drain(mut far: &UnixStream) {
    let mut some = [0; 64 << 10];
    while let Ok(1..) = far.read(&mut some) {}
}

/// Runs a transfer of `len` bytes. Returns the most bytes that one poll moved. Calls `after_step`
/// after each step.
#[track_caller]
fn max_sent_in_one_poll(
    event_loop: &Loop,
    transfer: SendFile<'_, UnixStream, std::fs::File>,
    len: usize,
    mut after_step: impl FnMut(),
) -> u64 {
    let sent = Cell::new(0);
    let on_progress = |total| {
        sent.set(total);
        after_step();
    };
    let mut transfer = pin!(transfer.progress(on_progress).into_future());
    let mut most = 0;
    let all = event_loop.run_until_complete(poll_fn(|cx| {
        let before = sent.get();
        let polled = transfer.as_mut().poll(cx);
        most = most.max(sent.get() - before);
        polled
    }));
    assert_eq!(all.expect("sent"), len as u64);
    most
}

/// Returns a loop whose executor has one thread.
fn single_threaded_loop() -> Loop {
    let event_loop = Loop::builder().executor_threads(1).build();
    event_loop.expect("a loop")
}

/// Waits until the only executor thread has done its earlier jobs.
fn wait_for_executor(event_loop: &Loop) {
    let (done, ended) = mpsc::channel();
    drop(event_loop.run_in_executor(move || done.send(())));
    ended.recv().expect("run");
}

#[test]
fn prefetched_file_is_sent_in_several_steps() {
    let _test = test();
    let Some(overlay) = mounts::overlay(&[]) else {
        return;
    };
    let mut file = overlay.file();
    file.write_all(&content(0, 16 * MIB)).expect("room");
    let event_loop = single_threaded_loop();
    let (near, far) = stream();
    // Blocks that the socket takes at once.
    let transfer = event_loop.sock_sendfile(&near, &file).chunk(64 << 10);
    let most = max_sent_in_one_poll(&event_loop, transfer, 16 * MIB, || {
        drain(&far);
        // The next block is in memory before this one is sent.
        wait_for_executor(&event_loop);
    });
    // 2 MiB, and what the last step adds.
    assert!(most <= (2 << 20) + (64 << 10), "{most}");
}

#[test]
fn one_byte_chunks_yield_to_other_tasks() {
    let _test = test();
    let file = file(5000);
    let event_loop = new_loop();
    let (near, far) = stream();
    let transfer = event_loop.sock_sendfile(&near, &file).chunk(1);
    let most = max_sent_in_one_poll(&event_loop, transfer, 5000, || drain(&far));
    assert!(most <= 128, "{most}");
}

#[test]
fn small_chunks_share_a_page_cache_probe() {
    let _test = test();
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary file");
    file.write_all(&content(0, MIB)).expect("room");
    let event_loop = new_loop();
    let (near, far) = stream();
    let transfer = event_loop.sock_sendfile(&near, &file).chunk(1000);
    max_sent_in_one_poll(&event_loop, transfer, MIB, || drain(&far));
    let stats = event_loop.stats();
    // Two for each 256 KiB, and some more after each wait for the socket.
    let probes = 4 + stats.sendfile_would_block;
    assert!(stats.sendfile_probes <= 3 * probes, "{stats:?}");
}

/// Blocks the only executor thread until the returned value is dropped.
fn block_executor(event_loop: &Loop) -> mpsc::Sender<()> {
    let (free, wait) = mpsc::channel::<()>();
    drop(event_loop.run_in_executor(move || wait.recv()));
    free
}

#[test]
fn header_of_a_cancelled_transfer_is_sent_at_once() {
    let _test = test();
    let mut times = Vec::new();
    for cancelled in [false, true, false, true] {
        let event_loop = single_threaded_loop();
        let _busy = block_executor(&event_loop);
        let (near, mut far) = tcp();
        let near = Socket::new(near).expect("non-blocking");
        let file = cold(MIB);
        let start = Instant::now();
        let transfer = event_loop.sock_sendfile(&near, &file).header(b"alone");
        let soon = Duration::from_millis(1);
        if cancelled {
            let waited = event_loop.wait_for(transfer, soon);
            event_loop.run_until_complete(waited).expect_err("busy");
        } else {
            let stalled = event_loop.run_until_complete(transfer.stall_timeout(soon));
            let error = stalled.expect_err("busy");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        let mut header = [0; 5];
        far.read_exact(&mut header).expect("the bytes in time");
        times.push(start.elapsed());
        assert_eq!(&header, b"alone");
    }
    // Other load may make single rounds slow.
    let soonest = times.iter().min().expect("some");
    assert!(*soonest < Duration::from_millis(100), "{times:?}");
}

#[test]
fn prefetch_without_executor_does_not_fail_the_transfer() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let Some(overlay) = mounts::overlay(&[]) else {
        return;
    };
    let mut file = overlay.file();
    file.write_all(&content(0, ODD)).expect("room");
    let event_loop = new_loop();
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let received = reader(far);
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    assert_eq!(sent.expect("sendfile serves it"), ODD as u64);
    drop(near);
    assert_content(&received.join().expect("read"), 0, ODD);
}

#[test]
fn slow_file_is_not_read_past_the_count() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount(MIB as u64, Duration::from_millis(1), Pages::Direct);
    let event_loop = single_threaded_loop();
    let (near, far) = stream();
    let file = fs.open();
    let transfer = event_loop.sock_sendfile(&near, &file).count(4096);
    assert_eq!(event_loop.run_until_complete(transfer).expect("sent"), 4096);
    wait_for_executor(&event_loop);
    assert_eq!(fs.reads(), 1);
    drop(near);
    assert_content(&read_rest(far), 0, 4096);
}

#[test]
fn direct_file_without_fallback_sends_nothing() {
    let _test = test();
    let file = cold(MIB);
    let flags = fcntl_getfl(&file).expect("flags");
    fcntl_setfl(&file, flags | OFlags::DIRECT).expect("known there");
    for prefetch in [true, false] {
        let event_loop = new_loop();
        let (near, far) = stream();
        let transfer = event_loop.sock_sendfile(&near, &file).header(b"header");
        let transfer = transfer.prefetch(prefetch).fallback(false);
        // One call would send everything, so the transfer did not inspect the file.
        let error = event_loop.run_until_complete(transfer.count(MIB as u64));
        let error = error.expect_err("O_DIRECT");
        let inner = error.get_ref().expect("an inner error");
        let inner = inner.downcast_ref::<SendfileNotAvailableError>();
        let inner = inner.expect("its type");
        assert_eq!((inner.phase(), inner.sent()), (SendfilePhase::Inspect, 0));
        assert_eq!(position(&file), 0);
        drop(near);
        assert!(read_rest(far).is_empty());
    }
}

#[test]
fn stall_timeout_does_not_end_a_ready_transfer_of_a_closed_loop() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let file = file(4 * MIB);
    let (near, far) = stream();
    let event_loop = new_loop();
    let handle = event_loop.handle();
    event_loop.close();
    let transfer = handle.sock_sendfile(&near, &file).chunk(64 << 10);
    let transfer = transfer.stall_timeout(Duration::from_secs(50));
    let mut transfer = pin!(transfer.progress(|_| drain(&far)).into_future());
    let noop = &mut Context::from_waker(Waker::noop());
    let result = (0..100).find_map(|_| match transfer.as_mut().poll(noop) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    });
    let sent = result.expect("a transfer without a wait").expect("sent");
    assert_eq!(sent, 4 << 20);
}

#[test]
fn transfer_that_yields_in_its_first_poll_has_begun() {
    let _test = test();
    let event_loop = new_loop();
    let file = file(100);
    let (near, far) = stream();
    let noop = &mut Context::from_waker(Waker::noop());
    let transfer = || event_loop.sock_sendfile(&near, &file).offset(5).count(1);
    let begin = || Box::pin(transfer().into_future());
    // After so many transfers, one begins when the budget of this step is used up.
    let first = (0..1000)
        .map(|_| begin())
        .find_map(|mut transfer| transfer.as_mut().poll(noop).is_pending().then_some(transfer))
        .expect("the budget is limited");
    let second = pin!(event_loop.sock_sendall(&near, b"x")).poll(noop);
    assert!(second.is_pending(), "the second transfer waits for the write lock");
    (&file).seek(SeekFrom::Start(77)).expect("a position");
    drain(&far);
    drop(first);
    assert_eq!(position(&file), 5);
}

#[test]
fn try_sendfile_far_past_the_end_sends_nothing() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let file = file(100);
    let event_loop = new_loop();
    let (near, _far) = stream();
    for offset in [100, 5000, 1 << 44, i64::MAX as u64 - 5, i64::MAX as u64] {
        let sent = event_loop.try_sendfile(&near, &file, offset, 10);
        assert_eq!(sent.expect("the end"), 0, "{offset}");
    }
}

#[test]
fn cancelled_transfers_close_descriptors_despite_a_busy_executor() {
    let _test = test();
    let event_loop = single_threaded_loop();
    let _busy = block_executor(&event_loop);
    let file = cold(MIB);
    let (near, _far) = stream();
    let before = descriptors();
    for _ in 0..20 {
        let transfer = event_loop.sock_sendfile(&near, &file);
        let cancelled = event_loop.wait_for(transfer, Duration::ZERO);
        event_loop.run_until_complete(cancelled).expect_err("busy");
    }
    assert_eq!(descriptors(), before);
}

/// A waker whose clone panics.
#[expect(unsafe_code, reason = "no safe waker has a clone that panics")]
fn waker_without_clone() -> Waker {
    fn clone(_: *const ()) -> RawWaker {
        panic!("an expected panic of a clone");
    }
    fn nothing(_: *const ()) {}
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
    // SAFETY: the functions never use the pointer.
    unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &TABLE)) }
}

#[test]
fn position_is_exact_after_a_panic_in_the_queue_for_the_write_lock() {
    let _test = test();
    let event_loop = new_loop();
    let mut file = file(ODD);
    file.seek(SeekFrom::Start(77)).expect("a position");
    let (near, _far) = small_buffer_unix();
    let noop = &mut Context::from_waker(Waker::noop());
    let bytes = vec![0; 1 << 20];
    let mut sendall = pin!(event_loop.sock_sendall(&near, &bytes));
    assert!(sendall.as_mut().poll(noop).is_pending());
    let transfer = event_loop.sock_sendfile(&near, &file).offset(5);
    let mut transfer = Box::pin(transfer.into_future());
    let waker = waker_without_clone();
    let poll = || transfer.as_mut().poll(&mut Context::from_waker(&waker));
    catch_unwind(AssertUnwindSafe(poll)).expect_err("the panic of the clone");
    drop(transfer);
    assert_eq!(position(&file), 5);
}
