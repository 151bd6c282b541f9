//! `try_sendfile`: one step of a transfer, without waiting.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use crate::util::*;
use sendloop::{SendfileNotAvailableError, Socket};

#[test]
fn try_sendfile_sends_what_fits_and_keeps_the_position() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let file = file(ODD);
    if FORCED_FALLBACK {
        let error = event_loop.try_sendfile(&near, &file, 0, 9).expect_err("none");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return;
    }
    let sent = event_loop.try_sendfile(&near, &file, 9, 10_000_000);
    let sent = sent.expect("there is room") as usize;
    assert!(0 < sent && sent < ODD);
    assert_eq!(position(&file), ODD as u64);
    let mut more = 0;
    let full = loop {
        match event_loop.try_sendfile(&near, &file, (9 + sent + more) as u64, 100) {
            Ok(some) => more += some as usize,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(event_loop.stats().registrations, 0);
    drop(near);
    assert_content(&read_rest(far), 9, sent + more);
}

#[test]
fn try_sendfile_at_the_end_or_with_count_zero_sends_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = small_buffer_unix();
    let file = file(10);
    assert_eq!(event_loop.try_sendfile(&near, &file, 3, 0).expect("fine"), 0);
    if !FORCED_FALLBACK {
        assert_eq!(event_loop.try_sendfile(&near, &file, 10, 5).expect("fine"), 0);
    }
}

#[test]
fn try_sendfile_rejects_invalid_arguments() {
    let _test = test();
    let event_loop = new_loop();
    let file = file(10);
    let (near, _far) = small_buffer_unix();
    let beyond = event_loop.try_sendfile(&near, &file, 1 << 63, 1);
    assert_eq!(beyond.expect_err("too far").kind(), ErrorKind::InvalidInput);
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let udp = Socket::new(udp).expect("non-blocking");
    let datagram = event_loop.try_sendfile(&udp, &file, 0, 1);
    assert_eq!(datagram.expect_err("UDP").kind(), ErrorKind::InvalidInput);
}

#[test]
fn errors_are_reported_as_they_are() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let event_loop = new_loop();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listener = Socket::new(listener).expect("non-blocking");
    let gone = event_loop.try_sendfile(&listener, &file(10), 0, 1);
    assert_eq!(gone.expect_err("no peer").kind(), ErrorKind::BrokenPipe);
    let (near, _far) = small_buffer_unix();
    let directory = std::fs::File::open("/").expect("a folder");
    let error = event_loop.try_sendfile(&near, &directory, 0, 1);
    let error = error.expect_err("a folder is not sent");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let inner = error.get_ref().expect("an inner error");
    let inner = inner.downcast_ref::<SendfileNotAvailableError>();
    assert_eq!(inner.expect("its type").errno(), Some(libc::EINVAL));
}

#[test]
fn try_sendfile_respects_the_write_lock() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = small_buffer_unix();
    let near = Rc::new(near);
    let writer = {
        let (handle, near) = (event_loop.handle(), near.clone());
        event_loop.create_task(async move { handle.sock_sendall(&near, &content(0, ODD)).await })
    };
    run_until(&event_loop, || event_loop.stats().registered == 1);
    let step = event_loop.try_sendfile(&near, &file(10), 0, 10);
    assert_eq!(step.expect_err("taken").kind(), ErrorKind::WouldBlock);
    assert!(writer.cancel());
}

#[test]
fn try_sendfile_driven_by_add_writer_sends_a_file() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let event_loop = new_loop();
    let (near, far) = small_buffer_unix();
    let near = Rc::new(near);
    let file = file(ODD);
    let offset = Rc::new(Cell::new(0));
    let failed = Rc::new(RefCell::new(None));
    let received = reader(far);
    let step = {
        let (handle, sock) = (event_loop.handle(), near.clone());
        let (offset, failed) = (offset.clone(), failed.clone());
        move || match handle.try_sendfile(&sock, &file, offset.get(), 3000) {
            Ok(0) => drop(handle.remove_writer(&*sock)),
            Ok(sent) => offset.set(offset.get() + sent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => drop(failed.replace(Some(error))),
        }
    };
    event_loop.add_writer(&*near, step).expect("registered");
    run_until(&event_loop, || offset.get() == ODD as u64);
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    assert!(failed.borrow().is_none());
    event_loop.remove_writer(&*near);
    drop(near);
    assert_content(&received.join().expect("read"), 0, ODD);
}
