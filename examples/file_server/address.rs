//! Where to listen, as the option has it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// The host is a name, an address, or empty for all of the machine's addresses.
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// Reads `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `unix:PATH`.
    ///
    /// # Errors
    ///
    /// A line that says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Address, String> {
        match text.strip_prefix("unix:") {
            Some("") => return Err("a path is missing".into()),
            Some(path) => return Ok(Address::Unix(path.into())),
            None => {}
        }
        let wrong = || format!("{text:?} is neither HOST:PORT nor unix:PATH");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match bracketed {
            None if host.contains([':', '[', ']']) => Err(wrong()),
            Some("") => Err(wrong()),
            host_in_brackets => Ok(Address::Tcp(host_in_brackets.unwrap_or(host).into(), port)),
        }
    }

    /// The addresses of the host, in the order in which to try them. IPv4 comes first: programs
    /// that try one address of `localhost` try that one. For all addresses one socket of IPv6 takes
    /// both.
    pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if host.is_empty() {
            let any = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
            return Ok(any.map(|ip| SocketAddr::new(ip, port)).into());
        }
        let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
