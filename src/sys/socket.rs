//! The system calls on sockets.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::address::RawAddress;
use super::interest::poll_now;
use super::{cvt, cvt_len, uninterrupted};

/// What a descriptor is, as far as an operation must know before it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SocketKind {
    /// A stream over TCP.
    Tcp,
    /// Any other stream.
    Stream,
    /// A socket that carries messages.
    Datagram,
}

pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<SocketKind> {
    Ok(match socket_type(fd)? {
        libc::SOCK_STREAM if is_internet(fd) && is_tcp(fd) => SocketKind::Tcp,
        libc::SOCK_STREAM => SocketKind::Stream,
        _ => SocketKind::Datagram,
    })
}

/// Returns SO_TYPE, or fails with `InvalidInput` if the descriptor is not a socket.
pub(crate) fn socket_type(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    match uninterrupted(|| option(fd, libc::SOL_SOCKET, libc::SO_TYPE)) {
        // An open descriptor is EBADF if it was opened with O_PATH.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTSOCK | libc::EBADF)) => {
            let what = "the descriptor is not a socket";
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        other => other,
    }
}

fn is_internet(fd: BorrowedFd<'_>) -> bool {
    local_address(fd).is_some_and(|name| name.is_internet())
}

pub(crate) fn is_unix(fd: BorrowedFd<'_>) -> bool {
    local_address(fd).is_some_and(|name| name.is_unix())
}

/// Returns whether the socket is known to be of another family than those of the internet.
pub(crate) fn is_of_another_family(fd: BorrowedFd<'_>) -> bool {
    local_address(fd).is_some_and(|name| !name.is_internet())
}

fn local_address(fd: BorrowedFd<'_>) -> Option<RawAddress> {
    let mut name = RawAddress::empty();
    // SAFETY: both pointers are to `name`, which outlives the call; its length says how much room there is.
    let answer = unsafe { libc::getsockname(fd.as_raw_fd(), name.as_mut_ptr(), name.len_mut()) };
    (answer == 0).then_some(name)
}

/// Returns whether a stream socket of the internet is TCP: it may be SCTP or MPTCP, which the kernel names.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    let protocol = uninterrupted(|| option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL));
    protocol.is_ok_and(|protocol| protocol == libc::IPPROTO_TCP)
}

/// These systems do not name the protocol. Only a TCP socket has options at the level of TCP.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    uninterrupted(|| option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)).is_ok()
}

