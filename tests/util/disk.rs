//! Files on the disk, cached and cold.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise, fdatasync};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::util::content;

/// Creates a file on the disk whose pages are in the page cache.
pub fn warm(len: usize) -> File {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary file");
    file.write_all(&content(0, len)).expect("room");
    // The kernel cannot evict pages that are not written yet.
    fdatasync(&file).expect("written");
    file
}

/// Creates a file on the disk whose pages are not in the page cache.
///
/// The advice turns the kernel's readahead off. With it, a fast disk would read the whole file
/// after the first probe.
pub fn cold(len: usize) -> File {
    let file = warm(len);
    evict(&file, 0, len);
    fadvise(&file, 0, None, Advice::Random).expect("advice");
    file
}

/// Evicts a range from the page cache.
///
/// Pages that were sent over TCP may stay for a while, because the kernel frees its buffers lazily.
pub fn evict(file: &File, offset: usize, len: usize) {
    let range = NonZeroU64::new(len as u64);
    let start = Instant::now();
    // Without this advice, each probe below would make the kernel read megabytes ahead.
    fadvise(file, 0, None, Advice::Random).expect("advice");
    loop {
        fadvise(file, offset as u64, range, Advice::DontNeed).expect("advice");
        // The kernel keeps pages that are in use. A probe makes the kernel read its page, so these
        // offsets differ from those that a transfer probes.
        let mut probes = (offset + (64 << 10).min(len / 2)..offset + len).step_by(128 << 10);
        if !probes.any(|at| is_resident(file, at)) {
            break;
        }
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(10), "pages stay in the page cache for {waited:?}");
    }
    fadvise(file, 0, None, Advice::Normal).expect("advice");
}

fn is_resident(file: &File, offset: usize) -> bool {
    let mut byte = [0];
    let room = &mut [IoSliceMut::new(&mut byte)];
    preadv2(file, room, offset as u64, ReadWriteFlags::NOWAIT).is_ok()
}

/// Returns the bytes that this thread has read from a disk so far.
///
/// It returns `None` if the kernel does not count them.
pub fn read_from_disk() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let read = counts.lines().find_map(|line| line.strip_prefix("read_bytes: "))?;
    read.parse().ok()
}
