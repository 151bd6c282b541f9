//! What must be known of a file before it is sent.

use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{c_int, c_long};

use super::{cvt, uninterrupted};

/// Whether the file was opened with O_DIRECT: its reads go past the page cache, which is what sendfile sends from. The
/// kernel takes it at aligned offsets and refuses it with EINVAL at others, which may be midway.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no pointers.
    let flags = uninterrupted(|| cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }))?;
    Ok(flags & libc::O_DIRECT != 0)
}

#[cfg(target_vendor = "apple")]
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no pointers.
    uninterrupted(|| cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }))?;
    Ok(false)
}

/// statx(2)'s answer, of the same form on every machine; what is not used here has no name.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[repr(C)]
struct Statx {
    mask: u32,
    _before_mode: [u32; 6],
    mode: u16,
    _before_size: [u16; 5],
    size: u64,
    _rest: [u64; 26],
}

/// The size of the file as the kernel knows it by now, and whether it is a file or a block device, where it can be asked for that:
/// fstat(2) may ask a server first, which takes its time. statx(2) is told not to, since Linux 4.11.
///
/// Both this and [`read_resident`] make the system call themselves: musl has functions for them since version 1.2.5 only, and a
/// program would not link.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn known(fd: BorrowedFd<'_>) -> Option<(u64, bool)> {
    const DONT_SYNC: c_int = 0x4000;
    const TYPE_AND_SIZE: u32 = 0x0001 | 0x0200;
    const { assert!(size_of::<Statx>() == 256) };
    let mut answer = MaybeUninit::<Statx>::zeroed();
    // SAFETY: the path is a C string, and the kernel writes one `statx`, of 256 bytes, through the pointer, which is to `answer`.
    let result = cvt(unsafe {
        libc::syscall(
            libc::SYS_statx,
            c_long::from(fd.as_raw_fd()),
            c"".as_ptr(),
            c_long::from(libc::AT_EMPTY_PATH | DONT_SYNC),
            TYPE_AND_SIZE as c_long,
            answer.as_mut_ptr(),
        )
    });
    // SAFETY: all zeros is a valid `Statx`, whether the call wrote to it or not.
    let answer = unsafe { answer.assume_init() };
    let told = result.is_ok() && answer.mask & TYPE_AND_SIZE == TYPE_AND_SIZE;
    let kind = u32::from(answer.mode) & libc::S_IFMT;
    let stores = kind == libc::S_IFREG || kind == libc::S_IFBLK;
    told.then_some((answer.size, stores))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn known(_fd: BorrowedFd<'_>) -> Option<(u64, bool)> {
    None
}

/// Whether the byte at `offset` can be read without a wait; also where there is none, as the file ends before.
///
/// It is read, as [`read_resident`] does. mincore(2) and cachestat(2) are no substitute: they count pages that a read-ahead has only
/// asked for (of 256 such pages one could be read, on Linux 6.18).
///
/// The errors that mean "no answer" are told by [`is_no_answer`].
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_resident(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    match read_resident(fd, &mut [0], offset) {
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
        result => result.map(|_| true),
    }
}

/// Reads what can be read without a wait: preadv2(2) with RWF_NOWAIT, which ends where the next page is not in the page cache, and
/// is EAGAIN if that is the first one. That page is then asked of the disk, with as many behind it as the kernel reads ahead.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn read_resident(fd: BorrowedFd<'_>, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    };
    // No file has a byte there.
    let Ok(offset) = i64::try_from(offset) else {
        return Ok(0);
    };
    // The kernel takes the offset as two longs, the lower half first; where a long has all of it, it looks at that one.
    let (low, high) = (offset as c_long, (offset >> 32) as c_long);
    let (fd, flags) = (c_long::from(fd.as_raw_fd()), c_long::from(libc::RWF_NOWAIT));
    let read = || {
        // SAFETY: the one part is `room`, which is borrowed for the call and may be written to; all else are numbers.
        cvt(unsafe {
            libc::syscall(
                libc::SYS_preadv2,
                fd,
                &raw const part,
                1 as c_long,
                low,
                high,
                flags,
            )
        })
    };
    uninterrupted(read).map(|read| read as usize)
}

/// Elsewhere nobody can be asked. FreeBSD's sendfile does not need it: since version 11 it reads the disk by itself, while the
/// caller goes on.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_resident(_fd: BorrowedFd<'_>, _offset: u64) -> io::Result<bool> {
    Ok(true)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn read_resident(
    _fd: BorrowedFd<'_>,
    _room: &mut [u8],
    _offset: u64,
) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether an error of [`is_resident`] says that it cannot be told: the file's system does not (EOPNOTSUPP), the kernel is too
/// old or a filter forbids the call (ENOSYS, EPERM, EINVAL).
pub(crate) fn is_no_answer(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL)
    )
}

/// Whether the file is one of tmpfs or hugetlbfs; others in memory are told by [`is_in_memory`] alone. It asks the kernel for what
/// only such files have, which waits for nobody.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_sealable(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) }).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_sealable(_fd: BorrowedFd<'_>) -> bool {
    true
}

/// Whether the file's system keeps its files in memory, where reading waits for nothing. Of others it is taken for possible that
/// they answer from far away (FUSE, NFS), and those are asked for this too: it may take any time.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_in_memory(fd: BorrowedFd<'_>) -> bool {
    // linux/magic.h: tmpfs, ramfs, hugetlbfs, proc, sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2.
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
    let mut answer = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the kernel writes one `statfs` through the pointer, which is to `answer`.
    let result = cvt(unsafe { libc::fstatfs(fd.as_raw_fd(), answer.as_mut_ptr()) });
    // SAFETY: all zeros is a valid `statfs`, whether the call wrote to it or not.
    let kind = unsafe { answer.assume_init() }.f_type as u32;
    result.is_ok() && IN_MEMORY.contains(&kind)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_in_memory(_fd: BorrowedFd<'_>) -> bool {
    true
}
