//! Conversion of socket addresses between the kernel's form and those of `std`.

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;
use std::slice;

/// A socket address of any family, in the kernel's form (`struct sockaddr`).
///
/// [`Address::Other`](crate::Address::Other) holds one if the family is neither IP nor Unix, for
/// example vsock or netlink. The loop's operations accept it unchanged.
///
/// # Examples
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use sendloop::Address;
///
/// fn vsock_port(peer: &Address) -> Option<u32> {
///     match peer {
///         // `struct sockaddr_vm`: family, reserved, port, cid.
///         Address::Other(raw) if raw.family() == libc::AF_VSOCK => {
///             let port = raw.as_bytes().get(4..8)?;
///             Some(u32::from_ne_bytes(port.try_into().ok()?))
///         }
///         _ => None,
///     }
/// }
/// # assert_eq!(vsock_port(&Address::Ip(([127, 0, 0, 1], 80).into())), None);
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct RawAddress {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl RawAddress {
    /// Returns the family, such as `libc::AF_VSOCK`. It is 0 if the kernel returned no address.
    pub fn family(&self) -> i32 {
        libc::c_int::from(self.storage.ss_family)
    }

    /// Returns the bytes of the kernel's address, family included.
    pub fn as_bytes(&self) -> &[u8] {
        let len = size_of_val(&self.storage).min(self.len as usize);
        // SAFETY: all of the storage is initialized, `self` borrows it, and `len` is within it.
        unsafe { slice::from_raw_parts((&raw const self.storage).cast(), len) }
    }

    /// Returns the bytes of a Unix socket's abstract name, without the zero byte before it.
    pub(crate) fn abstract_name(&self) -> &[u8] {
        self.as_bytes().get(PATH_OFFSET + 1..).unwrap_or_default()
    }

    /// Creates an empty address with room for one of any family.
    pub(crate) fn empty() -> RawAddress {
        RawAddress {
            // SAFETY: sockaddr_storage has only integers, so all zeros is a valid value. Family 0
            // means "unspecified".
            storage: unsafe { mem::zeroed() },
            len: size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    fn of<T: Copy>(raw: T, len: usize) -> RawAddress {
        assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>());
        let mut address = RawAddress::empty();
        // SAFETY: the storage is at least as large as `T`, as asserted, and aligned for every
        // address.
        unsafe { (&raw mut address.storage).cast::<T>().write(raw) };
        address.len = len as libc::socklen_t;
        address
    }

    /// Returns the kernel's structure of this address.
    ///
    /// # Safety
    ///
    /// `T` is the kernel's structure for this address's family.
    unsafe fn read<T: Copy>(&self) -> T {
        // SAFETY: the storage is initialized, large enough for each family, and aligned for it.
        unsafe { (&raw const self.storage).cast::<T>().read() }
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    /// Returns pointers to the address and to its length, for calls that fill both.
    pub(super) fn as_mut_parts(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.len)
    }

    pub(super) fn len(&self) -> libc::socklen_t {
        self.len
    }

    pub(crate) fn is_unix(&self) -> bool {
        self.family() == libc::AF_UNIX
    }

    pub(crate) fn is_internet(&self) -> bool {
        matches!(self.family(), libc::AF_INET | libc::AF_INET6)
    }

    /// Returns the address as an IP address with a port.
    pub(crate) fn to_internet(self) -> io::Result<SocketAddr> {
        match self.family() {
            libc::AF_INET => {
                // SAFETY: sockaddr_in is the structure of AF_INET.
                let raw: libc::sockaddr_in = unsafe { self.read() };
                let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
                Ok(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: sockaddr_in6 is the structure of AF_INET6.
                let raw: libc::sockaddr_in6 = unsafe { self.read() };
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let port = u16::from_be(raw.sin6_port);
                Ok(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
            }
            _ => Err(invalid("the address is not an IP address")),
        }
    }

    /// Returns the address as a Unix address.
    ///
    /// An unbound peer and a peer of another family have no name.
    pub(crate) fn to_unix(self) -> io::Result<UnixAddr> {
        if !self.is_unix() {
            return UnixAddr::from_pathname("");
        }
        let bytes = self.as_bytes().get(PATH_OFFSET..).unwrap_or_default();
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let [0, name @ ..] = bytes {
            return UnixAddr::from_abstract_name(name);
        }
        let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        // The kernel allows a path without its final zero byte, which may be one byte too long for
        // `std`. Such a peer counts as unnamed.
        UnixAddr::from_pathname(path).or_else(|_| UnixAddr::from_pathname(""))
    }

    /// Converts the address of a Unix socket, a path or an abstract name.
    pub(crate) fn from_unix(addr: &UnixAddr) -> io::Result<RawAddress> {
        if let Some(path) = addr.as_pathname() {
            return RawAddress::from_path(path);
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = addr.as_abstract_name() {
            return unix(&[&[0], name].concat(), 0);
        }
        Err(invalid("the Unix address has no name, so it reaches no socket"))
    }

    /// Creates the address of the Unix socket at `path`.
    pub(crate) fn from_path(path: &Path) -> io::Result<RawAddress> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(invalid("the path of a Unix socket is empty or has a zero byte"));
        }
        unix(bytes, 1)
    }
}

impl PartialEq for RawAddress {
    fn eq(&self, other: &RawAddress) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RawAddress {}

impl fmt::Debug for RawAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAddress")
            .field("family", &self.family())
            .field("bytes", &self.as_bytes())
            .finish()
    }
}

impl From<&SocketAddr> for RawAddress {
    fn from(addr: &SocketAddr) -> RawAddress {
        match addr {
            SocketAddr::V4(v4) => {
                // SAFETY: sockaddr_in has only integers, so all zeros is a valid value.
                let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                RawAddress::of(raw, size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(v6) => {
                // SAFETY: sockaddr_in6 has only integers, so all zeros is a valid value.
                let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_flowinfo = v6.flowinfo();
                raw.sin6_scope_id = v6.scope_id();
                RawAddress::of(raw, size_of::<libc::sockaddr_in6>())
            }
        }
    }
}

const PATH_OFFSET: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

/// Creates the address of a Unix socket from its name.
///
/// The length includes `closing` zero bytes after the name.
fn unix(bytes: &[u8], closing: usize) -> io::Result<RawAddress> {
    // SAFETY: sockaddr_un has only integers, so all zeros is a valid value.
    let mut raw: libc::sockaddr_un = unsafe { mem::zeroed() };
    if bytes.len() + closing > raw.sun_path.len() {
        return Err(invalid("the name of a Unix socket is too long"));
    }
    raw.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in raw.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(RawAddress::of(raw, PATH_OFFSET + bytes.len() + closing))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests;
