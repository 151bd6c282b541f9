//! Listening sockets: one for each loop, all at the same address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted. The kernel has a limit too (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// Listens at an address, once for each loop. The kernel spreads the connections by a hash of their
/// addresses, so that it wakes no loop for a connection that another takes.
///
/// # Errors
///
/// Any error of binding to the address.
pub(crate) fn listeners(addr: SocketAddr, count: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    if count == NonZeroUsize::MIN {
        return Ok(vec![listen(socket(addr)?, addr)?]);
    }
    // With SO_REUSEPORT, a second server of the same user would get a share of the connections. The
    // probe has it not, so that it fails if the address is taken.
    let probe = socket(addr)?;
    probe.bind(&addr.into())?;
    let addr = probe.local_addr()?.as_socket().unwrap_or(addr);
    drop(probe);
    let shared = |_| {
        let socket = socket(addr)?;
        socket.set_reuse_port(true)?;
        listen(socket, addr)
    };
    (0..count.get()).map(shared).collect()
}

fn socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again need not wait until the kernel forgets its old connections.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn listen(socket: Socket, addr: SocketAddr) -> io::Result<TcpListener> {
    // Linux passes this on to each accepted connection, which saves a system call each. The end of
    // a file is a small segment. Nagle's algorithm would hold it back until the client acknowledges
    // the rest.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
