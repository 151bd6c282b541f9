//! Listening sockets: one for each loop, all at the same address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted; the kernel has a limit of its own (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// Listens at an address as many times as there are loops. The kernel spreads the connections over the sockets by a hash of
/// their addresses, so that no loop is woken for a connection which another takes.
///
/// # Errors
///
/// What the system says of the address.
pub(crate) fn listeners(addr: SocketAddr, count: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    if count == NonZeroUsize::MIN {
        return Ok(vec![listen(socket(addr)?, addr)?]);
    }
    // With SO_REUSEPORT a second server of the same user would be given a share of the connections. Without it the address is
    // refused if it is taken.
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
    // A server that is started again need not wait for its old connections to be forgotten.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn listen(socket: Socket, addr: SocketAddr) -> io::Result<TcpListener> {
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
