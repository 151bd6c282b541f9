//! A failed transfer returns the promised error, keeps the position exact, and leaves the loop
//! usable.

use std::fs::{File, OpenOptions};
#[cfg(target_os = "linux")]
use std::io::Write;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, SendfileNotAvailableError, Socket};

/// Returns the error of a transfer that must fail, and asserts that the loop stays usable.
#[track_caller]
fn transfer_error<T: AsFd>(sock: &Socket<T>, file: &File, fallback: bool) -> io::Error {
    let event_loop = new_loop();
    let transfer = event_loop.sock_sendfile(sock, file).fallback(fallback);
    let error = event_loop.run_until_complete(transfer).expect_err("an error");
    assert_eq!(event_loop.run_until_complete(async { 1 }), 1);
    assert_eq!(event_loop.stats().registered, 0);
    error
}

#[track_caller]
fn assert_fails_with_errno<T: AsFd>(sock: &Socket<T>, file: &File, errno: &[i32]) {
    for fallback in [true, false] {
        if FORCED_FALLBACK && !fallback {
            continue;
        }
        let error = transfer_error(sock, file, fallback);
        let raw = error.raw_os_error().unwrap_or_default();
        assert!(errno.contains(&raw), "{error:?} with fallback({fallback})");
    }
}

#[track_caller]
fn is_unsupported(error: &io::Error) -> Option<i32> {
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let inner = error.get_ref().expect("an inner error");
    inner.downcast_ref::<SendfileNotAvailableError>().expect("its type").errno()
}

#[test]
fn non_stream_socket_is_invalid_input() {
    let _test = test();
    let file = file(10);
    let udp = Socket::new(UdpSocket::bind("127.0.0.1:0").expect("a port")).expect("a socket");
    let datagram = Socket::new(UnixDatagram::unbound().expect("a socket")).expect("a socket");
    let pipe = Socket::new(OwnedFd::from(pipe().1));
    for error in [
        transfer_error(&udp, &file, true),
        transfer_error(&datagram, &file, true),
        pipe.expect_err("not a socket"),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(position(&file), 10);
}

#[test]
fn offset_above_i64_max_is_invalid_input() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    let file = file(10);
    for offset in [i64::MAX as u64 + 1, u64::MAX] {
        let transfer = event_loop.sock_sendfile(&near, &file).offset(offset);
        let error = event_loop.run_until_complete(transfer).expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(position(&file), 10);
}

#[test]
fn unconnected_socket_fails_without_fallback() {
    let _test = test();
    let file = file(ODD);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let listening = Socket::new(listener).expect("a socket");
    assert_fails_with_errno(&listening, &file, &[libc::EPIPE, libc::ENOTCONN]);
    let unconnected = Socket::tcp(&addr).expect("a socket");
    assert_fails_with_errno(&unconnected, &file, &[libc::EPIPE, libc::ENOTCONN]);
    assert_fails_with_errno(&Socket::unix().expect("a socket"), &file, &[libc::ENOTCONN]);
    assert_eq!(position(&file), 0);
}

#[test]
fn closed_peer_fails_with_epipe() {
    let _test = test();
    let file = file(ODD);
    let (near, far) = small_buffer_unix();
    drop(far);
    assert_fails_with_errno(&near, &file, &[libc::EPIPE]);
    let (near, _far) = small_buffer_unix();
    near.get_ref().shutdown(Shutdown::Write).expect("open");
    assert_fails_with_errno(&near, &file, &[libc::EPIPE]);
    assert_eq!(position(&file), 0);
}

#[test]
fn peer_close_during_the_transfer_leaves_position_exact() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = file(ODD);
    let transfer = event_loop.sock_sendfile(&near, &file);
    event_loop.call_later(Duration::from_millis(20), move || {
        let mut some = [0; 1000];
        (&far).read_exact(&mut some).expect("there");
        drop(far);
    });
    let error = event_loop.run_until_complete(transfer).expect_err("an error");
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    let sent = position(&file);
    assert!(1000 <= sent && sent < ODD as u64, "{sent}");
}

#[test]
fn half_closed_peer_receives_everything() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_tcp();
    far.shutdown(Shutdown::Write).expect("open");
    let received = reader(far);
    let file = file(ODD);
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    drop(near);
    assert_eq!(sent.expect("sent"), ODD as u64);
    assert_content(&received.join().expect("read"), 0, ODD);
}

#[test]
fn unreadable_files_fail_with_their_errno() {
    let _test = test();
    let (near, _far) = Socket::pair().expect("a pair");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("write only");
    std::fs::write(&path, "content").expect("room");
    let write_only = OpenOptions::new().write(true).open(&path).expect("opened");
    assert_fails_with_errno(&near, &write_only, &[libc::EBADF]);

    let directory = File::open(dir.path()).expect("opened");
    assert_eq!(transfer_error(&near, &directory, true).kind(), ErrorKind::IsADirectory);
    is_unsupported(&transfer_error(&near, &directory, false));
    let pipe = pipe().0;
    assert_eq!(transfer_error(&near, &pipe, true).raw_os_error(), Some(libc::ESPIPE));
    is_unsupported(&transfer_error(&near, &pipe, false));
}

