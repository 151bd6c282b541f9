//! Listening sockets: one for each loop, all at the same address.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Type};

/// The most connections that may wait for an accept. The kernel has another limit
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// Sockets that listen, and where.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listeners: Vec<OwnedFd>,
    /// The address in the form that a client uses.
    pub(crate) name: String,
    pub(crate) socket_file: Option<SocketFile>,
}

/// Listens at an address as many times as there are loops. `mode` is that of a Unix socket's file.
///
/// # Errors
///
/// Any OS error from the address.
pub(crate) fn listen(
    address: &Address,
    count: NonZeroUsize,
    mode: Option<u32>,
) -> io::Result<Listening> {
    let (host, port) = match address {
        Address::Tcp(host, port) => (host, *port),
        Address::Unix(path) => return listen_unix(path, count, mode),
    };
    let mut result = Err(io::Error::other("the name has no address"));
    for addr in Address::resolve(host, port)? {
        result = listen_tcp(addr, count);
        if result.is_ok() {
            break;
        }
    }
    let listeners = result?;
    Ok(Listening {
        name: format!("http://{}", listeners[0].local_addr()?),
        listeners: listeners.into_iter().map(OwnedFd::from).collect(),
        socket_file: None,
    })
}

/// The kernel spreads the connections over the sockets by a hash of their addresses, so that no
/// loop is woken for a connection which another takes.
fn listen_tcp(addr: SocketAddr, count: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    if count == NonZeroUsize::MIN {
        return Ok(vec![bind(socket(addr)?, addr)?]);
    }
    // With SO_REUSEPORT a second server of the same user would be given a share of the connections.
    // Without it the address is refused if it is taken.
    let probe = socket(addr)?;
    probe.bind(&addr.into())?;
    let addr = probe.local_addr()?.as_socket().unwrap_or(addr);
    drop(probe);
    let shared = |_| {
        let socket = socket(addr)?;
        socket.set_reuse_port(true)?;
        bind(socket, addr)
    };
    (0..count.get()).map(shared).collect()
}

fn socket(addr: SocketAddr) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again need not wait until the kernel forgets its old connections.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

fn bind(socket: socket2::Socket, addr: SocketAddr) -> io::Result<TcpListener> {
    // Linux passes this on to each accepted connection, which saves a system call each. The end of
    // a file is a small segment. Nagle's algorithm would hold it back until the client acknowledges
    // the rest.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// All loops accept from one socket: the kernel has no other way to share a Unix socket.
fn listen_unix(path: &Path, count: NonZeroUsize, mode: Option<u32>) -> io::Result<Listening> {
    let bind = || -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    let socket = match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            bind()
        }
        result => result,
    }?;
    if let Some(mode) = mode {
        // No client can connect before it listens.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    let listener = OwnedFd::from(socket);
    let clones = (1..count.get()).map(|_| listener.try_clone());
    let mut listeners = clones.collect::<io::Result<Vec<_>>>()?;
    listeners.push(listener);
    Ok(Listening {
        listeners,
        name: format!("unix:{}", path.display()),
        socket_file: Some(SocketFile::new(path)?),
    })
}

/// Returns whether a server left the socket and has ended.
fn is_stale(path: &Path) -> bool {
    let is_socket =
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).as_ref().is_err_and(refused)
}

/// The file of a Unix socket, removed when it is dropped, unless it is another server's by then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), id: id(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|present| present == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

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
    /// A line with the mistake.
    pub(crate) fn read(text: &str) -> Result<Address, String> {
        match text.strip_prefix("unix:") {
            Some("") => return Err("a path is missing".into()),
            Some(path) => return Ok(Address::Unix(path.into())),
            None => {}
        }
        let wrong = || format!("{text:?} is neither HOST:PORT nor unix:PATH");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
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
