//! The page cache of Linux: three probes, the kind of a file system, and reads without a copy.
//!
//! | probe | since | works on | result |
//! |---|---|---|---|
//! | preadv2(2), RWF_NOWAIT, 1 byte | 4.14 | ext4, XFS, Btrfs, F2FS | whether the byte is present |
//! | cachestat(2) | 6.5 | all but overlayfs (0 there) | number of pages, also pages being read |
//! | mincore(2) of a mapping | always | every local file system | which pages are up to date |
//!
//! These results are measured on Linux 6.18. Right after a readahead of a cold MiB begins,
//! cachestat reports 256 of 256 pages, mincore 0. If the caller neither owns the file nor may write
//! it, cachestat fails with EPERM. mincore then reports all its pages as present (`can_do_mincore`
//! in mm/mincore.c).
//!
//! If a C library may lack a function, this module makes the system call directly.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr;

use libc::c_long;

use super::{FileSystem, Pages, page_size};
use crate::sys::sendfile::sendfile;
use crate::sys::{cvt, uninterrupted};

/// True, as the functions below work on this system.
pub(crate) const IS_SUPPORTED: bool = true;

/// Returns whether a read of the byte at `offset` would not wait.
///
/// Past the end of the file, it returns true.
///
/// It reads the byte, so it touches the page's data. If the page is missing, the kernel begins to
/// read it.
///
/// # Errors
///
/// EOPNOTSUPP if the file system does not support the call; ENOSYS, EPERM or EINVAL if the kernel
/// lacks it or a filter refuses it; any error of a read.
pub(crate) fn is_resident(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    // No file has a byte there.
    let Ok(offset) = i64::try_from(offset) else {
        return Ok(true);
    };
    let mut byte = 0_u8;
    let part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // The kernel takes the offset as two longs, the lower half first. If a long holds the whole
    // offset, the kernel uses the first one alone.
    let (low, high) = (offset as c_long, (offset >> 32) as c_long);
    let (fd, flags) = (c_long::from(fd.as_raw_fd()), c_long::from(libc::RWF_NOWAIT));
    let read = || {
        // SAFETY: the one part is `byte`, which lives longer than the call. All other arguments are
        // numbers.
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

/// The number of cachestat(2).
///
/// It is the same on all machines except MIPS, whose numbers start higher.
const SYS_CACHESTAT: c_long = match () {
    () if cfg!(any(target_arch = "mips", target_arch = "mips32r6")) => 4451,
    () if cfg!(any(target_arch = "mips64", target_arch = "mips64r6")) => 5451,
    () => 451,
};

/// Returns how many pages of a range are in the page cache, by cachestat(2).
///
/// Pages that the kernel is still reading count. The range must not be empty, as 0 bytes mean "to
/// the end".
///
/// # Errors
///
/// ENOSYS before Linux 6.5; EPERM if the caller neither owns the file nor may write it; EOPNOTSUPP
/// on hugetlbfs.
pub(crate) fn cached_pages(fd: BorrowedFd<'_>, range: &Range<u64>) -> io::Result<u64> {
    let fd = c_long::from(fd.as_raw_fd());
    // `struct cachestat_range`: the offset and the length.
    let range = [range.start, range.end - range.start];
    // `struct cachestat`: the cached pages, and four more numbers.
    let mut stat = [0_u64; 5];
    // SAFETY: the kernel reads one range and writes one result through the pointers. They point to
    // locals with the kernel's layout.
    let result = cvt(unsafe {
        libc::syscall(SYS_CACHESTAT, fd, &raw const range, &raw mut stat, 0 as c_long)
    });
    result.map(|_| stat[0])
}

/// Writes to each entry's lowest bit whether its page of the file is up to date in memory.
///
/// It maps the pages without any permission. With a permission, a process that locks its memory
/// (mlockall(2)) would read them from the disk.
fn mincore(fd: BorrowedFd<'_>, offset: u64, pages: &mut [u8]) -> io::Result<()> {
    let invalid = |_| io::ErrorKind::InvalidInput;
    let offset = libc::off64_t::try_from(offset).map_err(invalid)?;
    let (len, fd) = (pages.len() * page_size() as usize, fd.as_raw_fd());
    // SAFETY: the kernel chooses the address, so no other mapping changes. The descriptor is open.
    let start = unsafe {
        libc::mmap64(ptr::null_mut(), len, libc::PROT_NONE, libc::MAP_SHARED, fd, offset)
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the range is that of the mapping, and `pages` has a byte for each of its pages.
    let result = cvt(unsafe { libc::mincore(start, len, pages.as_mut_ptr().cast()) });
    // SAFETY: this function made the mapping, and no other code knows its address.
    unsafe { libc::munmap(start, len) };
    result.map(drop)
}

/// Probes with mincore(2) which pages of a range are up to date in the page cache.
///
/// The first entry is the page in which the range starts. Entries after the range count as present.
/// The probe touches no page's data.
///
/// For a file that the caller neither owns nor may write, the kernel reports all pages as present:
/// see [`is_mincore_truthful`].
///
/// # Errors
///
/// `InvalidInput` if the range is longer than [`MAX_RANGE`](super::MAX_RANGE); any error of
/// mmap(2).
pub(crate) fn resident_pages(fd: BorrowedFd<'_>, range: &Range<u64>) -> io::Result<Pages> {
    let page = page_size();
    let start = range.start - range.start % page;
    let count = (range.end - start).div_ceil(page) as usize;
    let mut pages = [1; size_of::<Pages>()];
    let probed = pages.get_mut(..count).ok_or(io::ErrorKind::InvalidInput)?;
    mincore(fd, start, probed)?;
    Ok(pages)
}

/// Returns whether mincore(2) reports the true state of a file of `size` bytes.
///
/// It probes a page past the end, which cannot be present. No large folio that covers the end
/// reaches a GiB beyond it. If the file system has no file of that size (FAT), the kernel refuses
/// the mapping. Then the page is at the next multiple of 2 MiB, the largest folio of 4 KiB pages.
pub(crate) fn is_mincore_truthful(fd: BorrowedFd<'_>, size: u64) -> bool {
    const GIB: u64 = 1 << 30;
    const FOLIO: u64 = 2 << 20;
    let at_multiple = |of| size.checked_next_multiple_of(of);
    let far = at_multiple(GIB).and_then(|end| end.checked_add(GIB));
    let mut page = [1];
    let mut offsets = [far, at_multiple(FOLIO)].into_iter().flatten();
    offsets.any(|offset| mincore(fd, offset, &mut page).is_ok()) && page[0] & 1 == 0
}

/// Returns whether the file is on tmpfs or hugetlbfs.
///
/// Only such files have seals. The call queries no server.
pub(crate) fn is_sealable(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) }).is_ok()
}

