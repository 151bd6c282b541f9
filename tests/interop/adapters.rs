//! The adapters in `examples/adapters`: both sides at once, the end, errors, and odd buffers.

#[path = "../../examples/adapters/futures_io.rs"]
mod futures_io;
#[path = "../../examples/adapters/tokio.rs"]
mod tokio_io;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use sendloop::{LoopHandle, Socket};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use crate::util::*;

/// More than the buffers of a socket with small buffers.
const LEN: usize = 300_001;

fn futures<T: AsFd>(event_loop: &LoopHandle, socket: T) -> futures_io::Stream<T> {
    futures_io::Stream::new(event_loop, Socket::new(socket).expect("a socket"))
}

fn tokio<T: AsFd>(event_loop: &LoopHandle, socket: T) -> tokio_io::Stream<T> {
    tokio_io::Stream::new(event_loop, Socket::new(socket).expect("a socket"))
}

#[test]
fn halves_of_a_futures_stream_move_in_two_tasks_at_once() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        let (near, far) = small_buffer_unix();
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
        let (near, far) = small_buffer_unix();
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

/// Polls once with a waker that does nothing.
fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn empty_read_returns_at_once_and_takes_nothing() {
    let _test = test();
    let event_loop = new_loop();
    for is_sent in [false, true] {
        let (near, mut far) = tcp();
        let mut near = futures(&event_loop, near);
        if is_sent {
            far.write_all(b"x").expect("room");
        }
        let read = |cx: &mut Context<'_>| {
            futures_util::io::AsyncRead::poll_read(Pin::new(&mut near), cx, &mut [])
        };
        assert!(matches!(poll_once(read), Poll::Ready(Ok(0))));
        let mut near = tokio_io::Stream::new(&event_loop, near.socket);
        let mut full = ReadBuf::new(&mut []);
        let read = |cx: &mut Context<'_>| Pin::new(&mut near).poll_read(cx, &mut full);
        assert!(matches!(poll_once(read), Poll::Ready(Ok(()))));
        if is_sent {
            let byte = event_loop.run_until_complete(near.read_u8());
            assert_eq!(byte.expect("the byte"), b'x');
        }
    }
}

#[test]
fn tokio_read_adds_to_a_buffer_that_is_not_initialized() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    let mut near = tokio(&event_loop, near);
    let mut memory = [MaybeUninit::uninit(); 200_000];
    let mut buffer = ReadBuf::uninit(&mut memory);
    buffer.put_slice(b"before ");
    event_loop.run_until_complete(async {
        // The first poll waits, and must not change the buffer.
        let mut read = pin!(poll_fn(|cx| Pin::new(&mut near).poll_read(cx, &mut buffer)));
        assert!(poll_once(|cx| read.as_mut().poll(cx)).is_pending());
        far.write_all(b"and after").expect("room");
        read.await.expect("received");
    });
    assert_eq!(buffer.filled(), b"before and after");
}

#[test]
fn stream_end_repeats_and_half_close_keeps_reading() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        let (near, mut far) = tcp();
        let mut near = futures(&event_loop, near);
        near.close().await.expect("half-closed");
        near.close().await.expect("half-closed again");
        assert_eq!(far.read(&mut [0; 10]).expect("the end"), 0);
        far.write_all(b"later").expect("room");
        far.shutdown(Shutdown::Write).expect("connected");
        let mut bytes = Vec::new();
        AsyncReadExt::read_to_end(&mut near, &mut bytes).await.expect("the end");
        assert_eq!(bytes, b"later");
        assert_eq!(AsyncReadExt::read(&mut near, &mut [0; 10]).await.expect("the end"), 0);
        let written = AsyncWriteExt::write(&mut near, b"x").await;
        assert_eq!(written.expect_err("closed").kind(), ErrorKind::BrokenPipe);

        let (near, mut far) = tcp();
        let mut near = tokio(&event_loop, near);
        near.shutdown().await.expect("half-closed");
        near.shutdown().await.expect("half-closed again");
        assert_eq!(far.read(&mut [0; 10]).expect("the end"), 0);
        drop(far);
        assert_eq!(near.read(&mut [0; 10]).await.expect("the end"), 0);
        assert_eq!(near.read(&mut [0; 10]).await.expect("the end"), 0);
    });
}

#[test]
fn reset_wakes_both_halves_and_closing_afterwards_succeeds() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(async {
        let (near, far) = small_buffer_tcp();
        let stream = futures_io::Stream::new(&event_loop, near);
        let (mut reader, mut writer) = futures_util::AsyncReadExt::split(stream);
        let reading = event_loop.create_task(async move {
            let read = AsyncReadExt::read(&mut reader, &mut [0; 10]).await;
            (read.map_err(|error| error.kind()), reader)
        });
        let writing = event_loop.create_task(async move {
            let written = AsyncWriteExt::write_all(&mut writer, &content(0, LEN)).await;
            (written.map_err(|error| error.kind()), writer)
        });
        // Both halves wait by then.
        event_loop.sleep(Duration::ZERO).await;
        event_loop.sleep(Duration::ZERO).await;
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).expect("set");
        drop(far);
        let (read, _reader) = reading.await.expect("no panic");
        let (written, mut writer) = writing.await.expect("no panic");
        // Only the first call after the reset gets its error.
        assert!([Ok(0), Err(ErrorKind::ConnectionReset)].contains(&read), "{read:?}");
        let errors = [Err(ErrorKind::ConnectionReset), Err(ErrorKind::BrokenPipe)];
        assert!(errors.contains(&written), "{written:?}");
        writer.close().await.expect("nothing to close is no error");
    });
}

#[test]
fn stream_that_is_dropped_while_it_waits_leaves_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = tcp();
    let mut stream = tokio(&event_loop, near);
    let task = event_loop.create_task(async move { stream.read_u8().await });
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert_eq!(event_loop.stats().registered, 1);
    assert!(task.cancel());
    assert_eq!(event_loop.stats().registered, 0);
    assert_eq!(event_loop.stats().tasks, 0);
}

#[test]
fn socket_shutdown_works_for_every_type_of_socket() {
    let _test = test();
    let event_loop = new_loop();
    let (one, mut other) = UnixStream::pair().expect("a pair");
    let one = Socket::new(OwnedFd::from(one)).expect("a socket");
    one.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(other.read(&mut [0; 1]).expect("the end"), 0);
    other.write_all(b"x").expect("room");
    let received = event_loop.run_until_complete(event_loop.sock_recv(&one, 10));
    assert_eq!(received.expect("received"), b"x");
    // It ends a wait.
    let receive = event_loop.sock_recv(&one, 10);
    let shut = async {
        event_loop.sleep(Duration::ZERO).await;
        one.shutdown(Shutdown::Both)
    };
    let both = futures_util::future::join(receive, shut);
    let (received, shut) = event_loop.run_until_complete(both);
    assert_eq!(received.expect("the end"), b"");
    shut.expect("connected");
    let unconnected = Socket::tcp(&([127, 0, 0, 1], 1).into()).expect("a socket");
    let error = unconnected.shutdown(Shutdown::Both).expect_err("not connected");
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
