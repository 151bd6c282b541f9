//! Metadata, flags and position of a file.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::MetadataExt;

#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{c_int, c_long};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::cvt;
use super::{status_flags, uninterrupted};

/// The metadata of a file, as the kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Metadata {
    /// The size in bytes, or 0 if it is unknown, as for files of procfs.
    pub(crate) size: u64,
    pub(crate) kind: FileKind,
    /// The unique id of the file's mount (Linux 6.8). No later mount has the same one.
    pub(crate) mount: Option<u64>,
    /// True if the file is in persistent memory without a page cache (STATX_ATTR_DAX).
    ///
    /// Reads then never wait for a disk.
    pub(crate) is_dax: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    Regular,
    BlockDevice,
    Other,
}

impl FileKind {
    /// Returns the kind in a mode. Its bits are the same on every Unix.
    fn new(mode: u32) -> FileKind {
        match mode & 0o170_000 {
            0o100_000 => FileKind::Regular,
            0o060_000 => FileKind::BlockDevice,
            _ => FileKind::Other,
        }
    }
}

/// Returns the metadata of a file.
///
/// Without `sync`, statx(2) returns the metadata that the kernel has. fstat(2) may query a remote
/// server first.
///
/// # Errors
///
/// Any error of statx(2) and fstat(2).
pub(crate) fn metadata(fd: BorrowedFd<'_>, sync: bool) -> io::Result<Metadata> {
    let metadata = statx(fd, sync).map_or_else(|| fstat(fd), Ok)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if metadata.kind == FileKind::BlockDevice {
        let size = device_size(fd).unwrap_or(metadata.size);
        return Ok(Metadata { size, ..metadata });
    }
    Ok(metadata)
}

/// Returns the size of a block device, for which stat reports 0.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn device_size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    /// The number in linux/fs.h.
    const BLKGETSIZE64: libc::Ioctl = libc::_IOR::<usize>(0x12, 114);
    let mut size = 0_u64;
    // SAFETY: the kernel writes 64 bits through the pointer, which is to `size`.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), BLKGETSIZE64, &raw mut size) })?;
    Ok(size)
}

fn fstat(fd: BorrowedFd<'_>) -> io::Result<Metadata> {
    let file = borrowed_file(fd);
    let metadata = uninterrupted(|| file.metadata())?;
    let (size, kind) = (metadata.len(), FileKind::new(metadata.mode()));
    Ok(Metadata { size, kind, mount: None, is_dax: false })
}

/// Returns a `File` of a borrowed descriptor, for the methods of std.
fn borrowed_file(fd: BorrowedFd<'_>) -> ManuallyDrop<File> {
    // SAFETY: the descriptor is open while it is borrowed. The file is never dropped, so it does
    // not close the descriptor.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) })
}

/// A debug view of a file like that of `File`, with its path if known.
pub(crate) struct DebugFile<'a>(pub(crate) BorrowedFd<'a>);

impl fmt::Debug for DebugFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        borrowed_file(self.0).fmt(f)
    }
}

/// Sets the position of a file, in bytes from its start.
///
/// # Errors
///
/// Any error of lseek(2): ESPIPE for a pipe, EINVAL past the largest offset of the file system.
pub(crate) fn set_position(fd: BorrowedFd<'_>, position: u64) -> io::Result<()> {
    let mut file = borrowed_file(fd);
    uninterrupted(|| file.seek(SeekFrom::Start(position))).map(drop)
}

/// Returns whether the file is open with O_DIRECT.
///
/// Reads of such a file bypass the page cache, and sendfile sends from the page cache. The kernel
/// refuses sendfile with EINVAL at unaligned offsets, even midway.
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> io::Result<bool> {
    #[cfg(not(any(target_vendor = "apple", target_os = "openbsd")))]
    use libc::O_DIRECT;
    #[cfg(any(target_vendor = "apple", target_os = "openbsd"))]
    const O_DIRECT: libc::c_int = 0;
    Ok(status_flags(fd)? & O_DIRECT != 0)
}

/// The result of statx(2), with the same layout on every machine.
///
/// Unused fields have no name.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[repr(C)]
#[derive(Default)]
struct Statx {
    mask: u32,
    _block_size: u32,
    attributes: u64,
    _links_and_owner: [u32; 3],
    mode: u16,
    _before_size: [u16; 5],
    size: u64,
    _before_mount: [u64; 12],
    mount: u64,
    _rest: [u64; 13],
}

/// Calls statx(2) (Linux 4.11), and returns `None` without kind and size.
///
/// It makes the system call directly. musl has the function only since version 1.2.5, and a program
/// would not link.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn statx(fd: BorrowedFd<'_>, sync: bool) -> Option<Metadata> {
    const DONT_SYNC: c_int = 0x4000;
    const TYPE_AND_SIZE: u32 = 0x0001 | 0x0200;
    const MOUNT_ID_UNIQUE: u32 = 0x4000;
    const ATTRIBUTE_DAX: u64 = 0x0020_0000;
    const { assert!(size_of::<Statx>() == 256) };
    const { assert!(std::mem::offset_of!(Statx, size) == 0x28) };
    const { assert!(std::mem::offset_of!(Statx, mount) == 0x90) };
    let flags = libc::AT_EMPTY_PATH | if sync { 0 } else { DONT_SYNC };
    let mut stat = Statx::default();
    // SAFETY: the path is a C string. The kernel writes one `statx` of 256 bytes through the
    // pointer, which points to `stat`.
    let call = || unsafe {
        cvt(libc::syscall(
            libc::SYS_statx,
            c_long::from(fd.as_raw_fd()),
            c"".as_ptr(),
            c_long::from(flags),
            (TYPE_AND_SIZE | MOUNT_ID_UNIQUE) as c_long,
            &raw mut stat,
        ))
    };
    uninterrupted(call).ok()?;
    let has = |fields| stat.mask & fields == fields;
    has(TYPE_AND_SIZE).then(|| Metadata {
        size: stat.size,
        kind: FileKind::new(u32::from(stat.mode)),
        mount: has(MOUNT_ID_UNIQUE).then_some(stat.mount),
        is_dax: stat.attributes & ATTRIBUTE_DAX != 0,
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn statx(_fd: BorrowedFd<'_>, _sync: bool) -> Option<Metadata> {
    None
}
