//! Sockets that are bound to ports of the kernel's choice.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use sendloop::Socket;
use socket2::{Domain, Socket as Plain, Type};

/// Returns the loopback addresses of IPv4 and IPv6, with port 0.
pub fn loopbacks() -> [SocketAddr; 2] {
    ["127.0.0.1:0", "[::1]:0"].map(|text| text.parse().expect("an address"))
}

/// Binds a socket that does not listen, so a connection to it is refused.
#[track_caller]
pub fn bound(addr: SocketAddr, kind: Type) -> (Plain, SocketAddr) {
    let sock = Plain::new(Domain::for_address(addr), kind, None).expect("a socket");
    sock.bind(&addr.into()).expect("a port");
    let addr = sock.local_addr().expect("bound").as_socket();
    (sock, addr.expect("an IP address"))
}

/// Returns a TCP listener on a free port of 127.0.0.1, and its address.
pub fn tcp_listener() -> (Socket<TcpListener>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    (Socket::new(listener).expect("non-blocking"), addr)
}

/// Returns a UDP socket on a free port of 127.0.0.1.
pub fn udp() -> Socket<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    Socket::new(socket).expect("non-blocking")
}

/// Returns a port with a full queue, on which connections stay in progress. The streams fill the
/// queue.
pub fn full_port() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
    listener.listen(0).expect("bound");
    let brief = Duration::from_millis(50);
    let fill = || TcpStream::connect_timeout(&addr, brief).ok();
    let filling = std::iter::from_fn(fill).collect();
    (listener.into(), addr, filling)
}

/// Returns the error of the first address in an error of `connect`.
#[track_caller]
pub fn first_cause(error: &std::io::Error) -> &std::io::Error {
    let first = error.get_ref().and_then(|error| error.source());
    let first = first.and_then(|first| first.downcast_ref());
    first.expect("the error of the first address")
}
