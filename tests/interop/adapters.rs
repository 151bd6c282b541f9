//! The adapters in `examples/adapters`: both sides at once, the end, errors, and odd buffers.

#[path = "../../examples/adapters/futures_io.rs"]
mod futures_io;
#[path = "../../examples/adapters/tokio.rs"]
mod tokio_io;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use sendloop::{LoopHandle, Socket};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use crate::util::*;

/// More than every buffer of a narrow socket.
const LEN: usize = 300_001;

fn futures(event_loop: &LoopHandle, socket: TcpStream) -> futures_io::Stream<TcpStream> {
    futures_io::Stream::new(event_loop, Socket::new(socket).expect("a socket"))
}

fn tokio(event_loop: &LoopHandle, socket: TcpStream) -> tokio_io::Stream<TcpStream> {
    tokio_io::Stream::new(event_loop, Socket::new(socket).expect("a socket"))
}

#[test]
fn halves_of_a_futures_stream_move_in_two_tasks_at_once() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        let (near, far) = narrow_tcp();
        let far = futures(&event_loop, far);
        let near = futures_io::Stream::new(&event_loop, near);
        let both = [near, far].map(|stream| {
            let (mut reader, mut writer) = futures_util::AsyncReadExt::split(stream);
            let writing = event_loop.create_task(async move {
                AsyncWriteExt::write_all(&mut writer, &content(0, LEN)).await.expect("sent");
                writer.close().await.expect("closed");
            });
            let reading = event_loop.create_task(async move {
                let mut bytes = Vec::new();
                AsyncReadExt::read_to_end(&mut reader, &mut bytes).await.expect("the end");
                assert_content(&bytes, 0, LEN);
            });
            [writing, reading]
        });
        for task in both.into_iter().flatten() {
            task.await.expect("no panic");
        }
    });
    assert_eq!(event_loop.stats().registered, 0);
}

#[test]
fn halves_of_a_tokio_stream_move_in_two_tasks_at_once() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        let (near, far) = narrow_tcp();
        let far = tokio(&event_loop, far);
        let near = tokio_io::Stream::new(&event_loop, near);
        let both = [near, far].map(|stream| {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let writing = event_loop.create_task(async move {
                writer.write_all(&content(0, LEN)).await.expect("sent");
                writer.shutdown().await.expect("closed");
            });
            let reading = event_loop.create_task(async move {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).await.expect("the end");
                assert_content(&bytes, 0, LEN);
            });
            [writing, reading]
        });
        for task in both.into_iter().flatten() {
            task.await.expect("no panic");
        }
    });
    assert_eq!(event_loop.stats().registered, 0);
}
