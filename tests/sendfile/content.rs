//! The received bytes are those of the file, on every path and through small buffers.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::rc::Rc;

use crate::util::*;
use sendloop::{SendFile, Socket};

/// Sends with the settings of `set`, and asserts the received bytes, the result and the position.
#[track_caller]
fn assert_arrives<T, R>(pair: (Socket<T>, R), size: usize, set: Settings, expected: (u64, usize))
where
    T: AsFd + 'static,
    R: std::io::Read + Send + 'static,
{
    let event_loop = new_loop();
    let (near, far) = pair;
    let mut file = file(size);
    file.seek(SeekFrom::Start(17)).expect("seekable");
    let received = reader(far);
    let sent = event_loop.run_until_complete(set.on(event_loop.sock_sendfile(&near, &file)));
    drop(near);
    let (offset, len) = expected;
    assert_content(&received.join().expect("read"), offset, len);
    assert_eq!(sent.expect("sent"), len as u64);
    // No file has this length, and no position can be this large. So the position stays unchanged.
    let beyond = offset >= 1 << 43;
    let after = if beyond { 17 } else { offset + len as u64 };
    assert_eq!(position(&file), after);
}

#[derive(Clone, Copy, Default)]
struct Settings {
    offset: Option<u64>,
    count: Option<u64>,
}

impl Settings {
    fn on<'a, T: AsFd, F: AsFd>(&self, mut transfer: SendFile<'a, T, F>) -> SendFile<'a, T, F> {
        if let Some(offset) = self.offset {
            transfer = transfer.offset(offset);
        }
        if let Some(count) = self.count {
            transfer = transfer.count(count);
        }
        transfer
    }
}

fn at(offset: u64, count: impl Into<Option<u64>>) -> Settings {
    Settings { offset: Some(offset), count: count.into() }
}

#[test]
fn a_file_arrives_exactly_through_small_tcp_buffers() {
    let _test = test();
    assert_arrives(small_buffer_tcp(), ODD, Settings::default(), (0, ODD));
}

#[test]
fn a_file_arrives_exactly_through_a_small_unix_buffer() {
    let _test = test();
    assert_arrives(small_buffer_unix(), ODD, Settings::default(), (0, ODD));
}

#[test]
fn large_files_take_several_calls_and_iterations() {
    let _test = test();
    let (near, far) = tcp();
    let size = (9 << 20) + 1;
    assert_arrives(
        (Socket::new(near).expect("a socket"), far),
        size,
        Settings::default(),
        (0, size),
    );
}

#[test]
fn offsets_and_counts_are_exact() {
    let _test = test();
    let last = ODD as u64 - 1;
    for (set, expected) in [
        (at(0, None), (0, ODD)),
        (at(1, None), (1, ODD - 1)),
        (at(last, None), (last, 1)),
        (at(0, 1), (0, 1)),
        (at(3, 5), (3, 5)),
        (at(4095, 4098), (4095, 4098)),
        (at(last, 1), (last, 1)),
        (at(last, 2), (last, 1)),
        (at(1, last), (1, ODD - 1)),
        (at(1, ODD as u64), (1, ODD - 1)),
        (at(1, u64::MAX), (1, ODD - 1)),
        (at(0, u64::MAX), (0, ODD)),
    ] {
        assert_arrives(small_buffer_unix(), ODD, set, expected);
    }
}

#[test]
fn count_zero_and_offset_at_the_end_send_nothing() {
    let _test = test();
    let size = ODD as u64;
    let largest = i64::MAX as u64;
    for set in [
        at(0, 0),
        at(5, 0),
        at(largest, 0),
        at(size, None),
        at(size, 1),
        at(size + 1, None),
        at(size + 1, u64::MAX),
        at(1 << 44, 5),
        at(largest - 1, 5),
        at(largest - 1, None),
        at(largest, None),
        at(largest, 1),
    ] {
        let offset = set.offset.expect("an offset");
        assert_arrives(small_buffer_unix(), ODD, set, (offset, 0));
    }
}

