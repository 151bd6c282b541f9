//! The loop's thread does not read ranges that are missing in the page cache.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use crate::disk::cold;
use crate::mounts;
use crate::slow_fs::{self, Pages, SlowFs};
use crate::util::ticker::Ticker;
use crate::util::*;
use rustix::fs::{Advice, fadvise};
use sendloop::Loop;

const DELAY: Duration = Duration::from_millis(200);
const MIB: usize = 1 << 20;
/// The most that a timer may be late during a cold transfer: half of the time of one read.
///
/// On an idle machine it is a tenth of that.
const MAX_LATENESS: Duration = Duration::from_millis(100);

/// Sends a whole file beside a ticker. Returns the received bytes and the ticker's worst lateness.
#[track_caller]
fn send_beside_ticker(event_loop: &Loop, file: &File, prefetch: bool) -> (Vec<u8>, Duration) {
    let (near, far) = unix();
    let received = reader(far);
    let ticker = Ticker::start(event_loop);
    let transfer = event_loop.sock_sendfile(&near, file).prefetch(prefetch);
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    // The ticker may not have recorded its last tick yet.
    event_loop.run_until_complete(event_loop.sleep(Duration::from_millis(5)));
    drop(near);
    let received = received.join().expect("read");
    assert_eq!(sent, received.len() as u64);
    assert_eq!(position(file), sent);
    println!("prefetch {prefetch}: {:?} late at worst", ticker.worst());
    (received, ticker.worst())
}

#[test]
fn slow_file_system_does_not_delay_timers() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    for pages in [Pages::Cached, Pages::Direct] {
        let fs = SlowFs::mount(ODD as u64, DELAY, pages);
        let event_loop = new_loop();
        let (received, late) = send_beside_ticker(&event_loop, &fs.open(), true);
        assert_content(&received, 0, ODD);
        assert!(late < MAX_LATENESS, "{pages:?}: {late:?}");
        let stats = event_loop.stats();
        assert!(FORCED_FALLBACK || stats.fallbacks.no_answer == 1, "{stats:?}");
        assert_eq!(stats.sendfile_misses, 0, "the file system supports no probe");
    }
}

#[test]
fn without_fallback_a_cold_range_is_prefetched_and_sent() {
    let _test = test();
    if !slow_fs::available() || FORCED_FALLBACK {
        return;
    }
    let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Cached);
    let event_loop = new_loop();
    let (near, far) = unix();
    let received = reader(far);
    let ticker = Ticker::start(&event_loop);
    let file = fs.open();
    let transfer = event_loop.sock_sendfile(&near, &file).fallback(false);
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    assert_eq!(sent, ODD as u64);
    drop(near);
    assert_content(&received.join().expect("read"), 0, ODD);
    assert!(ticker.worst() < MAX_LATENESS, "{:?}", ticker.worst());
    let stats = event_loop.stats();
    assert_eq!(stats.sendfile_fallbacks, 0, "{stats:?}");
    assert!(stats.sendfile_prefetches > 1, "{stats:?}");
}

#[test]
fn prefetched_range_is_sent_while_the_next_is_prefetched() {
    let _test = test();
    if FORCED_FALLBACK || !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount(4 << 20, Duration::ZERO, Pages::Cached);
    let event_loop = Loop::builder().executor_threads(1).build();
    let event_loop = event_loop.expect("a loop");
    let (near, mut far) = unix();
    let mut received = Vec::new();
    // After each step, empties the socket and waits until the executor has done its earlier jobs.
    let catch_up = |sent| {
        let mut part = (&mut far).take(sent - received.len() as u64);
        part.read_to_end(&mut received).expect("read");
        let (through, wait) = mpsc::channel();
        drop(event_loop.run_in_executor(move || through.send(())));
        wait.recv_timeout(Duration::from_secs(10)).expect("through");
    };
    let file = fs.open();
    let transfer = event_loop.sock_sendfile(&near, &file).fallback(false);
    let sent = event_loop.run_until_complete(transfer.progress(catch_up));
    assert_eq!(sent.expect("sent"), 4 << 20);
    assert_content(&received, 0, 4 * MIB);
    let stats = event_loop.stats();
    assert_eq!(stats.sendfile_would_block, 0, "{stats:?}");
    // The first prefetch is 256 KiB, each later one 1 MiB.
    assert_eq!(stats.sendfile_prefetches, 5, "{stats:?}");
}

