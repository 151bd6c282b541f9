//! The objects that a thread keeps from case to case: its loop, files, port and memory.

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;

use sendloop::{Loop, Socket};
use socket2::SockRef;

use crate::model::case::*;
#[cfg(target_os = "linux")]
use crate::model::mounts;
use crate::util::content;

/// The content of every file, up to its length.
pub(crate) static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| content(0, LONGEST as usize + 64));

/// The bytes of headers and other writers. They differ from the file and from each other.
static OTHERS: LazyLock<Vec<u8>> = LazyLock::new(|| content(1 << 40, MAX_WRITERS * MAX_BYTES));

/// Returns the bytes of one writer: all of them, or its header.
pub(crate) fn bytes_of(writer: usize, len: usize) -> &'static [u8] {
    &OTHERS[writer * MAX_BYTES..][..len]
}

/// A file whose content is that of [`FILE`] up to its length.
pub(crate) struct Sample {
    pub(crate) file: File,
    len: Cell<u64>,
}

impl Sample {
    fn new(file: File) -> Sample {
        let len = Cell::new(0);
        Sample { file, len }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.get()
    }

    pub(crate) fn resize(&self, to: u64) {
        let len = self.len.replace(to);
        if to < len {
            self.file.set_len(to).expect("truncated");
        } else {
            let more = &FILE[len as usize..to as usize];
            self.file.write_all_at(more, len).expect("room");
        }
    }

    pub(crate) fn position(&self) -> u64 {
        (&self.file).stream_position().expect("a position")
    }
}

/// The bytes that the peer has read, in memory that is allocated once.
#[derive(Default)]
pub(crate) struct Received {
    memory: Vec<u8>,
    len: usize,
}

impl Received {
    fn new() -> Received {
        let most = MAX_WRITERS * (LONGEST as usize + MAX_BYTES) + MAX_PIECE;
        Received { memory: vec![0xff; most], len: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// Returns room for the next bytes. It is empty after more bytes than any case sends.
    pub(crate) fn room(&mut self, most: usize) -> &mut [u8] {
        let end = self.memory.len().min(self.len + most);
        &mut self.memory[self.len..end]
    }

    pub(crate) fn add(&mut self, len: usize) {
        self.len += len;
    }

    /// Takes the buffer out and leaves an empty one.
    pub(crate) fn take(&mut self) -> Received {
        mem::take(self)
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

pub(crate) struct Bench {
    pub(crate) event_loop: Loop,
    pub(crate) received: Received,
    listener: TcpListener,
    memory: Sample,
    disk: Sample,
    /// Created at the first use, because this takes long.
    cold: OnceCell<Sample>,
    overlay: OnceCell<Sample>,
    squashfs: OnceCell<Sample>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench {
            event_loop: Loop::new().expect("a loop"),
            received: Received::new(),
            listener: TcpListener::bind("127.0.0.1:0").expect("a port"),
            memory: Sample::new(in_memory()),
            disk: Sample::new(on_disk()),
            cold: OnceCell::new(),
            overlay: OnceCell::new(),
            squashfs: OnceCell::new(),
        }
    }

    /// Returns the file of the case, in the state that the case needs.
    pub(crate) fn sample(&self, case: &Case) -> &Sample {
        let sample = match case.medium {
            Medium::Memory => &self.memory,
            Medium::Disk => &self.disk,
            Medium::Cold => self.cold.get_or_init(on_disk_synced),
            Medium::Overlay => self.overlay.get_or_init(on_an_overlay),
            Medium::Squashfs | Medium::ColdSquashfs => self.squashfs.get_or_init(on_squashfs),
        };
        match case.medium {
            Medium::Cold | Medium::ColdSquashfs => forget(&sample.file),
            Medium::Squashfs => {}
            Medium::Memory | Medium::Disk | Medium::Overlay => sample.resize(case.size),
        }
        let set = (&sample.file).seek(SeekFrom::Start(case.position));
        set.expect("a valid position");
        sample
    }

    /// Returns a connection: the loop's end and the peer's end.
    pub(crate) fn connect(&self, wire: &Wire) -> (Socket<OwnedFd>, Socket<OwnedFd>) {
        let (near, far): (OwnedFd, OwnedFd) = match wire.kind {
            Kind::Unix => {
                let (near, far) = UnixStream::pair().expect("a pair");
                (near.into(), far.into())
            }
            Kind::Tcp | Kind::Nagle => {
                let port = self.listener.local_addr().expect("bound");
                let near = TcpStream::connect(port).expect("connected");
                let (far, _) = self.listener.accept().expect("accepted");
                near.set_nodelay(wire.kind == Kind::Tcp).expect("TCP");
                (near.into(), far.into())
            }
        };
        if let Some(len) = wire.send_buffer {
            let set = SockRef::from(&near).set_send_buffer_size(len);
            set.expect("rounded up or down");
        }
        if let Some(len) = wire.receive_buffer {
            let set = SockRef::from(&far).set_recv_buffer_size(len);
            set.expect("rounded up or down");
        }
        let socket = |end| Socket::new(end).expect("non-blocking");
        (socket(near), socket(far))
    }
}

fn on_disk() -> File {
    tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file")
}

/// The kernel cannot evict pages that are not written yet.
fn on_disk_synced() -> Sample {
    let sample = Sample::new(on_disk());
    sample.resize(COLD);
    sample.file.sync_all().expect("written");
    sample
}

/// Unmounts at once: an open file keeps its file system.
#[cfg(target_os = "linux")]
fn on_an_overlay() -> Sample {
    let mounted = mounts::overlay(&[]).map(|mounted| mounted.file());
    Sample::new(mounted.unwrap_or_else(on_disk))
}

#[cfg(not(target_os = "linux"))]
fn on_an_overlay() -> Sample {
    Sample::new(on_disk())
}

#[cfg(target_os = "linux")]
fn on_squashfs() -> Sample {
    match mounts::squashfs(&FILE[..COLD as usize]) {
        Some(mounted) => Sample { file: mounted.open(), len: Cell::new(COLD) },
        None => on_disk_synced(),
    }
}

#[cfg(not(target_os = "linux"))]
fn on_squashfs() -> Sample {
    on_disk_synced()
}

#[cfg(target_os = "linux")]
fn in_memory() -> File {
    use rustix::fs::{MemfdFlags, memfd_create};
    memfd_create("model", MemfdFlags::CLOEXEC).expect("a file in memory").into()
}

#[cfg(not(target_os = "linux"))]
fn in_memory() -> File {
    tempfile::tempfile().expect("a file")
}

/// Evicts the file from the page cache.
#[cfg(target_os = "linux")]
fn forget(file: &File) {
    use rustix::fs::{Advice, fadvise};
    fadvise(file, 0, None, Advice::DontNeed).expect("a file");
}

#[cfg(not(target_os = "linux"))]
fn forget(_file: &File) {}
