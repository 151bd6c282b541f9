//! The system calls on sockets.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::address::RawAddress;
use super::{cvt, cvt_len, status_flags, uninterrupted};

/// The kind of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SocketKind {
    /// A stream over TCP.
    Tcp,
    /// Any other stream.
    Stream,
    /// A socket that carries messages.
    Datagram,
}

/// Returns the kind of a socket.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<SocketKind> {
    let is_internet = || local_address(fd).is_some_and(|name| name.is_internet());
    Ok(match socket_type(fd)? {
        libc::SOCK_STREAM if is_internet() && is_tcp(fd) => SocketKind::Tcp,
        libc::SOCK_STREAM => SocketKind::Stream,
        _ => SocketKind::Datagram,
    })
}

/// Returns SO_TYPE, or fails with `InvalidInput` if the descriptor is not a socket.
pub(crate) fn socket_type(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    match uninterrupted(|| option(fd, libc::SOL_SOCKET, libc::SO_TYPE)) {
        // An open descriptor fails with EBADF if it was opened with O_PATH.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTSOCK | libc::EBADF)) => {
            let what = "the descriptor is not a socket; wait for it with readable or writable";
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        other => other,
    }
}

/// Returns the socket's own address.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> Option<RawAddress> {
    let mut name = RawAddress::empty();
    let (address, len) = name.as_mut_parts();
    // SAFETY: both pointers are to `name`, which lives longer than the call. Its length is the room
    // that it has.
    let result = unsafe { libc::getsockname(fd.as_raw_fd(), address, len) };
    (result == 0).then_some(name)
}

/// Returns whether an internet stream socket is TCP, and not SCTP or MPTCP.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    let protocol = uninterrupted(|| option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL));
    protocol.is_ok_and(|protocol| protocol == libc::IPPROTO_TCP)
}

/// Returns whether an internet stream socket is TCP.
///
/// These systems do not report the protocol. Only a TCP socket has options at the level of TCP.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    uninterrupted(|| option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)).is_ok()
}

