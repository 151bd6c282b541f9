//! The page cache of Linux: three questions, the kind of a file system, and reading without a copy.
//!
//! | question | since | answers on | says |
//! |---|---|---|---|
//! | preadv2(2), RWF_NOWAIT, 1 byte | 4.14 | ext4, XFS, Btrfs, F2FS | whether that byte is in memory |
//! | cachestat(2) | 6.5 | all but overlayfs, where it says 0 | how many pages a range has, those being read included |
//! | mincore(2) of a mapping | always | every local file system | which pages are up to date |
//!
//! Measured on Linux 6.18: right after a read-ahead of a cold MiB was asked for, cachestat says 256
//! of 256 pages, mincore 0. A file that the caller neither owns nor may write is refused by
//! cachestat (EPERM), and mincore says that all its pages are there (`can_do_mincore` in
//! mm/mincore.c).
//!
//! The functions make their system calls themselves where a C library may not have them.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use libc::c_long;

use super::Pages;
use crate::sys::{cvt, cvt_len, uninterrupted};

/// The functions below answer on this system.
pub(crate) const IS_SUPPORTED: bool = true;

/// Where a file system keeps its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileSystem {
    /// In memory: a read never waits.
    Memory,
    /// On a disk of this machine.
    Local,
    /// Somewhere else, or unknown: a read may wait for a server, also for pages in the page cache.
    Other,
}

/// The size of a page, in bytes.
pub(crate) fn page_size() -> u64 {
    // SAFETY: no pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// Returns whether the byte at `offset` can be read without a wait; true also past the end of the
/// file.
///
/// It reads the byte, so it touches the page's data. If the page is missing, the kernel begins to
/// read it.
///
/// # Errors
///
/// EOPNOTSUPP if the file system cannot tell; ENOSYS, EPERM or EINVAL if the kernel or a filter has
/// no such call; any error of a read.
pub(crate) fn is_resident(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    // No file has a byte there.
    let Ok(offset) = i64::try_from(offset) else {
        return Ok(true);
    };
    let mut byte = 0_u8;
    let part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // The kernel takes the offset as two longs, the lower half first. If a long holds all of it,
    // the kernel reads that one.
    let (low, high) = (offset as c_long, (offset >> 32) as c_long);
    let (fd, flags) = (c_long::from(fd.as_raw_fd()), c_long::from(libc::RWF_NOWAIT));
    let read = || {
        // SAFETY: the one part is `byte`, which lives longer than the call; all else are numbers.
        cvt(unsafe {
            let parts = &raw const part;
            libc::syscall(libc::SYS_preadv2, fd, parts, 1 as c_long, low, high, flags)
        })
    };
    match uninterrupted(read) {
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
        result => result.map(|_| true),
    }
}

/// The number of cachestat(2): the same on all machines, but for those whose numbers begin
/// elsewhere.
const SYS_CACHESTAT: c_long = match () {
    () if cfg!(any(target_arch = "mips", target_arch = "mips32r6")) => 4451,
    () if cfg!(any(target_arch = "mips64", target_arch = "mips64r6")) => 5451,
    () => 451,
};

#[repr(C)]
struct CacheRange {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    _dirty_writeback_evicted: [u64; 4],
}

/// Returns how many pages of a range are in the page cache, by cachestat(2). Pages that are still
/// being read count. `len` must not be 0, which means "to the end".
///
/// # Errors
///
/// ENOSYS before Linux 6.5; EPERM if the caller neither owns the file nor may write it; EOPNOTSUPP
/// on hugetlbfs.
pub(crate) fn cached_pages(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<u64> {
    let range = CacheRange { offset, len };
    let mut answer = CacheStat::default();
    // SAFETY: the kernel reads one range and writes one answer through the pointers, which are to
    // locals of the kernel's layout.
    let result = cvt(unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            c_long::from(fd.as_raw_fd()),
            &raw const range,
            &raw mut answer,
            0 as c_long,
        )
    });
    result.map(|_| answer.cached)
}

