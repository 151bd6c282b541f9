//! Metadata, flags and position of a file.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::mem::ManuallyDrop;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::MetadataExt;

#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{c_int, c_long};

use super::{cvt, uninterrupted};

/// What the kernel knows of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Metadata {
    /// In bytes; 0 also for files whose size is unknown, as those of procfs.
    pub(crate) size: u64,
    pub(crate) kind: FileKind,
    /// The unique id of the mount that the file is on (Linux 6.8). No later mount has the same one.
    pub(crate) mount: Option<u64>,
    /// The file's pages are memory of their own (STATX_ATTR_DAX): a read never waits for a disk.
    pub(crate) is_dax: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    Regular,
    BlockDevice,
    Other,
}

impl FileKind {
    /// The kind's bits are the same on every Unix.
    fn new(mode: u32) -> FileKind {
        match mode & 0o170_000 {
            0o100_000 => FileKind::Regular,
            0o060_000 => FileKind::BlockDevice,
            _ => FileKind::Other,
        }
    }
}

/// Returns the metadata of a file. Without `sync`, the kernel answers from what it knows: fstat(2)
/// may ask a remote server first.
///
/// # Errors
///
/// Any error of statx(2) and fstat(2).
pub(crate) fn metadata(fd: BorrowedFd<'_>, sync: bool) -> io::Result<Metadata> {
    match statx(fd, sync) {
        Some(metadata) => Ok(metadata),
        None => fstat(fd),
    }
}

fn fstat(fd: BorrowedFd<'_>) -> io::Result<Metadata> {
    let file = ManuallyDrop::new(borrowed_file(fd));
    let metadata = uninterrupted(|| file.metadata())?;
    Ok(Metadata {
        size: metadata.len(),
        kind: FileKind::new(metadata.mode()),
        mount: None,
        is_dax: false,
    })
}

/// A `File` of a borrowed descriptor, for the methods of std. The caller must not drop it.
fn borrowed_file(fd: BorrowedFd<'_>) -> File {
    // SAFETY: the descriptor is open while it is borrowed. All callers wrap the file in
    // `ManuallyDrop`, so it is never closed here.
    unsafe { File::from_raw_fd(fd.as_raw_fd()) }
}

/// Shows a file as `File` does, with its path if the system tells it.
pub(crate) struct Shown<'a>(pub(crate) BorrowedFd<'a>);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ManuallyDrop::new(borrowed_file(self.0)).fmt(f)
    }
}

/// Sets the position of a file, in bytes from its start.
///
/// # Errors
///
/// Any error of lseek(2): ESPIPE for a pipe, EINVAL past the largest offset of the file system.
pub(crate) fn set_position(fd: BorrowedFd<'_>, position: u64) -> io::Result<()> {
    let mut file = ManuallyDrop::new(borrowed_file(fd));
    uninterrupted(|| file.seek(SeekFrom::Start(position))).map(drop)
}

/// Returns whether the file was opened with O_DIRECT. Its reads bypass the page cache, which is
/// what sendfile sends from: the kernel refuses sendfile with EINVAL at unaligned offsets, also
/// midway.
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

/// The answer of statx(2), which has the same layout on every machine. Unused fields have no name.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[repr(C)]
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

/// Calls statx(2) (Linux 4.11). Returns `None` if the kernel does not tell kind and size.
///
/// It makes the system call itself: musl has the function since version 1.2.5 only, and a program
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
    let mut answer = MaybeUninit::<Statx>::zeroed();
    // SAFETY: the path is a C string, and the kernel writes one `statx`, of 256 bytes, through the
    // pointer, which is to `answer`.
    let call = || unsafe {
        cvt(libc::syscall(
            libc::SYS_statx,
            c_long::from(fd.as_raw_fd()),
            c"".as_ptr(),
            c_long::from(flags),
            (TYPE_AND_SIZE | MOUNT_ID_UNIQUE) as c_long,
            answer.as_mut_ptr(),
        ))
    };
    uninterrupted(call).ok()?;
    // SAFETY: all zeros is a valid `Statx`, whether the call wrote to it or not.
    let answer = unsafe { answer.assume_init() };
    let has = |fields| answer.mask & fields == fields;
    has(TYPE_AND_SIZE).then(|| Metadata {
        size: answer.size,
        kind: FileKind::new(u32::from(answer.mode)),
        mount: has(MOUNT_ID_UNIQUE).then_some(answer.mount),
        is_dax: answer.attributes & ATTRIBUTE_DAX != 0,
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn statx(_fd: BorrowedFd<'_>, _sync: bool) -> Option<Metadata> {
    None
}
