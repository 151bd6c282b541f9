//! A process with a loop survives SIGPIPE, and the loop keeps the program's own handler.

use std::io::ErrorKind;
use std::mem;
use std::ptr;

use crate::util::*;
use sendloop::Socket;

extern "C" fn own_handler(_signal: libc::c_int) {}

fn set_disposition(handler: libc::sighandler_t) {
    // SAFETY: SIGPIPE is a signal, and the handler is SIG_DFL or a function that does nothing.
    let before = unsafe { libc::signal(libc::SIGPIPE, handler) };
    assert_ne!(before, libc::SIG_ERR);
}

fn disposition() -> libc::sighandler_t {
    // SAFETY: sigaction is plain data, of which all zero is a value.
    let mut present: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null action asks for the present one, which is written to `present`.
    let asked = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), &raw mut present) };
    assert_eq!(asked, 0);
    present.sa_sigaction
}

#[test]
fn send_to_a_closed_peer_fails_without_sigpipe() {
    let _test = test();
    set_disposition(libc::SIG_DFL);
    let event_loop = new_loop();
    assert_eq!(disposition(), libc::SIG_IGN);
    let file = file(ODD);
    let (near, far) = Socket::pair().expect("a pair");
    drop(far);
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);
    let sent = event_loop.run_until_complete(event_loop.sock_sendall(&near, b"x"));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);

    // The sends raise no SIGPIPE, even with the default disposition.
    set_disposition(libc::SIG_DFL);
    let sent = event_loop.run_until_complete(event_loop.sock_sendall(&near, b"x"));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);

    let own = own_handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
    set_disposition(own);
    let other = new_loop();
    assert_eq!(disposition(), own);
    let sent = other.run_until_complete(other.sock_sendfile(&near, &file));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);
}
