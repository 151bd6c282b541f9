//! The addresses of sockets, and their conversions.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net;
use std::os::fd::BorrowedFd;
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};

use crate::sys::address::RawAddress;
use crate::sys::socket as sys;

/// An address of a `Socket<OwnedFd>`, which may be of any family.
///
/// [`sock_accept`](crate::LoopHandle::sock_accept) and
/// [`sock_recvfrom`](crate::LoopHandle::sock_recvfrom) return it,
/// [`sock_connect`](crate::LoopHandle::sock_connect) and
/// [`sock_sendto`](crate::LoopHandle::sock_sendto) take it.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
/// use sendloop::Address;
///
/// let ip: SocketAddr = "127.0.0.1:80".parse().unwrap();
/// let address = Address::from(ip);
/// assert!(matches!(address, Address::Ip(same) if same == ip));
/// assert_eq!(address.to_string(), "127.0.0.1:80");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Address {
    /// An IPv4 or IPv6 address with a port.
    Ip(net::SocketAddr),
    /// An address of a Unix socket: a path, an abstract name, or no name.
    Unix(unix::SocketAddr),
    /// An address of another family, such as vsock or netlink.
    ///
    /// Its family is 0 if the kernel returned no address, as for a receive from a TCP stream.
    Other(RawAddress),
}

impl From<net::SocketAddr> for Address {
    fn from(addr: net::SocketAddr) -> Address {
        Address::Ip(addr)
    }
}

impl From<unix::SocketAddr> for Address {
    fn from(addr: unix::SocketAddr) -> Address {
        Address::Unix(addr)
    }
}

/// Two addresses are equal if their kernel forms are equal. All unnamed Unix addresses are equal.
impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        self.to_raw().ok() == other.to_raw().ok()
    }
}

impl Eq for Address {}

/// Prints `127.0.0.1:80`, `/run/a.sock`, `@abstract`, `(unnamed)` or `(family 40)`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(addr) => addr.fmt(f),
            Address::Other(raw) => write!(f, "(family {})", raw.family()),
            Address::Unix(addr) => match (addr.as_pathname(), RawAddress::from_unix(addr)) {
                (Some(path), _) => path.display().fmt(f),
                (None, Ok(raw)) => write!(f, "@{}", raw.abstract_name().escape_ascii()),
                (None, Err(_)) => f.write_str("(unnamed)"),
            },
        }
    }
}

/// An address that converts into the kernel's form.
pub trait ToRaw {
    fn to_raw(&self) -> io::Result<RawAddress>;
}

/// An address that converts from the kernel's form.
pub trait FromRaw: ToRaw + Sized {
    /// True if the type can hold only IP addresses.
    const IP_ONLY: bool = false;

    /// Converts the address of a peer of the socket `fd`.
    fn from_raw(fd: BorrowedFd<'_>, raw: RawAddress) -> io::Result<Self>;
}

impl ToRaw for net::SocketAddr {
    fn to_raw(&self) -> io::Result<RawAddress> {
        Ok(RawAddress::from(self))
    }
}

impl FromRaw for net::SocketAddr {
    const IP_ONLY: bool = true;

    fn from_raw(_: BorrowedFd<'_>, raw: RawAddress) -> io::Result<net::SocketAddr> {
        raw.to_internet()
    }
}

impl ToRaw for unix::SocketAddr {
    fn to_raw(&self) -> io::Result<RawAddress> {
        RawAddress::from_unix(self)
    }
}

impl FromRaw for unix::SocketAddr {
    fn from_raw(_: BorrowedFd<'_>, raw: RawAddress) -> io::Result<unix::SocketAddr> {
        raw.to_unix()
    }
}

impl ToRaw for Address {
    fn to_raw(&self) -> io::Result<RawAddress> {
        match self {
            Address::Ip(addr) => addr.to_raw(),
            Address::Unix(addr) => addr.to_raw(),
            Address::Other(raw) => Ok(*raw),
        }
    }
}

impl FromRaw for Address {
    fn from_raw(fd: BorrowedFd<'_>, raw: RawAddress) -> io::Result<Address> {
        // For an unnamed Unix socket, the kernel returns an address without any byte.
        let is_unix = || sys::local_address(fd).is_some_and(|name| name.is_unix());
        let is_unnamed = raw.as_bytes().is_empty() && is_unix();
        if is_unnamed || raw.is_unix() {
            return raw.to_unix().map(Address::Unix);
        }
        Ok(raw.to_internet().map_or(Address::Other(raw), Address::Ip))
    }
}

/// The path of a Unix socket.
pub trait SocketPath: AsRef<Path> {}

impl SocketPath for Path {}
impl SocketPath for PathBuf {}
impl SocketPath for str {}
impl SocketPath for String {}
impl SocketPath for OsStr {}
impl SocketPath for OsString {}

impl<P: SocketPath + ?Sized> ToRaw for P {
    fn to_raw(&self) -> io::Result<RawAddress> {
        RawAddress::from_path(self.as_ref())
    }
}
