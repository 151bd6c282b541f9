//! Files on the disk, cached and cold.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::fs::File;
use std::io::Write;
use std::net::UdpSocket;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise, fdatasync, fstat};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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

/// Evicts a range of whole pages from the page cache, and turns the kernel's readahead on.
///
/// The kernel keeps pages that are in use, and frees the buffers of sent pages lazily.
pub fn evict(file: &File, offset: usize, len: usize) {
    let range = NonZeroU64::new(len as u64);
    let start = Instant::now();
    loop {
        fadvise(file, offset as u64, range, Advice::DontNeed).expect("advice");
        if !has_resident_page(file, offset, len) {
            break;
        }
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(10), "pages stay in the page cache for {waited:?}");
        free_sent_buffers();
    }
    fadvise(file, 0, None, Advice::Normal).expect("advice");
}

/// Makes each CPU free the buffers of sent data, which it does when it receives a packet.
fn free_sent_buffers() {
    let allowed = sched_getaffinity(None).expect("the CPUs of this thread");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)) {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).expect("one of these CPUs");
        socket.send_to(b"x", address).expect("sent");
        socket.recv(&mut [0]).expect("received");
    }
    sched_setaffinity(None, &allowed).expect("the same CPUs");
}

/// Returns whether the page cache has a page of the range.
///
/// It returns false if the kernel does not tell, as to a user who neither owns the file nor is root.
#[allow(unsafe_code, reason = "no crate has mincore(2)")]
fn has_resident_page(file: &File, offset: usize, len: usize) -> bool {
    let user = rustix::process::geteuid();
    if !user.is_root() && fstat(file).expect("open").st_uid != user.as_raw() {
        return false;
    }
    let mut pages = vec![0_u8; len.div_ceil(4096)];
    let (read, shared, fd) = (libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd());
    // SAFETY: the mapping is new. mincore(2) writes one byte for each page, for which `pages` has
    // room if a page has 4096 bytes or more.
    unsafe {
        let mapping = libc::mmap(ptr::null_mut(), len, read, shared, fd, offset as libc::off_t);
        assert_ne!(mapping, libc::MAP_FAILED);
        let answered = libc::mincore(mapping, len, pages.as_mut_ptr()) == 0;
        assert_eq!(libc::munmap(mapping, len), 0);
        answered && pages.iter().any(|page| page & 1 == 1)
    }
}

/// Returns the bytes that this thread has read from a disk so far.
///
/// It returns `None` if the kernel does not count them.
pub fn read_from_disk() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let read = counts.lines().find_map(|line| line.strip_prefix("read_bytes: "))?;
    read.parse().ok()
}
