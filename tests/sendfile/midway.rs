//! sendfile that stops to serve in the middle of a file: no byte is lost, and none comes twice.

use std::fs::File;
use std::io::{ErrorKind, Write};

use crate::util::*;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use sendloop::{LoopHandle, SendfileNotAvailableError, SendfilePhase, Socket};

const LEN: usize = (1 << 20) + 1;

/// A file on a disk, where O_DIRECT is known.
fn on_disk() -> File {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary file");
    file.write_all(&content(0, LEN)).expect("room");
    file
}

/// Makes its reads go past the page cache: at an offset that is not aligned the kernel answers sendfile with EINVAL from here on.
fn turn_direct(file: &File) {
    let flags = fcntl_getfl(file).expect("flags");
    fcntl_setfl(file, flags | OFlags::DIRECT).expect("known there");
}

/// How the file is sent, and when it turns.
#[derive(Clone, Copy)]
struct Way {
    fallback: bool,
    prefetch: bool,
    /// The look at the page cache that is refused is the one behind the first, which told of 256 KiB.
    turned_at: u64,
}

const WAYS: [(bool, u64); 3] = [(true, 256 << 10), (true, 50_000), (false, 50_000)];

/// Where it begins; not aligned.
const OFFSET: u64 = 7;
const REST: usize = LEN - OFFSET as usize;

/// Sends the file by steps of 5,000 bytes, and turns it midway.
async fn send(
    event_loop: &LoopHandle,
    near: &Socket<std::net::TcpStream>,
    file: &File,
    way: Way,
) -> std::io::Result<u64> {
    let transfer = event_loop.sock_sendfile(near, file).offset(OFFSET);
    let transfer = transfer.fallback(way.fallback).prefetch(way.prefetch);
    let turn = |sent| {
        if sent >= way.turned_at {
            turn_direct(file);
        }
    };
    let transfer = transfer.chunk(5000).header(b"header");
    transfer.progress(turn).await
}

#[test]
fn sendfile_refused_midway_continues_with_the_fallback() {
    let _test = test();
    for (prefetch, turned_at) in WAYS {
        let event_loop = new_loop();
        let (near, far) = tcp();
        let near = Socket::new(near).expect("non-blocking");
        let file = on_disk();
        let received = reader(far);
        let way = Way {
            fallback: true,
            prefetch,
            turned_at,
        };
        let sent = send(&event_loop, &near, &file, way);
        let sent = event_loop.run_until_complete(sent).expect("sent");
        assert_eq!(sent, REST as u64);
        assert_eq!(position(&file), LEN as u64);
        drop(near);
        let received = received.join().expect("read");
        assert_eq!(&received[..6], b"header");
        assert_content(&received[6..], OFFSET, REST);
        let stats = event_loop.stats();
        assert_eq!(stats.sendfile_fallbacks, 1, "{stats:?}");
        if !FORCED_FALLBACK {
            assert_eq!(stats.fallbacks.refused, 1, "{stats:?}");
            assert!(stats.sendfile_calls >= 10, "{stats:?}");
        }
    }
}

#[test]
fn sendfile_refused_midway_without_fallback_reports_the_bytes_sent() {
    let _test = test();
    for (prefetch, turned_at) in WAYS {
        let event_loop = new_loop();
        let (near, far) = tcp();
        let near = Socket::new(near).expect("non-blocking");
        let file = on_disk();
        let received = reader(far);
        let way = Way {
            fallback: false,
            prefetch,
            turned_at,
        };
        let sent = send(&event_loop, &near, &file, way);
        let error = event_loop.run_until_complete(sent).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let inner = error.get_ref().expect("an inner error");
        let inner = inner.downcast_ref::<SendfileNotAvailableError>();
        let inner = inner.expect("its type");
        let expected = match FORCED_FALLBACK {
            true => (SendfilePhase::Begin, Some(libc::ENOSYS)),
            false => (SendfilePhase::Midway, Some(libc::EINVAL)),
        };
        assert_eq!((inner.phase(), inner.errno()), expected);
        assert_eq!(position(&file), OFFSET + inner.sent());
        drop(near);
        let received = received.join().expect("read");
        assert_content(&received[6..], OFFSET, inner.sent() as usize);
    }
}
