//! Socket addresses as the kernel holds them, and as `std` does.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

/// An address of any family, in the kernel's form.
#[derive(Clone, Copy)]
#[allow(
    missing_debug_implementations,
    reason = "no name of this crate's interface leads here"
)]
pub struct Address {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Address {
    /// Room for the kernel to write an address of any family into.
    pub(crate) fn empty() -> Address {
        Address {
            // SAFETY: sockaddr_storage is plain integers; all zero is a value of it (family 0: unspecified).
            storage: unsafe { mem::zeroed() },
            len: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    fn of<T: Copy>(raw: T, len: usize) -> Address {
        assert!(mem::size_of::<T>() <= mem::size_of::<libc::sockaddr_storage>());
        let mut address = Address::empty();
        // SAFETY: the storage is at least as large as T (asserted) and aligned for every kind of address, by its definition.
        unsafe { (&raw mut address.storage).cast::<T>().write(raw) };
        address.len = len as libc::socklen_t;
        address
    }

    /// # Safety
    ///
    /// `T` is the kernel's structure for this address's family.
    unsafe fn read<T: Copy>(&self) -> T {
        // SAFETY: the storage is larger than and aligned for each family's structure, and all of it is initialized.
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

    pub(crate) fn family(&self) -> libc::c_int {
        libc::c_int::from(self.storage.ss_family)
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

    /// The address as one of a Unix socket; an unbound peer's has no name.
    pub(crate) fn to_unix(self) -> io::Result<UnixAddr> {
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
    pub(crate) fn from_unix(addr: &UnixAddr) -> io::Result<Address> {
        if let Some(path) = addr.as_pathname() {
            return Address::from_path(path);
        }
        match abstract_name_of(addr) {
            Some(name) => unix(&[&[0], name].concat(), 0),
            None => Err(invalid("a Unix socket without a name cannot be sent to")),
        }
    }

    /// The address of the Unix socket at `path`.
    pub(crate) fn from_path(path: &Path) -> io::Result<Address> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(invalid(
                "a socket's path has at least one byte and no zero byte",
            ));
        }
        unix(bytes, 1)
    }
}

impl From<&SocketAddr> for Address {
    fn from(addr: &SocketAddr) -> Address {
        match addr {
            SocketAddr::V4(v4) => {
                // SAFETY: sockaddr_in is plain integers; all zero is a value of it.
                let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                Address::of(raw, mem::size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(v6) => {
                // SAFETY: sockaddr_in6 is plain integers; all zero is a value of it.
                let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_flowinfo = v6.flowinfo();
                raw.sin6_scope_id = v6.scope_id();
                Address::of(raw, mem::size_of::<libc::sockaddr_in6>())
            }
        }
    }
}

const PATH_OFFSET: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

/// `bytes` as the name of a Unix socket, with `closing` zero bytes counted after it.
fn unix(bytes: &[u8], closing: usize) -> io::Result<Address> {
    // SAFETY: sockaddr_un is plain integers; all zero is a value of it.
    let mut raw: libc::sockaddr_un = unsafe { mem::zeroed() };
    if bytes.len() + closing > raw.sun_path.len() {
        return Err(invalid("the name of a Unix socket is too long"));
    }
    raw.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in raw.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(Address::of(raw, PATH_OFFSET + bytes.len() + closing))
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
            assert_eq!(Address::from(&addr).to_internet().expect(text), addr);
        }
    }

    #[test]
    fn unix_paths_come_back_as_they_went_and_no_name_stays_none() {
        let address = Address::from_path(Path::new("/tmp/a socket")).expect("short enough");
        let back = address.to_unix().expect("a path");
        assert_eq!(back.as_pathname(), Some(Path::new("/tmp/a socket")));
        let unnamed = Address {
            len: PATH_OFFSET as libc::socklen_t,
            ..Address::empty()
        };
        assert!(unnamed.to_unix().expect("no name").is_unnamed());
    }

    #[test]
    fn paths_that_no_socket_can_have_are_refused() {
        for path in ["", "a\0b", &"x".repeat(200)] {
            let error = Address::from_path(Path::new(path)).err().expect("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
