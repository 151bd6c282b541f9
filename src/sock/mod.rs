//! The operations on sockets, each a few lines over [`ready_io`](crate::ready_io).

mod accept;
mod connect;
mod datagram;
mod recv;
mod send;

use std::io;
use std::os::fd::AsFd;

use crate::socket::Socket;
use crate::sys::address::Address;
use crate::sys::socket::Kind;

pub use accept::Listen;
pub use connect::Connect;
pub use datagram::Datagram;

/// How many of `len` bytes one call moves: at most `limit`, unless they are one datagram, which cannot be divided.
fn call_size<T: AsFd>(sock: &Socket<T>, len: usize, limit: usize) -> usize {
    let is_whole = || sock.kind().is_ok_and(|kind| kind == Kind::Datagram);
    if len <= limit || is_whole() {
        len
    } else {
        limit
    }
}

/// The address of an operation. It is converted when the operation is made, so that nothing borrows it; an error is reported
/// by the first poll.
struct Target(Result<Address, Option<io::Error>>);

impl Target {
    fn new(address: io::Result<Address>) -> Target {
        Target(address.map_err(Some))
    }

    fn get(&mut self) -> io::Result<&Address> {
        match &mut self.0 {
            Ok(address) => Ok(address),
            Err(error) => Err(error.take().unwrap_or(io::ErrorKind::InvalidInput.into())),
        }
    }
}
