//! Transfers of a file, on every path of a transfer.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use sendloop::{SendFile, Socket};

use super::peers;
use super::scene::{Scene, open, play};
use crate::util::{ODD, assert_content, content, small_buffer_unix, tcp};

/// Returns the file's position without a call of lseek(2).
fn position(file: &File) -> u64 {
    let mut info = open(&format!("/proc/self/fdinfo/{}", file.as_raw_fd()));
    let mut text = [0; 64];
    let read = info.read(&mut text);
    let text = std::str::from_utf8(&text[..read.expect("procfs")]).expect("text");
    let position = text.split_ascii_whitespace().nth(1);
    position.and_then(|position| position.parse().ok()).expect("a position")
}

/// Sends from `offset` on, and returns the end of the transfer.
///
/// It also returns whether the file's position agrees, and records the errors.
async fn send<S: AsFd>(
    scene: &Scene,
    sock: &Socket<S>,
    offset: u64,
    sending: SendFile<'_, S, File>,
) -> u64 {
    let moved = Cell::new(0);
    let sending = sending.offset(offset).progress(|sent| moved.set(sent));
    let sending = sending.into_future();
    let result = scene.with_owed_edges(sock, sending).await;
    if position(&scene.file) != offset + moved.get() {
        scene.met("misplaced");
    }
    match result {
        Ok(sent) => assert_eq!(sent, moved.get(), "the result is what was sent"),
        Err(error) => scene.met_error(&error),
    }
    offset + moved.get()
}

/// Sends the whole file. If a transfer ends early, the next one continues at its end.
fn send_whole(
    scene: &Scene,
    options: impl for<'a> Fn(SendFile<'a, UnixStream, File>) -> SendFile<'a, UnixStream, File>,
) {
    let (near, far) = small_buffer_unix();
    let reader = peers::stalled_reader(far);
    scene.event_loop.run_until_complete(async {
        let mut sent = 0;
        while sent < ODD as u64 {
            let sending = scene.event_loop.sock_sendfile(&near, &scene.file);
            let before = scene.met_so_far();
            sent = send(scene, &near, sent, options(sending)).await;
            if sent < ODD as u64 && scene.met_so_far() == before {
                scene.met("short");
            }
        }
    });
    drop(near);
    assert_content(&reader.join().expect("read"), 0, ODD);
}

#[test]
fn sendfile() {
    play(|scene| send_whole(scene, |sending| sending.prefetch(false).chunk(16 << 10)));
}

#[test]
fn sendfile_without_the_fallback() {
    play(|scene| {
        send_whole(scene, |sending| sending.prefetch(false).chunk(16 << 10).fallback(false));
    });
}

#[test]
fn sendfile_that_probes_the_page_cache() {
    play(|scene| send_whole(scene, |sending| sending.chunk(16 << 10)));
}

/// One call satisfies each count, so the transfer does not need the file's size.
#[test]
fn sendfile_of_small_parts() {
    play(|scene| {
        let (near, far) = scene.until_ok(|| {
            let (near, far) = tcp();
            Ok((Socket::new(near)?, far))
        });
        let reader = peers::reader(far);
        scene.event_loop.run_until_complete(async {
            let mut sent = 0;
            while sent < 1000 {
                let sending = scene.event_loop.sock_sendfile(&near, &scene.file);
                sent = send(scene, &near, sent, sending.prefetch(false).count(100)).await;
            }
        });
        drop(near);
        assert_content(&reader.join().expect("read"), 0, 1000);
    });
}

#[test]
fn sendfile_with_a_header() {
    play(|scene| {
        let (near, far) = scene.until_ok(|| {
            let (near, far) = tcp();
            Ok((Socket::new(near)?, far))
        });
        let reader = peers::reader(far);
        scene.event_loop.run_until_complete(async {
            let mut sent = 0;
            while sent < 1000 {
                let sending = scene.event_loop.sock_sendfile(&near, &scene.file);
                let sending = sending.prefetch(false).count(100).header(b"header");
                sent = send(scene, &near, sent, sending).await;
            }
        });
        drop(near);
        let part = |n: u64| [&b"header"[..], &content(n * 100, 100)].concat();
        let expected: Vec<u8> = (0..10).flat_map(part).collect();
        assert_eq!(reader.join().expect("read"), expected);
    });
}