/// A mapping of a file that nobody reads or writes.
struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    /// Maps pages of a file. Without any permission: a process that locks its memory (mlockall(2))
    /// would read them in otherwise.
    fn new(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Mapping> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let offset = libc::off64_t::try_from(offset).map_err(|_| invalid())?;
        // SAFETY: the kernel chooses the address, so no other mapping changes; the descriptor is
        // open.
        let start = unsafe {
            libc::mmap64(
                ptr::null_mut(),
                len,
                libc::PROT_NONE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset,
            )
        };
        match start {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            start => Ok(Mapping { start, len }),
        }
    }

    /// Writes for each page whether it is up to date in the page cache, in the lowest bit.
    fn resident(&self, pages: &mut [u8]) -> io::Result<()> {
        debug_assert!(self.len as u64 <= pages.len() as u64 * page_size());
        // SAFETY: the range is that of this mapping, and `pages` has a byte for each page of it,
        // which `new`'s callers see to.
        cvt(unsafe { libc::mincore(self.start, self.len, pages.as_mut_ptr().cast()) }).map(drop)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this value made the mapping and nobody else knows its address.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// Asks mincore(2) which pages of a range are up to date in the page cache, and returns how many
/// pages the range has. `pages` gets a byte for each, from the page that holds `offset` on. No
/// page's data is touched.
///
/// For a file that the caller neither owns nor may write, all pages are said to be there: see
/// [`is_mincore_truthful`].
///
/// # Errors
///
/// `InvalidInput` if the range is longer than [`MAX_RANGE`](super::MAX_RANGE); any error of
/// mmap(2).
pub(crate) fn resident_pages(
    fd: BorrowedFd<'_>,
    offset: u64,
    len: u64,
    pages: &mut Pages,
) -> io::Result<usize> {
    let page = page_size();
    let start = offset - offset % page;
    let count = (offset + len - start).div_ceil(page) as usize;
    let pages = pages.get_mut(..count).ok_or(io::ErrorKind::InvalidInput)?;
    Mapping::new(fd, start, count * page as usize)?.resident(pages)?;
    Ok(count)
}

/// Returns whether mincore(2) tells the truth about a file of `size` bytes. It asks for a page that
/// cannot be there, far beyond the end: past any large folio that covers the end.
pub(crate) fn is_mincore_truthful(fd: BorrowedFd<'_>, size: u64) -> bool {
    const GIB: u64 = 1 << 30;
    let Some(beyond) = size
        .checked_next_multiple_of(GIB)
        .and_then(|end| end.checked_add(GIB))
    else {
        return false;
    };
    let mut page = [1];
    let mapping = Mapping::new(fd, beyond, page_size() as usize);
    mapping.is_ok_and(|mapping| mapping.resident(&mut page).is_ok() && page[0] & 1 == 0)
}

/// Returns whether the file is on tmpfs or hugetlbfs. The kernel answers by itself what only such
/// files have.
pub(crate) fn is_sealable(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) }).is_ok()
}

/// File systems in memory (linux/magic.h): tmpfs, ramfs, hugetlbfs, proc, sysfs, debugfs, tracefs,
/// securityfs, cgroup, cgroup2.
const IN_MEMORY: [u32; 10] = [
    0x0102_1994,
    0x8584_58f6,
    0x9584_58f6,
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x0027_e0eb,
    0x6367_7270,
];

/// File systems on a disk of this machine, whose pages stay valid without a question to anybody:
/// ext2/3/4, XFS, Btrfs, F2FS, overlayfs, squashfs, EROFS, ISO 9660, UDF, FAT, exFAT, NTFS3, JFS,
/// NILFS2, bcachefs, cramfs, UBIFS, JFFS2, HFS+.
const LOCAL: [u32; 19] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x794c_7630,
    0x7371_7368,
    0xe0f5_e1e2,
    0x9660,
    0x1501_3346,
    0x4d44,
    0x2011_bab0,
    0x7366_746e,
    0x3153_464a,
    0x3434,
    0xca45_1a4e,
    0x28cd_3d45,
    0x2405_1905,
    0x72b6,
    0x482b,
];

/// Returns where the file system of a file keeps its files, by fstatfs(2). It may ask a server
/// first, which may take any time.
pub(crate) fn file_system(fd: BorrowedFd<'_>) -> FileSystem {
    let mut answer = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the kernel writes one `statfs` through the pointer, which is to `answer`.
    let call = || cvt(unsafe { libc::fstatfs(fd.as_raw_fd(), answer.as_mut_ptr()) });
    let result = uninterrupted(call);
    // SAFETY: all zeros is a valid `statfs`, whether the call wrote to it or not.
    let magic = unsafe { answer.assume_init() }.f_type as u32;
    match result {
        Ok(_) if IN_MEMORY.contains(&magic) => FileSystem::Memory,
        Ok(_) if LOCAL.contains(&magic) => FileSystem::Local,
        _ => FileSystem::Other,
    }
}

/// Reads a range of a file into the page cache, and waits until it is there. An error ends it:
/// whoever sends the range meets the same one.
pub(crate) fn bring_in(fd: BorrowedFd<'_>, offset: u64, len: u64) {
    // A short range is read at once; a long one is asked for in one piece, so that the disk is busy
    // throughout.
    if len > 128 << 10 {
        // SAFETY: no pointers.
        unsafe { libc::readahead(fd.as_raw_fd(), offset as libc::off64_t, len as usize) };
    }
    let sink = OpenOptions::new().write(true).open("/dev/null");
    let sent = sink.and_then(|sink| read_by_sendfile(&sink, fd, offset, len));
    if sent.is_err() {
        let _ = read_by_pread(fd, offset, len);
    }
}

/// Sends a range to /dev/null: that reads it without a copy. 64 MiB of warm pages take 1 ms of CPU
/// time, pread(2) takes 8.
fn read_by_sendfile(sink: &File, fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let end = offset.saturating_add(len);
    let mut at = offset;
    while at < end {
        let len = (end - at).min(1 << 20) as usize;
        let call = || crate::sys::sendfile::sendfile(sink.as_fd(), fd, at, len);
        match uninterrupted(call)? {
            0 => break,
            read => at += read as u64,
        }
    }
    Ok(())
}

fn read_by_pread(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let mut scratch = vec![0_u8; 64 << 10];
    let end = offset.saturating_add(len);
    let mut at = offset;
    while at < end {
        let len = (end - at).min(scratch.len() as u64) as usize;
        let offset = libc::off64_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        let room = scratch.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most `len` bytes, which `scratch` has.
        let call = || cvt_len(unsafe { libc::pread64(fd.as_raw_fd(), room, len, offset) });
        match uninterrupted(call)? {
            0 => break,
            read => at += read as u64,
        }
    }
    Ok(())
}
