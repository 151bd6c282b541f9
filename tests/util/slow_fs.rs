//! A file system with slow reads: one file, served over FUSE.
//!
//! # The server
//!
//! The server is another process: this test binary again, which runs the one test below. A process
//! that serves itself can hang without end. The kernel kills its threads in any order, and a thread
//! that waits for a reply cannot be killed (fs/fuse/dev.c, `request_wait_answer`). So the serving
//! thread may be gone while the device stays open.
//!
//! # Cleanup
//!
//! The test mounts, opens and detaches the file system at once, so no mount is left. The file
//! system lives as long as one of its descriptors, so it ends with the test, also after a panic or
//! a kill. The server's next request then reports the end. If the server dies first, the kernel
//! fails the pending requests.
//!
//! It needs root and `/dev/fuse`.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};
use std::{env, io, process};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    Request, Session, SessionACL,
};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::util::{content, this_program};

/// The variable with the parameters of the server.
const SERVE: &str = "SENDLOOP_SLOW_FS";

const FILE: INodeNo = INodeNo(2);
/// The file with the number of served reads, in decimal.
const READS: INodeNo = INodeNo(3);

/// The time for which the kernel caches names and sizes.
///
/// So only reads are slow, unless a test wants a delay of all requests.
const CACHE_TIME: Duration = Duration::from_secs(1 << 20);

/// How the kernel caches the pages of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The kernel caches pages until the next `open`, which evicts them for all open files.
    Cached,
    /// `FOPEN_DIRECT_IO`: every read is a request.
    Direct,
}

/// One slow file of [`content`].
///
/// Its drop waits for a limited time until the last descriptor of the file is closed.
#[derive(Debug)]
pub struct SlowFs {
    root: Option<OwnedFd>,
    server: Child,
}

/// Returns whether this machine supports such file systems. It prints the reason if not.
pub fn available() -> bool {
    let available = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !available {
        eprintln!("skipped: a FUSE file system needs root and /dev/fuse");
    }
    available
}

impl SlowFs {
    /// Mounts a file system with a file of `len` bytes, whose read requests each take `delay`.
    #[track_caller]
    pub fn mount(len: u64, delay: Duration, pages: Pages) -> SlowFs {
        let direct = pages == Pages::Direct;
        SlowFs::serving(&format!("{len} {} {direct} 0", delay.as_nanos()))
    }

    /// Mounts a file system on which `delay` also applies to each query of the size and the kind.
    #[track_caller]
    pub fn mount_slow_throughout(len: u64, delay: Duration) -> SlowFs {
        let delay = delay.as_nanos();
        SlowFs::serving(&format!("{len} {delay} false {delay}"))
    }

    #[track_caller]
    fn serving(serve: &str) -> SlowFs {
        let device = File::options().read(true).write(true).open("/dev/fuse").expect("the device");
        let root = mount_detached(&device).expect("mounted");
        let (_, module) = module_path!().split_once("::").expect("the crate's name");
        let server = this_program()
            .args(["--exact", &format!("{module}::serve"), "--nocapture"])
            .env(SERVE, serve)
            .stdin(device)
            .stdout(Stdio::null())
            .spawn();
        SlowFs { root: Some(root), server: server.expect("a server") }
    }

    /// Returns the file's path, which works for other processes, too.
    pub fn path(&self) -> PathBuf {
        self.named("file")
    }

    pub fn open(&self) -> File {
        File::open(self.path()).expect("the file")
    }

    /// Returns the number of served read requests.
    ///
    /// Linux 6.18 asks for 128 KiB per request with cached pages, and reads ahead: a cold MiB is 8
    /// requests and takes 4 delays. Without cached pages it asks for up to 1 MiB.
    pub fn reads(&self) -> u64 {
        let reads = fs::read_to_string(self.named("reads")).expect("the count");
        reads.parse().expect("a number")
    }

    fn named(&self, name: &str) -> PathBuf {
        let root = self.root.as_ref().expect("mounted").as_raw_fd();
        format!("/proc/{}/fd/{root}/{name}", process::id()).into()
    }
}

