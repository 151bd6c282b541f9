//! Socket addresses as the kernel holds them, and as `std` does.

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;
use std::slice;

/// A socket address of any family, in the kernel's form (`struct sockaddr`).
///
/// [`Address::Other`](crate::Address::Other) holds one if the family is neither that of IP nor that
/// of Unix sockets, for example vsock or netlink. The loop's operations take it back unchanged.
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
    /// Returns the family: `libc::AF_VSOCK` and the like. It is 0 if the kernel named no address.
    pub fn family(&self) -> i32 {
        libc::c_int::from(self.storage.ss_family)
    }

    /// Returns the bytes that the kernel gave, the family included.
    pub fn as_bytes(&self) -> &[u8] {
        let len = mem::size_of_val(&self.storage).min(self.len as usize);
        // SAFETY: all of the storage is initialized, it is borrowed by `self`, and `len` is within it.
        unsafe { slice::from_raw_parts((&raw const self.storage).cast(), len) }
    }

    /// The bytes of an abstract name of a Unix socket, without the zero byte in front.
    pub(crate) fn abstract_name(&self) -> &[u8] {
        self.as_bytes().get(PATH_OFFSET + 1..).unwrap_or_default()
    }

    /// Room for the kernel to write an address of any family into.
    pub(crate) fn empty() -> RawAddress {
        RawAddress {
            // SAFETY: sockaddr_storage is plain integers; all zero is a value of it (family 0: unspecified).
            storage: unsafe { mem::zeroed() },
            len: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    fn of<T: Copy>(raw: T, len: usize) -> RawAddress {
        assert!(mem::size_of::<T>() <= mem::size_of::<libc::sockaddr_storage>());
        let mut address = RawAddress::empty();
        // SAFETY: the storage is at least as large as T (asserted), and aligned for every address.
        unsafe { (&raw mut address.storage).cast::<T>().write(raw) };
        address.len = len as libc::socklen_t;
        address
    }

    /// # Safety
    ///
    /// `T` is the kernel's structure for this address's family.
    unsafe fn read<T: Copy>(&self) -> T {
        // SAFETY: the storage is large enough and aligned for each family, and initialized.
        unsafe { (&raw const self.storage).cast::<T>().read() }
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }

    pub(super) fn len(&self) -> libc::socklen_t {
        self.len
    }

    pub(super) fn len_mut(&mut self) -> &mut libc::socklen_t {
        &mut self.len
    }

    pub(crate) fn is_unix(&self) -> bool {
        self.family() == libc::AF_UNIX
    }

    pub(crate) fn is_internet(&self) -> bool {
        matches!(self.family(), libc::AF_INET | libc::AF_INET6)
    }

    /// The address as one of the internet.
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
            _ => Err(invalid("not an address of the internet")),
        }
    }

    /// Returns the address as that of a Unix socket. An unbound peer has no name, nor has a peer of
    /// another family.
    pub(crate) fn to_unix(self) -> io::Result<UnixAddr> {
        if !self.is_unix() {
            return UnixAddr::from_pathname("");
        }
        // SAFETY: only the path's bytes are read, and those beyond `len` are cut off; any bytes are a path.
        let raw: libc::sockaddr_un = unsafe { self.read() };
        let used = (self.len as usize).saturating_sub(PATH_OFFSET);
        let bytes: Vec<u8> = raw.sun_path.iter().take(used).map(|c| *c as u8).collect();
        if let [0, name @ ..] = bytes.as_slice() {
            return abstract_name(name);
        }
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let path = Path::new(std::ffi::OsStr::from_bytes(&bytes[..end]));
        // The kernel allows a path without its closing zero byte, one longer than `std` can hold: a peer without a name, then.
        UnixAddr::from_pathname(path).or_else(|_| UnixAddr::from_pathname(""))
    }

    /// The address of a Unix socket in whatever form it has: a path or an abstract name.
    pub(crate) fn from_unix(addr: &UnixAddr) -> io::Result<RawAddress> {
        if let Some(path) = addr.as_pathname() {
            return RawAddress::from_path(path);
        }
        match abstract_name_of(addr) {
            Some(name) => unix(&[&[0], name].concat(), 0),
            None => Err(invalid("a Unix address without a name reaches no socket")),
        }
    }

    /// The address of the Unix socket at `path`.
    pub(crate) fn from_path(path: &Path) -> io::Result<RawAddress> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(invalid(
                "a socket's path has at least one byte and no zero byte",
            ));
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
                // SAFETY: sockaddr_in is plain integers; all zero is a value of it.
                let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                RawAddress::of(raw, mem::size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(v6) => {
                // SAFETY: sockaddr_in6 is plain integers; all zero is a value of it.
                let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_flowinfo = v6.flowinfo();
                raw.sin6_scope_id = v6.scope_id();
                RawAddress::of(raw, mem::size_of::<libc::sockaddr_in6>())
            }
        }
    }
}

const PATH_OFFSET: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

/// `bytes` as the name of a Unix socket, with `closing` zero bytes counted after it.
fn unix(bytes: &[u8], closing: usize) -> io::Result<RawAddress> {
    // SAFETY: sockaddr_un is plain integers; all zero is a value of it.
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

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name_of(addr: &UnixAddr) -> Option<&[u8]> {
    <UnixAddr as std::os::linux::net::SocketAddrExt>::as_abstract_name(addr)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name_of(_addr: &UnixAddr) -> Option<&[u8]> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(name: &[u8]) -> io::Result<UnixAddr> {
    <UnixAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_name: &[u8]) -> io::Result<UnixAddr> {
    UnixAddr::from_pathname("")
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internet_addresses_come_back_as_they_went() {
        for text in [
            "127.0.0.1:80",
            "255.1.2.3:65535",
            "[::1]:443",
            "[fe80::1%7]:9",
        ] {
            let addr: SocketAddr = text.parse().expect("an address");
            assert_eq!(RawAddress::from(&addr).to_internet().expect(text), addr);
        }
    }

    #[test]
    fn unix_paths_come_back_as_they_went_and_no_name_stays_none() {
        let address = RawAddress::from_path(Path::new("/tmp/a socket")).expect("short enough");
        let back = address.to_unix().expect("a path");
        assert_eq!(back.as_pathname(), Some(Path::new("/tmp/a socket")));
        let unnamed = RawAddress {
            len: 0,
            ..RawAddress::empty()
        };
        assert!(unnamed.to_unix().expect("no name").is_unnamed());
    }

    #[test]
    fn paths_that_no_socket_can_have_are_refused() {
        for path in ["", "a\0b", &"x".repeat(200)] {
            let error = RawAddress::from_path(Path::new(path)).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
