use std::os::fd::AsFd;

use super::*;

const IPPROTO_SCTP: libc::c_int = 132;
/// Only Linux knows this number, from 5.6 on.
const IPPROTO_MPTCP: libc::c_int = 262;

/// `None` if this kernel lacks the protocol.
fn kind_of(protocol: libc::c_int) -> Option<SocketKind> {
    // SAFETY: no pointers; a new descriptor is nobody else's.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, protocol) };
    // SAFETY: it has just been opened.
    let fd = (fd >= 0).then(|| unsafe { own(fd) })?;
    Some(kind(fd.as_fd()).expect("a socket"))
}

#[test]
fn only_tcp_is_taken_for_tcp() {
    assert_eq!(kind_of(0), Some(SocketKind::Tcp));
    assert_eq!(kind_of(libc::IPPROTO_TCP), Some(SocketKind::Tcp));
    for other in [IPPROTO_SCTP, IPPROTO_MPTCP] {
        assert_ne!(kind_of(other), Some(SocketKind::Tcp), "protocol {other}");
    }
}
