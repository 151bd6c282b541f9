use std::os::fd::AsFd;

use super::*;

const IPPROTO_SCTP: libc::c_int = 132;
/// A protocol of Linux since 5.6.
const IPPROTO_MPTCP: libc::c_int = 262;

/// Returns the kind of a socket of this protocol, or `None` if the kernel lacks the protocol.
fn kind_of(protocol: libc::c_int) -> Option<SocketKind> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, protocol) };
    // SAFETY: the descriptor is new.
    let fd = (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })?;
    Some(kind(fd.as_fd()).expect("a socket"))
}

#[test]
fn sctp_and_mptcp_are_not_tcp() {
    assert_eq!(kind_of(0), Some(SocketKind::Tcp));
    assert_eq!(kind_of(libc::IPPROTO_TCP), Some(SocketKind::Tcp));
    for other in [IPPROTO_SCTP, IPPROTO_MPTCP] {
        assert_ne!(kind_of(other), Some(SocketKind::Tcp), "protocol {other}");
    }
}
