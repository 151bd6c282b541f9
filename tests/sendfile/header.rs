//! A header arrives whole in front of the file, and does not count as file bytes.

use std::io::Read;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::util::*;
#[cfg(target_os = "linux")]
use rustix::net::sockopt;
use sendloop::Socket;

/// A limit below the delays of the kernel. Nagle's algorithm with delayed acknowledgements costs 40
/// ms, and a cork 200 ms.
const SOON: Duration = Duration::from_millis(20);

#[test]
fn hundred_responses_without_nodelay_take_less_than_20_ms_each() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    assert!(!near.get_ref().nodelay().expect("TCP"));
    let file = file(5000);
    let client = thread::spawn(move || {
        let mut rounds = Vec::new();
        for _ in 0..100 {
            let start = Instant::now();
            std::io::Write::write_all(&mut far, b"?").expect("asked");
            let mut answer = [0; 14 + 5000];
            far.read_exact(&mut answer).expect("an answer");
            rounds.push(start.elapsed());
            assert_eq!(&answer[..14], b"5000 follow:\r\n");
            assert_content(&answer[14..], 0, 5000);
        }
        rounds
    });
    event_loop.run_until_complete(async {
        for _ in 0..100 {
            assert_eq!(event_loop.sock_recv(&near, 1).await.expect("open"), b"?");
            let transfer = event_loop.sock_sendfile(&near, &file);
            let sent = transfer.header(b"5000 follow:\r\n").await.expect("sent");
            assert_eq!(sent, 5000);
        }
    });
    let mut rounds = client.join().expect("all bytes");
    rounds.sort();
    println!("median {:?}, worst {:?}", rounds[50], rounds[99]);
    // A delayed header costs 40 ms in every round but the first. Other load may make single rounds
    // slow.
    let slow = rounds.iter().filter(|round| **round >= SOON).count();
    assert!(slow < 5, "{rounds:?}");
}

#[test]
fn short_file_shares_the_headers_segment() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let file = file(100);
    for _ in 0..20 {
        let transfer = event_loop.sock_sendfile(&near, &file).header(b"header");
        assert_eq!(event_loop.run_until_complete(transfer).expect("sent"), 100);
        let mut segment = [0; 4096];
        let first = far.read(&mut segment).expect("open");
        assert_eq!(&segment[..6], b"header");
        assert_content(&segment[6..first], 0, 100);
    }
}

/// Checks how long a header takes to arrive if no byte of the file follows.
#[track_caller]
fn alone(count: Option<u64>, offset: u64) {
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let file = file(100);
    let start = Instant::now();
    let transfer = event_loop.sock_sendfile(&near, &file).header(b"alone");
    let transfer = transfer.offset(offset);
    let sent = match count {
        Some(count) => event_loop.run_until_complete(transfer.count(count)),
        None => event_loop.run_until_complete(transfer),
    };
    assert_eq!(sent.expect("sent"), 0);
    assert_eq!(position(&file), offset);
    let mut bytes = [0; 5];
    far.read_exact(&mut bytes).expect("the bytes in time");
    assert_eq!(&bytes, b"alone");
    assert!(start.elapsed() < 5 * SOON, "{:?}", start.elapsed());
}

#[test]
fn header_without_file_bytes_is_sent_at_once() {
    let _test = test();
    alone(Some(0), 3);
    alone(Some(10), 100);
    alone(Some(10), 5000);
    alone(None, 100);
    alone(Some(2 << 20), 100);
}

#[cfg(target_os = "linux")]
#[test]
fn tcp_cork_of_the_caller_is_kept() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = tcp();
    sockopt::set_tcp_cork(&near, true).expect("TCP");
    let near = Socket::new(near).expect("non-blocking");
    let file = file(0);
    let transfer = event_loop.sock_sendfile(&near, &file).header(b"held");
    assert_eq!(event_loop.run_until_complete(transfer).expect("sent"), 0);
    assert!(sockopt::tcp_cork(near.get_ref()).expect("TCP"));
}

#[test]
fn header_continues_after_a_full_socket() {
    let _test = test();
    for prefetch in [true, false] {
        let event_loop = new_loop();
        let (near, far) = small_buffer_unix();
        let file = file(ODD);
        let header = content(1 << 40, ODD);
        let received = reader(far);
        let transfer = event_loop.sock_sendfile(&near, &file).header(&header);
        let transfer = transfer.offset(7).prefetch(prefetch);
        let sent = event_loop.run_until_complete(transfer).expect("sent");
        assert_eq!(sent, ODD as u64 - 7);
        assert_eq!(position(&file), ODD as u64);
        drop(near);
        let received = received.join().expect("read");
        assert_content(&received[..ODD], 1 << 40, ODD);
        assert_content(&received[ODD..], 7, ODD - 7);
    }
}

#[test]
fn cancel_in_the_header_sends_no_file_byte() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = file(ODD);
    let header = content(0, ODD);
    let mut totals = Vec::new();
    let transfer = event_loop.sock_sendfile(&near, &file).header(&header);
    let transfer = transfer.offset(5).progress(|sent| totals.push(sent));
    let cancelled = event_loop.wait_for(transfer, Duration::from_millis(20));
    event_loop.run_until_complete(cancelled).expect_err("the peer does not read");
    assert_eq!(position(&file), 5);
    assert!(totals.is_empty(), "{totals:?}");
    drop(near);
    let received = read_rest(far);
    assert!(!received.is_empty() && received.len() < ODD);
    assert_content(&received, 0, received.len());
}

#[test]
fn header_to_a_closed_peer_fails_with_broken_pipe() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    drop(far);
    let file = file(10);
    let transfer = event_loop.sock_sendfile(&near, &file).header(b"nobody");
    let error = event_loop.run_until_complete(transfer).expect_err("gone");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(position(&file), 0);
}

#[test]
fn headers_and_files_of_concurrent_writers_do_not_interleave() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let (near, file) = (Rc::new(near), Rc::new(file(ODD)));
    let received = reader(far);
    let tasks = [0, 1, 2].map(|n: u64| {
        let (handle, near, file) = (event_loop.handle(), near.clone(), file.clone());
        event_loop.create_task(async move {
            let header = content(n << 40, 30_000);
            let transfer = handle.sock_sendfile(&near, &file).header(&header);
            transfer.count(20_000).await.expect("sent")
        })
    });
    for task in tasks {
        assert_eq!(event_loop.run_until_complete(task).expect("sent"), 20_000);
    }
    drop(near);
    let received = received.join().expect("read");
    let mut expected = Vec::new();
    for n in 0..3 {
        expected.extend(content(n << 40, 30_000));
        expected.extend(content(0, 20_000));
    }
    assert!(received == expected);
}
