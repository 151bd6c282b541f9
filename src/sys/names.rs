//! The host and service names of an address.

use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;

use super::address::RawAddress;

/// Returns the names of the host and the service, or their numbers if they have no names.
///
/// It may take long, as it may query a name server.
pub(crate) fn name_of(addr: &SocketAddr) -> io::Result<(String, String)> {
    let address = RawAddress::from(addr);
    let mut host = [0 as libc::c_char; 1025]; // NI_MAXHOST
    let mut service = [0 as libc::c_char; 32]; // NI_MAXSERV
    // SAFETY: the pointers and lengths are those of `address`, `host` and `service`, which live
    // longer than the call.
    let code = unsafe {
        let (address, address_len) = (address.as_ptr(), address.len());
        let (name, len) = (host.as_mut_ptr(), host.len() as _);
        let (port, port_len) = (service.as_mut_ptr(), service.len() as _);
        libc::getnameinfo(address, address_len, name, len, port, port_len, 0)
    };
    match code {
        // SAFETY: the call wrote C strings.
        0 => Ok(unsafe { (text(host.as_ptr()), text(service.as_ptr())) }),
        libc::EAI_SYSTEM => Err(io::Error::last_os_error()),
        code => {
            // SAFETY: for every code, gai_strerror returns a string with a static lifetime.
            let why = unsafe { text(libc::gai_strerror(code)) };
            Err(io::Error::other(format!("cannot look up the name of {addr}: {why}")))
        }
    }
}

/// # Safety
///
/// `text` points to a C string.
unsafe fn text(text: *const libc::c_char) -> String {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}