fn option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` and `len` live longer than the call, and `len` is the size of `value`.
    cvt(unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len)
    })?;
    Ok(value)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn set_option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) {
    let (fd, len) = (fd.as_raw_fd(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the pointer and the length are those of `value`.
    unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
}

/// Fails with the pending error of the socket, if there is one. The call clears it.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    match option(fd, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut on: libc::c_int = 1;
    // SAFETY: FIONBIO reads one int through the pointer, which is to `on`.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &raw mut on) })?;
    // This option replaces MSG_NOSIGNAL. An error is ignored, as a send on any other descriptor
    // raises no SIGPIPE.
    #[cfg(target_vendor = "apple")]
    set_option(fd, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1);
    Ok(())
}

#[cfg(target_vendor = "apple")]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT;
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

#[cfg(target_vendor = "apple")]
const OPEN_FLAGS: libc::c_int = 0;
#[cfg(not(target_vendor = "apple"))]
const OPEN_FLAGS: libc::c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// Creates an unconnected stream socket of a family, non-blocking and close-on-exec.
pub(crate) fn stream(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    opened(unsafe { libc::socket(family, libc::SOCK_STREAM | OPEN_FLAGS, 0) })
}

/// Accepts the next connection of a listening socket, and returns it with the peer's address.
///
/// The new socket is non-blocking and close-on-exec.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddress)> {
    let mut peer = RawAddress::empty();
    let (address, len) = peer.as_mut_parts();
    #[cfg(not(target_vendor = "apple"))]
    // SAFETY: both pointers are to `peer`, which lives longer than the call. Its length is the room
    // that it has.
    let result = unsafe { libc::accept4(fd.as_raw_fd(), address, len, OPEN_FLAGS) };
    #[cfg(target_vendor = "apple")]
    // SAFETY: as above.
    let result = unsafe { libc::accept(fd.as_raw_fd(), address, len) };
    Ok((opened(result)?, peer))
}

/// Returns the descriptor that the kernel has just opened, with the flags that it lacks.
fn opened(result: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: `result` is a new descriptor, which no other code owns.
    let fd = unsafe { OwnedFd::from_raw_fd(cvt(result)?) };
    #[cfg(target_vendor = "apple")]
    {
        // SAFETY: no pointers.
        cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
        set_nonblocking(std::os::fd::AsFd::as_fd(&fd))?;
    }
    Ok(fd)
}

pub(crate) fn connect(fd: BorrowedFd<'_>, to: &RawAddress) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `to`, which lives longer than the call.
    cvt(unsafe { libc::connect(fd.as_raw_fd(), to.as_ptr(), to.len()) }).map(drop)
}

/// Returns whether the socket has a peer.
pub(crate) fn is_connected(fd: BorrowedFd<'_>) -> bool {
    let mut name = RawAddress::empty();
    let (address, len) = name.as_mut_parts();
    // SAFETY: both pointers are to `name`, which lives longer than the call. Its length is the room
    // that it has.
    unsafe { libc::getpeername(fd.as_raw_fd(), address, len) == 0 }
}

/// Returns whether the socket is shut down for reading.
///
/// On Linux, a non-blocking recvmsg(2) of datagrams and accept4(2) of a Unix listener do not report
/// it, but fail with EAGAIN (`__skb_try_recv_datagram` in net/core/datagram.c). On other systems,
/// these calls report it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_shut_for_reading(fd: BorrowedFd<'_>) -> bool {
    let polled = super::interest::poll_now(fd, libc::POLLRDHUP);
    polled.is_ok_and(|events| events & libc::POLLRDHUP != 0)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_shut_for_reading(_fd: BorrowedFd<'_>) -> bool {
    false
}

pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: no pointers.
    cvt(unsafe { libc::shutdown(fd.as_raw_fd(), how) }).map(drop)
}

/// The room for a sender's address, if the caller asks for it.
type Sender<'a> = Option<&'a mut RawAddress>;

/// Receives once, and stores the sender's address in `sender`.
///
/// It does not wait, even if a duplicate has made the socket blocking.
pub(crate) fn recv(fd: BorrowedFd<'_>, into: &mut [u8], sender: Sender<'_>) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `into`, which is borrowed for the call.
    unsafe { raw_recv(fd, into.as_mut_ptr(), into.len(), sender) }
}

/// Calls [`recv`] into new memory, without filling it with zeros first.
pub(crate) fn recv_vec(fd: BorrowedFd<'_>, most: usize, sender: Sender<'_>) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(most)?;
    // SAFETY: the vector has room for `most` bytes at the pointer.
    let got = unsafe { raw_recv(fd, bytes.as_mut_ptr(), most, sender) }?;
    // SAFETY: the kernel has written the first `got` bytes, and `got` is at most `most`.
    unsafe { bytes.set_len(got) };
    Ok(bytes)
}

/// Calls recvfrom(2) once without waiting.
///
/// # Safety
///
/// There is room for `len` bytes at `into`.
unsafe fn raw_recv(
    fd: BorrowedFd<'_>,
    into: *mut u8,
    len: usize,
    sender: Sender<'_>,
) -> io::Result<usize> {
    let none = (ptr::null_mut(), ptr::null_mut());
    let (address, address_len) = sender.map_or(none, RawAddress::as_mut_parts);
    let (fd, into, flags) = (fd.as_raw_fd(), into.cast(), libc::MSG_DONTWAIT);
    // SAFETY: `into` has room by the caller's promise. The address is null, or it lives longer than
    // the call and its length is the room that it has.
    cvt_len(unsafe { libc::recvfrom(fd, into, len, flags, address, address_len) })
}

/// Calls send(2) once. It neither waits nor raises SIGPIPE.
///
/// With `more`, other bytes follow. So a TCP socket holds back a segment that is not full.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = if more { SEND_FLAGS | MORE } else { SEND_FLAGS };
    // SAFETY: the pointer and the length are those of `bytes`, which is borrowed for the call.
    cvt_len(unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE: libc::c_int = libc::MSG_MORE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MORE: libc::c_int = 0;

/// Releases the bytes that [`send`] held back, if no bytes follow.
///
/// Otherwise the kernel would send them 200 ms later. The removal of TCP_CORK releases them, even
/// if the option is off. If the option is on, the user has set it, and has to remove it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn push(fd: BorrowedFd<'_>) {
    if option(fd, libc::IPPROTO_TCP, libc::TCP_CORK).is_ok_and(|corked| corked == 0) {
        set_option(fd, libc::IPPROTO_TCP, libc::TCP_CORK, 0);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn push(_fd: BorrowedFd<'_>) {}

/// Calls sendto(2) once. It neither waits nor raises SIGPIPE.
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &RawAddress) -> io::Result<usize> {
    let (raw, from, len) = (fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the pointers and lengths are those of `bytes` and `to`, borrowed for the call.
    let sent = unsafe { libc::sendto(raw, from, len, SEND_FLAGS, to.as_ptr(), to.len()) };
    cvt_len(sent).map_err(|error| match error.kind() {
        // Linux also fails with EAGAIN if no local port is free, and no event follows
        // (`inet_autobind` in net/ipv4/af_inet.c).
        io::ErrorKind::WouldBlock if has_no_port(fd) => {
            io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)
        }
        _ => error,
    })
}

fn has_no_port(fd: BorrowedFd<'_>) -> bool {
    let name = local_address(fd).and_then(|name| name.to_internet().ok());
    name.is_some_and(|name| name.port() == 0)
}

/// Returns whether the descriptor is non-blocking. A duplicate of it can change that.
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(status_flags(fd)? & libc::O_NONBLOCK != 0)
}

#[cfg(test)]
mod tests;
