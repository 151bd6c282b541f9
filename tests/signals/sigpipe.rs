//! A process with a loop survives SIGPIPE, and the loop keeps the program's own handler.

use std::io::ErrorKind;

use crate::actions::{disposition, set_action};
use crate::util::*;
use sendloop::Socket;

extern "C" fn own_handler(_signal: libc::c_int) {}

#[test]
fn send_to_a_closed_peer_fails_without_sigpipe() {
    let _test = test();
    set_action(libc::SIGPIPE, libc::SIG_DFL);
    let event_loop = new_loop();
    assert_eq!(disposition(libc::SIGPIPE), libc::SIG_IGN);
    let file = file(ODD);
    let (near, far) = Socket::pair().expect("a pair");
    drop(far);
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);
    let sent = event_loop.run_until_complete(event_loop.sock_sendall(&near, b"x"));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);

    // The sends raise no SIGPIPE, even with the default disposition.
    set_action(libc::SIGPIPE, libc::SIG_DFL);
    let sent = event_loop.run_until_complete(event_loop.sock_sendall(&near, b"x"));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);

    let own = own_handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
    set_action(libc::SIGPIPE, own);
    let other = new_loop();
    assert_eq!(disposition(libc::SIGPIPE), own);
    let sent = other.run_until_complete(other.sock_sendfile(&near, &file));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);
}