impl Drop for SlowFs {
    fn drop(&mut self) {
        self.root = None;
        let start = Instant::now();
        while let Ok(None) = self.server.try_wait() {
            if start.elapsed() > Duration::from_secs(10) {
                eprintln!("a file of the slow file system is still open; its server is killed");
                let _ = self.server.kill();
                let _ = self.server.wait();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Mounts the file system of the device, detaches it from the tree, and returns its root.
fn mount_detached(device: &File) -> io::Result<OwnedFd> {
    let point = tempfile::tempdir()?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let options = CString::new(options)?;
    mount("sendloop-slow", point.path(), "fuse", MountFlags::RDONLY, options.as_c_str())?;
    // O_PATH, because any other open would send a request, and no server runs yet.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(point.path(), flags, Mode::empty());
    unmount(point.path(), UnmountFlags::DETACH)?;
    Ok(root?)
}

/// Runs the server if [`SlowFs::mount`] has started it. Otherwise it does nothing.
#[test]
fn serve() {
    let Ok(serve) = env::var(SERVE) else { return };
    let mut words = serve.split(' ');
    let mut next = || words.next().expect("a word");
    let served = Served {
        len: next().parse().expect("a length"),
        delay: Duration::from_nanos(next().parse().expect("a delay")),
        direct: next().parse().expect("a flag"),
        attributes: Duration::from_nanos(next().parse().expect("a delay")),
        reads: AtomicU64::new(0),
    };
    let stdin = io::stdin();
    let device = stdin.as_fd().try_clone_to_owned().expect("the device");
    let mut config = Config::default();
    // Each thread sleeps through one read, so concurrent reads do not wait for each other.
    config.n_threads = Some(16);
    let session = Session::from_fd(served, device, SessionACL::Owner, config).expect("a session");
    let served = session.spawn().expect("threads").join();
    if let Err(error) = served {
        // The kernel returns this to a thread that reads a request during the unmount.
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    }
}

struct Served {
    len: u64,
    delay: Duration,
    direct: bool,
    /// The delay of queries of the size and the kind.
    attributes: Duration,
    reads: AtomicU64,
}

impl Served {
    fn attr(&self, ino: INodeNo) -> FileAttr {
        let directory = ino == INodeNo::ROOT;
        FileAttr {
            ino,
            size: if ino == FILE { self.len } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if directory { FileType::Directory } else { FileType::RegularFile },
            perm: if directory { 0o555 } else { 0o444 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Returns for how long the kernel may cache the size.
    fn valid(&self) -> Duration {
        match self.attributes {
            Duration::ZERO => CACHE_TIME,
            _ => Duration::ZERO,
        }
    }

    /// Returns the bytes of a read after the delay.
    fn read_slowly(&self, offset: u64, size: u32) -> Vec<u8> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        thread::sleep(self.delay);
        let len = self.len.saturating_sub(offset).min(size.into());
        content(offset, usize::try_from(len).expect("at most a u32"))
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str() {
            Some("file") => reply.entry(&self.valid(), &self.attr(FILE), Generation(0)),
            Some("reads") => reply.entry(&CACHE_TIME, &self.attr(READS), Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match ino {
            FILE => {
                thread::sleep(self.attributes);
                reply.attr(&self.valid(), &self.attr(ino));
            }
            _ => reply.attr(&CACHE_TIME, &self.attr(ino)),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        thread::sleep(self.attributes);
        reply.statfs(0, 0, 0, 0, 0, 512, 255, 0);
    }

    /// Opens the file. A close sends no request, unless all requests are slow.
    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let mut flags = FopenFlags::empty();
        flags.set(FopenFlags::FOPEN_NOFLUSH, self.attributes.is_zero());
        flags.set(FopenFlags::FOPEN_DIRECT_IO, self.direct || ino == READS);
        reply.opened(FileHandle(0), flags);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        thread::sleep(self.attributes);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match (ino, offset) {
            (FILE, _) => reply.data(&self.read_slowly(offset, size)),
            (_, 0) => reply.data(self.reads.load(Ordering::Relaxed).to_string().as_bytes()),
            _ => reply.data(&[]),
        }
    }
}