#[test]
fn empty_file_sends_nothing_at_any_offset() {
    let _test = test();
    for offset in [0, 1, 1 << 40, i64::MAX as u64 - 1, i64::MAX as u64] {
        assert_arrives(small_buffer_unix(), 0, at(offset, None), (offset, 0));
        assert_arrives(small_buffer_unix(), 0, at(offset, 9), (offset, 0));
    }
}

#[test]
fn a_file_that_grows_is_sent_to_its_new_end() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let mut file = file(ODD);
    let writer = file.try_clone().expect("a duplicate");
    {
        let transfer = event_loop.sock_sendfile(&near, &file);
        let mut transfer = std::pin::pin!(transfer.into_future());
        // One step, which fills the buffer; then the file grows.
        event_loop.run_until_complete(std::future::poll_fn(|cx| {
            assert!(transfer.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        }));
        let mut appender = &writer;
        appender.seek(SeekFrom::End(0)).expect("seekable");
        appender.write_all(&content(ODD as u64, 5000)).expect("room");
        let received = reader(far);
        let sent = event_loop.run_until_complete(transfer).expect("sent");
        assert_eq!(sent, ODD as u64 + 5000);
        near.get_ref().shutdown(Shutdown::Both).expect("open");
        assert_content(&received.join().expect("read"), 0, ODD + 5000);
    }
    assert_eq!(file.stream_position().expect("a position"), ODD as u64 + 5000);
}

#[test]
fn a_file_that_shrinks_ends_the_transfer_short() {
    let _test = test();
    for new_size in [0, 1, 4096] {
        let event_loop = Rc::new(new_loop());
        let (near, far) = small_buffer_unix();
        let file = file(ODD);
        let mut transfer = Box::pin(event_loop.sock_sendfile(&near, &file).into_future());
        event_loop.run_until_complete(std::future::poll_fn(|cx| {
            assert!(transfer.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        }));
        file.set_len(new_size).expect("truncated");
        let received = reader(far);
        let sent = event_loop.run_until_complete(transfer).expect("no error");
        near.get_ref().shutdown(Shutdown::Both).expect("open");
        let received = received.join().expect("read");
        assert_eq!(received.len() as u64, sent);
        assert!(sent < ODD as u64);
        assert_eq!(position(&file), sent);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn files_with_a_wrong_size_are_sent_whole() {
    let _test = test();
    let paths = [
        "/proc/self/limits",
        "/proc/cpuinfo",
        "/proc/version",
        "/proc/filesystems",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/devices/system/cpu/possible",
    ];
    for path in paths.into_iter().filter(|path| File::open(path).is_ok()) {
        let event_loop = new_loop();
        let (near, far) = small_buffer_unix();
        let received = reader(far);
        let file = File::open(path).expect(path);
        let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
        drop(near);
        let received = received.join().expect("read");
        let expected = std::fs::read(path).expect(path);
        assert!(!expected.is_empty());
        // Frequencies in cpuinfo change from one read to the next; its shape does not.
        if path == "/proc/cpuinfo" {
            assert_eq!(received.len().abs_diff(expected.len()) / 64, 0, "{path}");
        } else {
            assert_eq!(received, expected, "{path}");
        }
        assert_eq!(sent.expect(path), received.len() as u64);
        assert_eq!(position(&file), received.len() as u64);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn proc_self_maps_is_sent_whole() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let received = reader(far);
    let maps = File::open("/proc/self/maps").expect("procfs");
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &maps));
    drop(near);
    let text = String::from_utf8(received.join().expect("read")).expect("text");
    assert_eq!(sent.expect("sent"), text.len() as u64);
    assert!(text.contains("[stack]") && text.ends_with('\n'));
}

#[test]
fn a_device_needs_a_count_and_takes_the_fallback() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let received = reader(far);
    let zeros = File::open("/dev/zero").expect("a device");
    let transfer = event_loop.sock_sendfile(&near, &zeros).count(ODD as u64);
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    drop(near);
    assert_eq!(sent, ODD as u64);
    assert_eq!(received.join().expect("read"), vec![0; ODD]);
}
