//! The slow file system that other tests use is slow and correct, and is unmounted afterwards.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::slow_fs::{self, Pages, SlowFs};
use crate::util::{ODD, assert_content, test};

const DELAY: Duration = Duration::from_millis(200);

fn mounts() -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    let ours = mounts.lines().filter(|line| line.contains("sendloop-slow"));
    ours.collect()
}

/// Reads one byte, and returns the time and the number of read requests.
#[track_caller]
fn read_one(fs: &SlowFs, file: &fs::File, offset: usize) -> (Duration, u64) {
    let (before, start) = (fs.reads(), Instant::now());
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset as u64).expect("read");
    let took = start.elapsed();
    assert_content(&byte, offset as u64, 1);
    (took, fs.reads() - before)
}

#[test]
fn slow_file_is_read_exactly_and_slowly() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    for pages in [Pages::Cached, Pages::Direct] {
        let fs = SlowFs::mount(ODD as u64, DELAY, pages);
        let start = Instant::now();
        let read = fs::read(fs.path()).expect("read");
        assert!(start.elapsed() >= DELAY, "{pages:?}");
        assert_content(&read, 0, ODD);
        assert!(fs.reads() > 0, "{pages:?}");
    }
}

#[test]
fn cached_pages_are_slow_once_per_open() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    // Two pages: one request reads both, and the kernel reads nothing ahead.
    let fs = SlowFs::mount(8192, DELAY, Pages::Cached);
    for _ in 0..2 {
        let file = fs.open();
        let (cold, asked) = read_one(&fs, &file, 100);
        assert!(cold >= DELAY && asked > 0, "{cold:?}, {asked} reads");
        let (_, asked) = read_one(&fs, &file, 101);
        assert_eq!(asked, 0, "read requests for a cached page");
    }
}

#[test]
fn without_pages_every_read_is_slow() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Direct);
    let file = fs.open();
    for offset in [100, 100, 101] {
        let (took, asked) = read_one(&fs, &file, offset);
        assert!(took >= DELAY, "{took:?}");
        assert_eq!(asked, 1);
    }
}

/// FUSE does not set FMODE_NOWAIT (Linux up to 6.18). So a probe fails whether the pages are cached
/// or not, and one probe per file is enough.
#[test]
fn preadv2_nowait_is_not_supported() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    for pages in [Pages::Cached, Pages::Direct] {
        let fs = SlowFs::mount(ODD as u64, DELAY, pages);
        let file = fs.open();
        for _ in 0..2 {
            let mut byte = [0];
            let probe =
                preadv2(file.as_fd(), &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT);
            assert_eq!(probe, Err(Errno::OPNOTSUPP), "{pages:?}");
            read_one(&fs, &file, 0);
        }
    }
}

#[test]
fn mount_is_invisible_and_temporary() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Cached);
    assert_eq!(mounts(), "");
    read_one(&fs, &fs.open(), 0);
    drop(fs);
    assert_eq!(mounts(), "");
}

#[test]
fn panic_unmounts_the_file_system() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
        let fs = SlowFs::mount(ODD as u64, DELAY, Pages::Direct);
        read_one(&fs, &fs.open(), 0);
        panic::resume_unwind(Box::new("a test that fails"));
    }));
    assert!(panicked.is_err());
    assert_eq!(mounts(), "");
}
