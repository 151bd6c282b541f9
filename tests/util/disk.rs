//! Files on the disk, in the page cache and not.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of this"
)]

use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise, fdatasync};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::util::content;

/// A file on the disk, in the page cache.
pub fn warm(len: usize) -> File {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary file");
    file.write_all(&content(0, len)).expect("room");
    // What is not written to the disk yet cannot leave the page cache.
    fdatasync(&file).expect("written");
    file
}

/// A file on the disk, not in the page cache. The kernel reads nothing ahead of it: from a disk that is quick enough all would be there
/// after the first look.
pub fn cold(len: usize) -> File {
    let file = warm(len);
    evict(&file, 0, len);
    fadvise(&file, 0, None, Advice::Random).expect("advice");
    file
}

/// Has so many bytes from `offset` on leave the page cache. Those of a file that was sent over TCP may stay: the kernel puts off the
/// freeing of buffers that refer to them, until the processor has other traffic.
pub fn evict(file: &File, offset: usize, len: usize) {
    let range = NonZeroU64::new(len as u64);
    let start = Instant::now();
    // Or each look below would have megabytes of what has left read in again: as many as the disk is set to.
    fadvise(file, 0, None, Advice::Random).expect("advice");
    loop {
        fadvise(file, offset as u64, range, Advice::DontNeed).expect("advice");
        // The kernel keeps pages that are in use just then, as by its own watching of memory. A look has its page read in, so
        // these are others than those that a transfer looks at.
        let mut looks = (offset + (64 << 10).min(len / 2)..offset + len).step_by(128 << 10);
        if !looks.any(|at| is_resident(file, at)) {
            break;
        }
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(10), "the kernel keeps it");
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
    let read = counts
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes: "))?;
    read.parse().ok()
}
