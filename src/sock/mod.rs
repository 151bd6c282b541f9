//! The operations on sockets. Each uses the shared steps of [`ready_io`](crate::ready_io).

mod accept;
mod address;
mod connect;
mod datagram;
mod happy_eyeballs;
mod recv;
mod send;

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use crate::socket::Socket;
use crate::sys::address::RawAddress;
use crate::sys::socket::SocketKind;

pub use accept::Listen;
pub use address::Address;
pub use connect::Connect;
pub use datagram::Datagram;

mod sealed {
    use std::io;

    use super::address::ToRaw;
    use crate::sys::address::RawAddress;

    /// A type of socket whose operations with addresses are in this crate.
    pub trait Sealed {}

    /// A conversion of an address for a socket.
    ///
    /// With this trait, `Connect<A>` needs no bound on `A`, which other crates could not write.
    pub trait Takes<A: ?Sized>: Sealed {
        fn to_raw(addr: &A) -> io::Result<RawAddress>;
    }

    impl<T: Sealed, A: ToRaw + ?Sized> Takes<A> for T {
        fn to_raw(addr: &A) -> io::Result<RawAddress> {
            addr.to_raw()
        }
    }
}

impl sealed::Sealed for OwnedFd {}
impl sealed::Sealed for TcpListener {}
impl sealed::Sealed for TcpStream {}
impl sealed::Sealed for UdpSocket {}
impl sealed::Sealed for UnixDatagram {}
impl sealed::Sealed for UnixListener {}
impl sealed::Sealed for UnixStream {}

/// Returns how many of `len` bytes one call moves.
///
/// For a stream, the result is at most `limit`. For a datagram, which cannot be divided, it is
/// `len`.
fn call_size<T: AsFd>(sock: &Socket<T>, len: usize, limit: usize) -> usize {
    let is_whole = || sock.kind().is_ok_and(|kind| kind == SocketKind::Datagram);
    if len <= limit || is_whole() { len } else { limit }
}

/// Returns the address of an operation, or the error of its conversion.
///
/// The operation converts the address when it is created, so that it borrows nothing. The first
/// poll reports the error.
fn target(to: &io::Result<RawAddress>) -> io::Result<&RawAddress> {
    to.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}
