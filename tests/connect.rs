//! Connecting to a host, sockets of any family as descriptors, the addresses that `sock_connect`
//! takes, and `poll_accept`.
#![allow(unsafe_code, reason = "one socket option is set by libc alone")]

mod util;

#[path = "connect/accept.rs"]
mod accept;
#[path = "connect/descriptors.rs"]
mod descriptors;
#[path = "connect/host.rs"]
mod host;
#[path = "connect/targets.rs"]
mod targets;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket as Plain, Type};

/// Two loopback addresses, one of each family, with a port that the kernel chooses.
fn loopbacks() -> [SocketAddr; 2] {
    ["127.0.0.1:0", "[::1]:0"].map(|text| text.parse().expect("an address"))
}

/// A bound socket, which does not listen yet.
#[track_caller]
fn bound(addr: SocketAddr, kind: Type) -> (Plain, SocketAddr) {
    let sock = Plain::new(Domain::for_address(addr), kind, None).expect("a socket");
    sock.bind(&addr.into()).expect("a port");
    let addr = sock.local_addr().expect("bound").as_socket();
    (sock, addr.expect("an IP address"))
}

/// A port whose queue is full: connections to it stay in progress. The streams fill the queue.
fn full_port() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
    listener.listen(0).expect("bound");
    let brief = Duration::from_millis(50);
    let fill = || TcpStream::connect_timeout(&addr, brief).ok();
    let filling = std::iter::from_fn(fill).collect();
    (listener.into(), addr, filling)
}

/// Runs `f` while the process can open no descriptor.
fn without_descriptors<T>(f: impl FnOnce() -> T) -> T {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let none = rustix::process::Rlimit {
        current: Some(0),
        ..before
    };
    setrlimit(Resource::Nofile, none).expect("lower than before");
    let result = f();
    setrlimit(Resource::Nofile, before).expect("as before");
    result
}
