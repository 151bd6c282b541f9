//! Page-cache probes: their cost, and the results that a transfer must not trust.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread;

use crate::disk::{cold, evict, read_from_disk, warm};
use crate::util::*;
use rustix::fs::{MemfdFlags, memfd_create};
use sendloop::{Socket, Stats};

const MIB: usize = 1 << 20;

#[test]
fn hole_in_cached_pages_is_found() {
    let _test = test();
    let file = warm(16 * MIB);
    evict(&file, 4 * MIB, 4 * MIB);
    // The page of the first byte is cached, and the pages after it are not.
    let stats = sent(&file, 4 * MIB - 1000, MIB);
    assert!(stats.sendfile_misses > 0, "{stats:?}");
}

/// A probe that misses makes the kernel read its page. The next probe finds that page, with a hole
/// before it.
#[test]
fn page_that_a_probe_read_does_not_count_for_the_range() {
    let _test = test();
    if read_from_disk().is_none() {
        return;
    }
    // The end of the cached bytes lies in the first probed piece, and in a later one.
    for cached in [128 << 10, 384 << 10] {
        // A fast disk sometimes reads the page before the probe returns, but not each time.
        let seldom = (0..8).any(|_| !loop_thread_reads(cached));
        assert!(seldom, "{cached}: the loop's thread reads in each of 8 attempts");
    }
}

/// Returns whether the loop's thread reads from the disk if the first `cached` bytes are cached.
fn loop_thread_reads(cached: usize) -> bool {
    let file = cold(4 * MIB);
    read_range(&file, 0..cached);
    let before = read_from_disk();
    let stats = sent(&file, 0, 4 * MIB);
    let read = read_from_disk().unwrap_or(0) - before.unwrap_or(0);
    // Each probe may read one page.
    stats.sendfile_misses == 0 || read > stats.sendfile_probes * 4096
}

/// Reads the range in another thread.
fn read_range(file: &File, range: Range<usize>) {
    let mut room = vec![0; range.len()];
    let read = || file.read_exact_at(&mut room, range.start as u64);
    thread::scope(|scope| scope.spawn(read).join().expect("no panic")).expect("read");
}

/// Sends a number of bytes over TCP, and returns the loop's counters.
#[track_caller]
fn sent(file: &File, offset: usize, count: usize) -> Stats {
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let received = reader(far);
    let transfer = event_loop.sock_sendfile(&near, file).offset(offset as u64);
    let sent = event_loop.run_until_complete(transfer.count(count as u64));
    assert_eq!(sent.expect("sent"), count as u64);
    drop(near);
    assert_content(&received.join().expect("read"), offset as u64, count);
    event_loop.stats()
}

#[test]
fn cached_page_needs_one_probe() {
    let _test = test();
    let stats = sent(&warm(8192), 0, 4096);
    assert_eq!((stats.sendfile_probes, stats.sendfile_misses), (1, 0));
    assert_eq!(stats.sendfile_prefetches, 0);
}

#[test]
fn large_cached_file_needs_few_probes_and_no_thread() {
    let _test = test();
    let stats = sent(&warm(16 * MIB), 0, 16 * MIB);
    assert_eq!(stats.sendfile_misses, 0, "{stats:?}");
    assert_eq!(stats.sendfile_prefetches, 0, "{stats:?}");
    // Each wait for the socket may cost one more probe.
    let probes = 16 + stats.sendfile_would_block;
    assert!(stats.sendfile_probes <= 5 * probes, "{stats:?}");
}

#[test]
fn memory_file_is_probed_once() {
    let _test = test();
    let file = memfd_create("sendloop", MemfdFlags::CLOEXEC).expect("a file in memory");
    let mut file = File::from(file);
    file.write_all(&content(0, 8 * MIB)).expect("room");
    let stats = sent(&file, 0, 8 * MIB);
    assert_eq!(stats.sendfile_prefetches, 0, "{stats:?}");
    assert_eq!(stats.sendfile_probes, 1, "{stats:?}");
}