#[test]
fn growing_file_on_a_slow_file_system_is_sent_to_its_new_end() {
    let _test = test();
    let Some(overlay) = mounts::overlay(&[]) else {
        return;
    };
    let mut file = overlay.file();
    file.write_all(&content(0, ODD)).expect("room");
    let event_loop = new_loop();
    let (near, far) = unix();
    let received = reader(far);
    let mut grown = false;
    let writer = file.try_clone().expect("a duplicate");
    let transfer = event_loop.sock_sendfile(&near, &file).progress(|sent| {
        if sent == ODD as u64 && !std::mem::replace(&mut grown, true) {
            let more = content(ODD as u64, 5000);
            writer.write_all_at(&more, sent).expect("room");
        }
    });
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    assert_eq!(sent, ODD as u64 + 5000);
    drop(near);
    assert_content(&received.join().expect("read"), 0, ODD + 5000);
}

/// Proves that the test above can fail.
#[test]
fn cold_file_without_prefetch_blocks_the_loop() {
    let _test = test();
    if !slow_fs::available() || FORCED_FALLBACK {
        return;
    }
    let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Cached);
    let event_loop = new_loop();
    let (received, late) = send_beside_ticker(&event_loop, &fs.open(), false);
    assert_content(&received, 0, ODD);
    assert!(late > DELAY / 2, "{late:?}");
    assert_eq!(event_loop.stats().sendfile_probes, 0);
}

#[test]
fn cold_file_on_disk_does_not_delay_timers() {
    let _test = test();
    let len = 16 * MIB + 1;
    // The kernel reads ahead, too. With a large readahead setting it does all the work. It does not
    // read ahead in a file with random advice.
    for reads in [Advice::Normal, Advice::Random] {
        let file = cold(len);
        fadvise(&file, 0, None, reads).expect("advice");
        let event_loop = new_loop();
        let (received, late) = send_beside_ticker(&event_loop, &file, true);
        assert_content(&received, 0, len);
        assert!(late < MAX_LATENESS, "{late:?}");
        let stats = event_loop.stats();
        assert!(stats.sendfile_misses > 0, "{stats:?}");
        // The fallback reads on executor threads anyway.
        let alone = matches!(reads, Advice::Random) && !FORCED_FALLBACK;
        assert!(!alone || stats.sendfile_prefetches > 1, "{stats:?}");
    }
}

#[test]
fn cancel_during_prefetch_sends_nothing() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Cached);
    let event_loop = new_loop();
    let (near, far) = unix();
    let file = fs.open();
    let transfer = event_loop.sock_sendfile(&near, &file).offset(5);
    let cancelled = event_loop.wait_for(transfer, Duration::from_millis(50));
    event_loop.run_until_complete(cancelled).expect_err("a timeout, as a read takes 200 ms");
    assert_eq!(position(&file), 5);
    drop(near);
    assert!(read_rest(far).is_empty());
}

#[test]
fn unresponsive_disk_counts_as_a_stall() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Cached);
    let event_loop = new_loop();
    let (near, _far) = unix();
    let file = fs.open();
    let transfer = event_loop.sock_sendfile(&near, &file);
    let transfer = transfer.stall_timeout(Duration::from_millis(50));
    let error = event_loop.run_until_complete(transfer).expect_err("slow");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(position(&file), 0);
}

#[test]
fn loop_close_during_prefetch_leaves_position_exact() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Cached);
    let event_loop = new_loop();
    let (near, _far) = unix();
    let file = Rc::new(fs.open());
    let task = {
        let (handle, file) = (event_loop.handle(), file.clone());
        event_loop.create_task(async move { handle.sock_sendfile(&near, &file).offset(9).await })
    };
    run_until(&event_loop, || event_loop.stats().sendfile_fallbacks > 0);
    drop(event_loop);
    assert!(task.cancelled());
    assert_eq!(position(&file), 9);
}

#[test]
fn cold_file_is_sent_after_the_executor_shut_down() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let file = cold(2 * MIB);
    let event_loop = new_loop();
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
    let (received, _) = send_beside_ticker(&event_loop, &file, true);
    assert_content(&received, 0, 2 * MIB);
    let stats = event_loop.stats();
    assert!(stats.sendfile_prefetches <= 1, "{stats:?}");
}

#[test]
fn cold_file_that_shrinks_ends_short() {
    let _test = test();
    let file = cold(8 * MIB);
    let event_loop = new_loop();
    let (near, far) = unix();
    let received = reader(far);
    let cut = |_| file.set_len(3 << 20).expect("shorter");
    let transfer = event_loop.sock_sendfile(&near, &file).progress(cut);
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    drop(near);
    let received = received.join().expect("read");
    assert_content(&received, 0, sent as usize);
    assert!(sent <= 3 << 20);
}

#[test]
fn unreadable_range_fails_with_sendfiles_error() -> io::Result<()> {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = unix();
    let named = tempfile::NamedTempFile::new()?;
    let file = File::options().append(true).open(named.path())?;
    let transfer = event_loop.sock_sendfile(&near, &file).count(10);
    let error = event_loop.run_until_complete(transfer).expect_err("EBADF");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    Ok(())
}
