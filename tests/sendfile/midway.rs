//! sendfile(2) that fails in the middle of a file: no byte is lost or sent twice.

use std::fs::File;
use std::io::{self, ErrorKind, Write};

use crate::util::*;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use sendloop::{SendfileNotAvailableError, SendfilePhase, Socket, Stats};

const LEN: usize = (1 << 20) + 1;

/// Creates a file on a disk, which supports O_DIRECT.
fn on_disk() -> File {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary file");
    file.write_all(&content(0, LEN)).expect("room");
    file
}

/// Sets O_DIRECT. From here on, the kernel fails sendfile(2) at unaligned offsets with EINVAL.
fn set_direct(file: &File) {
    let flags = fcntl_getfl(file).expect("flags");
    fcntl_setfl(file, flags | OFlags::DIRECT).expect("known there");
}

/// The pairs of `prefetch` and of the number of sent bytes at which the file becomes direct.
///
/// With prefetch, the kernel refuses a probe after the first one, which covered 256 KiB.
const CASES: [(bool, u64); 3] = [(true, 256 << 10), (true, 50_000), (false, 50_000)];

/// The unaligned offset at which the transfer begins.
const OFFSET: u64 = 7;
const REST: usize = LEN - OFFSET as usize;

/// The outcome of one transfer.
struct Outcome {
    result: io::Result<u64>,
    position: u64,
    received: Vec<u8>,
    stats: Stats,
}

/// Sends a file in steps of 5,000 bytes, and makes it direct midway.
fn send((prefetch, direct_at): (bool, u64), fallback: bool) -> Outcome {
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let file = on_disk();
    let received = reader(far);
    let make_direct = |sent| {
        if sent >= direct_at {
            set_direct(&file);
        }
    };
    let transfer = event_loop.sock_sendfile(&near, &file).offset(OFFSET);
    let transfer = transfer.fallback(fallback).prefetch(prefetch);
    let transfer = transfer.chunk(5000).header(b"header").progress(make_direct);
    let result = event_loop.run_until_complete(transfer);
    drop(near);
    Outcome {
        result,
        position: position(&file),
        received: received.join().expect("read"),
        stats: event_loop.stats(),
    }
}

#[test]
fn sendfile_refused_midway_continues_with_the_fallback() {
    let _test = test();
    for way in CASES {
        let outcome = send(way, true);
        assert_eq!(outcome.result.expect("sent"), REST as u64);
        assert_eq!(outcome.position, LEN as u64);
        assert_eq!(&outcome.received[..6], b"header");
        assert_content(&outcome.received[6..], OFFSET, REST);
        let stats = outcome.stats;
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
    for way in CASES {
        let outcome = send(way, false);
        let error = outcome.result.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let inner = error.get_ref().expect("an inner error");
        let inner = inner.downcast_ref::<SendfileNotAvailableError>();
        let inner = inner.expect("its type");
        let expected = match FORCED_FALLBACK {
            true => (SendfilePhase::Begin, Some(libc::ENOSYS)),
            false => (SendfilePhase::Midway, Some(libc::EINVAL)),
        };
        assert_eq!((inner.phase(), inner.errno()), expected);
        assert_eq!(outcome.position, OFFSET + inner.sent());
        assert_content(&outcome.received[6..], OFFSET, inner.sent() as usize);
    }
}
