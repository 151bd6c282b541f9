//! The peers, on other threads. They use only read(2) and write(2), which strace does not fail.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Starts a thread that reads up to the end or a reset.
pub(super) fn reader(from: impl Into<OwnedFd>) -> JoinHandle<Vec<u8>> {
    let from = from.into();
    thread::spawn(move || read_all(from))
}

/// Starts a thread that stalls first and then reads like `reader`.
///
/// A sender that does not sleep meanwhile makes about a thousand calls.
pub(super) fn stalled_reader(from: impl Into<OwnedFd>) -> JoinHandle<Vec<u8>> {
    let from = from.into();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        read_all(from)
    })
}

fn read_all(from: OwnedFd) -> Vec<u8> {
    let mut from = File::from(from);
    let mut all = Vec::new();
    let mut piece = vec![0; 8192];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        all.extend_from_slice(&piece[..read]);
    }
    all
}

/// Writes `bytes` in pieces, then closes.
pub(super) fn writer(to: impl Into<OwnedFd>, bytes: Vec<u8>) -> JoinHandle<()> {
    let mut to = File::from(to.into());
    thread::spawn(move || {
        for piece in bytes.chunks(20_000) {
            to.write_all(piece).expect("the loop's end reads");
        }
    })
}