/// Files without positions, and the bytes that a read of each returns.
#[cfg(target_os = "linux")]
fn unseekable_files() -> Vec<(&'static str, File, Vec<u8>)> {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let line = b"hello\n".to_vec();
    let (reader, mut writer) = pipe();
    writer.write_all(&line).expect("room");
    let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    far.write_all(&line).expect("room");
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("opened");
    let mut master = File::from(master);
    master.write_all(&line).expect("room");
    let counter = eventfd(5, EventfdFlags::empty()).expect("an eventfd");
    vec![
        ("pipe", reader, line.clone()),
        ("socket", File::from(OwnedFd::from(near)), line.clone()),
        ("terminal", File::from(slave), line),
        ("master of a terminal", master, b"hello\r\n".to_vec()),
        ("eventfd", File::from(counter), 5_u64.to_ne_bytes().to_vec()),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn unseekable_files_fail_and_keep_their_bytes() {
    let _test = test();
    let (near, _far) = Socket::pair().expect("a pair");
    let event_loop = new_loop();
    for (name, mut file, bytes) in unseekable_files() {
        for (count, prefetch) in [(Some(5), true), (Some(5), false), (None, true)] {
            let transfer = || {
                let transfer = event_loop.sock_sendfile(&near, &file).prefetch(prefetch);
                match count {
                    Some(count) => transfer.count(count),
                    None => transfer,
                }
            };
            let error = event_loop.run_until_complete(transfer());
            let errno = error.expect_err(name).raw_os_error();
            assert_eq!(errno, Some(libc::ESPIPE), "{name}, count {count:?}");
            let error = event_loop.run_until_complete(transfer().fallback(false));
            is_unsupported(&error.expect_err(name));
        }
        let mut received = vec![0; bytes.len()];
        file.read_exact(&mut received).expect(name);
        assert_eq!(received, bytes, "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn o_path_file_fails_with_ebadf() {
    use rustix::fs::{Mode, OFlags};

    let _test = test();
    let (near, _far) = Socket::pair().expect("a pair");
    // musl's O_PATH would be lost in OpenOptions, as a way of access.
    let path_only = rustix::fs::open("Cargo.toml", OFlags::PATH, Mode::empty()).expect("opened");
    let path_only = File::from(path_only);
    assert_fails_with_errno(&near, &path_only, &[libc::EBADF]);
}

#[cfg(target_os = "linux")]
#[test]
fn not_available_without_the_fallback_is_unsupported_and_sends_nothing() {
    let _test = test();
    let (near, far) = small_buffer_unix();
    let limits = File::open("/proc/self/limits").expect("procfs");
    let errno = is_unsupported(&transfer_error(&near, &limits, false));
    assert!(matches!(errno, Some(libc::EINVAL | libc::ENOSYS)), "{errno:?}");
    assert_eq!(position(&limits), 0);
    drop(near);
    assert!(read_rest(far).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn direct_file_takes_the_fallback_at_every_offset() {
    let _test = test();
    // The file is not on tmpfs, which has no O_DIRECT on older kernels.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = dir.path().join("direct");
    std::fs::write(&path, content(0, ODD)).expect("room");
    let Ok(direct) = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path) else {
        return; // This file system has no such thing.
    };
    for offset in [0, 1, 4095, 4096, ODD as u64 - 1] {
        let event_loop = new_loop();
        let (near, far) = small_buffer_unix();
        let received = reader(far);
        let transfer = event_loop.sock_sendfile(&near, &direct).offset(offset);
        let sent = event_loop.run_until_complete(transfer).expect("sent");
        assert_eq!(event_loop.stats().sendfile_fallbacks, 1);
        drop(near);
        assert_content(&received.join().expect("read"), offset, sent as usize);
        assert_eq!(position(&direct), ODD as u64);
    }
    let (near, _far) = small_buffer_unix();
    assert_eq!(is_unsupported(&transfer_error(&near, &direct, false)), None);
}

#[test]
fn another_loop_cannot_wait_for_the_socket_until_the_first_is_closed() {
    let _test = test();
    let (first, second): (Loop, Loop) = (new_loop(), new_loop());
    let (near, far) = small_buffer_unix();
    let file = file(ODD);
    let mut transfer = Box::pin(first.sock_sendfile(&near, &file).into_future());
    while first.stats().registered == 0 {
        let waited = first.wait_for(transfer.as_mut(), Duration::from_millis(1));
        first.run_until_complete(waited).expect_err("the peer does not read");
    }
    drop(transfer);
    let before = position(&file);
    let error = second.run_until_complete(second.sock_sendfile(&near, &file).offset(before));
    assert_eq!(error.expect_err("waits elsewhere").kind(), ErrorKind::InvalidInput);
    drop(first);
    let received = reader(far);
    let transfer = second.sock_sendfile(&near, &file).offset(position(&file));
    second.run_until_complete(transfer).expect("sent");
    drop(near);
    assert_content(&received.join().expect("read"), 0, ODD);
}
