//! A FUSE file system with one file whose reads are slow. The runner has mounted it.
//!
//! The standard input is the FUSE device. The kernel drops the file's pages at each `open`, so
//! every reader finds it cold.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, bail};
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, Request, Session,
    SessionACL,
};

use crate::servers::content;

const FILE: INodeNo = INodeNo(2);

/// The kernel caches names and sizes: only reads are slow.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);

/// Serves until it is unmounted.
pub fn run(arguments: &[String]) -> Result<()> {
    let [len, delay] = arguments else {
        bail!("slow-fs LEN MILLISECONDS");
    };
    let served = Served { len: len.parse()?, delay: Duration::from_millis(delay.parse()?) };
    let device = io::stdin().as_fd().try_clone_to_owned()?;
    let mut config = Config::default();
    // Concurrent reads sleep at the same time.
    config.n_threads = Some(16);
    let session = Session::from_fd(served, device, SessionACL::All, config)?;
    super::print_ready(0);
    Ok(session.spawn()?.join()?)
}

struct Served {
    len: u64,
    delay: Duration,
}

impl Served {
    fn attr(&self, ino: INodeNo) -> FileAttr {
        let is_root = ino == INodeNo::ROOT;
        FileAttr {
            ino,
            size: if is_root { 0 } else { self.len },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: match is_root {
                true => FileType::Directory,
                false => FileType::RegularFile,
            },
            perm: if is_root { 0o555 } else { 0o444 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str() {
            Some("file") => reply.entry(&FOR_EVER, &self.attr(FILE), Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.attr(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_NOFLUSH);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        thread::sleep(self.delay);
        let len = self.len.saturating_sub(offset).min(size.into());
        reply.data(&content(offset, len));
    }
}