/// File systems in memory, as linux/magic.h spells their numbers.
///
/// tmpfs, ramfs, hugetlbfs, proc, sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2.
const IN_MEMORY: [u32; 10] = [
    0x01021994, 0x858458f6, 0x958458f6, 0x9fa0, 0x62656572, 0x64626720, 0x74726163, 0x73636673,
    0x0027e0eb, 0x63677270,
];

/// File systems on a disk of this machine.
///
/// Their pages stay valid without a query to a server.
///
/// ext2/3/4, XFS, Btrfs, F2FS, overlayfs, squashfs, EROFS, ISO 9660, UDF, FAT, exFAT, NTFS3, JFS,
/// NILFS2, bcachefs, cramfs, UBIFS, JFFS2, HFS+.
const LOCAL: [u32; 19] = [
    0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x794c7630, 0x73717368, 0xe0f5e1e2, 0x9660,
    0x15013346, 0x4d44, 0x2011bab0, 0x7366746e, 0x3153464a, 0x3434, 0xca451a4e, 0x28cd3d45,
    0x24051905, 0x72b6, 0x482b,
];

/// Returns where the file system of a file keeps its files, by fstatfs(2).
///
/// The kernel may query a server first, which may take any time.
pub(crate) fn file_system(fd: BorrowedFd<'_>) -> FileSystem {
    // SAFETY: all zeros is a valid `statfs`.
    let mut stat: libc::statfs = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes one `statfs` through the pointer, which points to `stat`.
    let result = uninterrupted(|| cvt(unsafe { libc::fstatfs(fd.as_raw_fd(), &raw mut stat) }));
    let magic = stat.f_type as u32;
    match result {
        Ok(_) if IN_MEMORY.contains(&magic) => FileSystem::Memory,
        Ok(_) if LOCAL.contains(&magic) => FileSystem::Local,
        _ => FileSystem::Other,
    }
}

/// Reads a range of a file into the page cache, and waits until it is there.
///
/// An error ends the read. The send of the range then meets the same error.
pub(crate) fn read_into_cache(file: &File, range: Range<u64>) {
    let (fd, len) = (file.as_fd(), (range.end - range.start) as usize);
    // The call below requests a long range in one piece, so that the disk is busy throughout.
    if len > 128 << 10 {
        // SAFETY: no pointers.
        unsafe { libc::readahead(fd.as_raw_fd(), range.start as libc::off64_t, len) };
    }
    // sendfile to /dev/null reads the range without a copy. 64 MiB of warm pages take 1 ms of CPU
    // time; pread(2) takes 8.
    let sink = OpenOptions::new().write(true).open("/dev/null");
    let sent = sink.and_then(|sink| {
        let sink = sink.as_fd();
        read_range(&range, 1 << 20, |at, len| sendfile(sink, fd, at, len))
    });
    if sent.is_err() {
        let mut scratch = vec![0; 64 << 10];
        let read = |at, len| file.read_at(&mut scratch[..len], at);
        let _ = read_range(&range, 64 << 10, read);
    }
}

/// Calls `read` with offset and length until it has read the range, at most `max` bytes a call.
fn read_range(
    range: &Range<u64>,
    max: u64,
    mut read: impl FnMut(u64, usize) -> io::Result<usize>,
) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(max) as usize;
        match uninterrupted(|| read(at, len))? {
            0 => break,
            read => at += read as u64,
        }
    }
    Ok(())
}