fn option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` and `len` outlive the call, and `len` is the size of `value`.
    cvt(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut len,
        )
    })?;
    Ok(value)
}

/// The error that waits on the socket, which reading it takes away.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    let errno = option(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
}

pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut on: libc::c_int = 1;
    // SAFETY: FIONBIO reads one int through the pointer, which is to `on`.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &raw mut on) })?;
    refuse_sigpipe(fd);
    Ok(())
}

/// Systems without MSG_NOSIGNAL have an option of the socket instead. What is no socket raises no SIGPIPE by a send either.
#[cfg(target_vendor = "apple")]
fn refuse_sigpipe(fd: BorrowedFd<'_>) {
    let on: libc::c_int = 1;
    // SAFETY: the value's pointer and length are those of `on`.
    unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const on).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

#[cfg(not(target_vendor = "apple"))]
fn refuse_sigpipe(_fd: BorrowedFd<'_>) {}

#[cfg(target_vendor = "apple")]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT;
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// # Safety
///
/// `fd` has just been opened and nothing else owns it.
unsafe fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// An unconnected stream socket for addresses of `family`, non-blocking and closed on exec.
pub(crate) fn stream(family: libc::c_int) -> io::Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let flags = 0;
    // SAFETY: no pointers; on success the new descriptor is nobody else's.
    let fd = unsafe { own(cvt(libc::socket(family, libc::SOCK_STREAM | flags, 0))?) };
    #[cfg(target_vendor = "apple")]
    finish_opening(&fd)?;
    Ok(fd)
}

/// Takes the next connection of a listening socket, non-blocking and closed on exec, and the peer's address.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddress)> {
    let mut peer = RawAddress::empty();
    #[cfg(not(target_vendor = "apple"))]
    // SAFETY: both pointers are to `peer`, which outlives the call; its length says how much room there is.
    let fd = cvt(unsafe {
        libc::accept4(
            fd.as_raw_fd(),
            peer.as_mut_ptr(),
            peer.len_mut(),
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    })?;
    #[cfg(target_vendor = "apple")]
    // SAFETY: as above.
    let fd = cvt(unsafe { libc::accept(fd.as_raw_fd(), peer.as_mut_ptr(), peer.len_mut()) })?;
    // SAFETY: the kernel has just opened it for this call.
    let fd = unsafe { own(fd) };
    #[cfg(target_vendor = "apple")]
    finish_opening(&fd)?;
    Ok((fd, peer))
}

#[cfg(target_vendor = "apple")]
fn finish_opening(fd: &OwnedFd) -> io::Result<()> {
    use std::os::fd::AsFd;
    // SAFETY: no pointers.
    cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    set_nonblocking(fd.as_fd())
}

pub(crate) fn connect(fd: BorrowedFd<'_>, to: &RawAddress) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `to`, which outlives the call.
    cvt(unsafe { libc::connect(fd.as_raw_fd(), to.as_ptr(), to.len()) })?;
    Ok(())
}

/// Whether the socket has a peer.
pub(crate) fn is_connected(fd: BorrowedFd<'_>) -> bool {
    let mut name = RawAddress::empty();
    // SAFETY: both pointers are to `name`, which outlives the call; its length says how much room there is.
    unsafe { libc::getpeername(fd.as_raw_fd(), name.as_mut_ptr(), name.len_mut()) == 0 }
}

/// Returns whether a connection attempt is over: it succeeded, failed, or was shut down.
pub(crate) fn is_settled(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(poll_now(fd, libc::POLLOUT)? != 0)
}

/// Returns whether the socket is shut down for reading.
///
/// On Linux a recvmsg(2) of datagrams and an accept4(2) of a Unix listener do not report that: without waiting they fail with
/// EAGAIN (`__skb_try_recv_datagram` in net/core/datagram.c). Other systems report it there.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_shut_for_reading(fd: BorrowedFd<'_>) -> bool {
    poll_now(fd, libc::POLLRDHUP).is_ok_and(|events| events & libc::POLLRDHUP != 0)
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
    // SAFETY: it takes no pointer.
    cvt(unsafe { libc::shutdown(fd.as_raw_fd(), how) }).map(drop)
}

/// One recv(2) that does not wait, also where somebody made the socket blocking.
pub(crate) fn recv(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `into`, which is borrowed for the call.
    cvt_len(unsafe {
        libc::recv(
            fd.as_raw_fd(),
            into.as_mut_ptr().cast(),
            into.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// [`recv`] into new memory that nobody had to fill with zeros first.
pub(crate) fn recv_vec(fd: BorrowedFd<'_>, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(most)?;
    // SAFETY: the vector has room for `most` bytes at the pointer.
    let got = cvt_len(unsafe {
        libc::recv(
            fd.as_raw_fd(),
            bytes.as_mut_ptr().cast(),
            most,
            libc::MSG_DONTWAIT,
        )
    })?;
    // SAFETY: the kernel has written the first `got` bytes, and `got` is at most `most`.
    unsafe { bytes.set_len(got) };
    Ok(bytes)
}

/// One send(2) that neither waits nor raises SIGPIPE.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_with(fd, bytes, SEND_FLAGS)
}

/// [`send`] with the word that more will follow at once, so that a TCP socket does not send a segment that is not full.
pub(crate) fn send_more(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_with(fd, bytes, SEND_FLAGS | MORE)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE: libc::c_int = libc::MSG_MORE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MORE: libc::c_int = 0;

/// Lets go what [`send_more`] held back, as nothing will follow: it would go 200 ms later. Taking a cork away does that, also
/// where there is none; where the user has put one, it is theirs to take away.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn push(fd: BorrowedFd<'_>) {
    if option(fd, libc::IPPROTO_TCP, libc::TCP_CORK).is_ok_and(|corked| corked == 0) {
        let off: libc::c_int = 0;
        // SAFETY: the value's pointer and length are those of `off`.
        unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_CORK,
                (&raw const off).cast(),
                mem::size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn push(_fd: BorrowedFd<'_>) {}

fn send_with(fd: BorrowedFd<'_>, bytes: &[u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `bytes`, which is borrowed for the call.
    cvt_len(unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// One recvfrom(2) that does not wait, and the sender's address.
pub(crate) fn recv_from(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<(usize, RawAddress)> {
    // SAFETY: the pointer and the length are those of `into`, which is borrowed for the call.
    unsafe { raw_recv_from(fd, into.as_mut_ptr(), into.len()) }
}

/// [`recv_from`] into new memory, as [`recv_vec`].
pub(crate) fn recv_vec_from(fd: BorrowedFd<'_>, most: usize) -> io::Result<(Vec<u8>, RawAddress)> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(most)?;
    // SAFETY: the vector has room for `most` bytes at the pointer.
    let (got, sender) = unsafe { raw_recv_from(fd, bytes.as_mut_ptr(), most) }?;
    // SAFETY: the kernel has written the first `got` bytes, and `got` is at most `most`.
    unsafe { bytes.set_len(got) };
    Ok((bytes, sender))
}

/// # Safety
///
/// There is room for `len` bytes at `into`.
unsafe fn raw_recv_from(
    fd: BorrowedFd<'_>,
    into: *mut u8,
    len: usize,
) -> io::Result<(usize, RawAddress)> {
    let mut sender = RawAddress::empty();
    // SAFETY: the caller's promise; `sender` outlives the call, and its length says how much room it has.
    let got = cvt_len(unsafe {
        libc::recvfrom(
            fd.as_raw_fd(),
            into.cast(),
            len,
            libc::MSG_DONTWAIT,
            sender.as_mut_ptr(),
            sender.len_mut(),
        )
    })?;
    Ok((got, sender))
}

/// One sendto(2) that neither waits nor raises SIGPIPE.
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &RawAddress) -> io::Result<usize> {
    // SAFETY: the pointers and lengths are those of `bytes` and `to`, which are borrowed for the call.
    let sent = cvt_len(unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            SEND_FLAGS,
            to.as_ptr(),
            to.len(),
        )
    });
    match sent {
        // Linux reports that no local port is free by EAGAIN too, and no event follows
        // (`inet_autobind` in net/ipv4/af_inet.c).
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && has_no_port(fd) => {
            Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))
        }
        sent => sent,
    }
}

fn has_no_port(fd: BorrowedFd<'_>) -> bool {
    let name = local_address(fd).and_then(|name| name.to_internet().ok());
    name.is_some_and(|name| name.port() == 0)
}

/// Whether the descriptor is non-blocking still: a duplicate of it can change that.
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no pointers.
    let flags = cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_NONBLOCK != 0)
}

#[cfg(test)]
mod tests;
