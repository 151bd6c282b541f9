//! The borrows and sizes of the operations' futures.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;

use crate::util::*;
use sendloop::Socket;

#[test]
fn lookup_futures_run_as_static_tasks() {
    let _test = test();
    let event_loop = new_loop();
    let looked_up = event_loop.create_task(event_loop.getaddrinfo("127.0.0.1", 80));
    let addr: SocketAddr = "127.0.0.1:80".parse().expect("an address");
    let named = event_loop.create_task(event_loop.getnameinfo(addr));
    let addrs = event_loop.run_until_complete(looked_up).expect("no panic");
    assert_eq!(addrs.expect("an address"), [addr]);
    let names = event_loop.run_until_complete(named).expect("no panic");
    assert!(!names.expect("names").0.is_empty());
}

#[test]
fn no_operation_borrows_the_handle_or_the_address() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = Socket::pair().expect("a pair");
    let mut buffer = [0; 10];
    let (sends, receives, fills) = {
        let handle = event_loop.handle();
        (
            handle.sock_sendall(&near, b"hello there"),
            handle.sock_recv(&far, 5),
            handle.sock_recv_into(&far, &mut buffer),
        )
    };
    event_loop.run_until_complete(async {
        sends.await.expect("sent");
        assert_eq!(receives.await.expect("received"), b"hello");
        assert_eq!(fills.await.expect("received"), 6);
    });

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (client, listener) = (Socket::tcp(&addr), Socket::new(listener));
    let (client, listener) = (client.expect("a socket"), listener.expect("set"));
    let (connects, accepts) = {
        let (handle, addr) = (event_loop.handle(), addr);
        (handle.sock_connect(&client, &addr), handle.sock_accept(&listener))
    };
    event_loop.run_until_complete(async {
        connects.await.expect("connected");
        accepts.await.expect("accepted");
    });

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let socket = Socket::new(socket).expect("non-blocking");
    let (sends, receives, fills) = {
        let (handle, addr) = (event_loop.handle(), socket.get_ref().local_addr());
        let addr = addr.expect("bound");
        (
            handle.sock_sendto(&socket, b"hello", &addr),
            handle.sock_recvfrom(&socket, 10),
            handle.sock_recvfrom_into(&socket, &mut buffer),
        )
    };
    event_loop.run_until_complete(async {
        sends.await.expect("sent");
        assert_eq!(receives.await.expect("received").0, b"hello");
    });
    drop(fills);
}

#[test]
fn futures_are_small() {
    let _test = test();
    let event_loop = new_loop();
    let (near, _far) = Socket::pair().expect("a pair");
    let (listener, addr) = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        (Socket::new(listener).expect("non-blocking"), addr)
    };
    let udp = Socket::new(UdpSocket::bind(addr).expect("a port")).expect("non-blocking");
    let client: Socket<TcpStream> = Socket::tcp(&addr).expect("a socket");
    let path = PathBuf::from("nowhere");
    let local = Socket::unix().expect("a socket");
    let mut buffer = [0; 10];
    let sizes = [
        ("sock_recv", size_of_val(&event_loop.sock_recv(&near, 10)), 64),
        ("sock_recv_into", size_of_val(&event_loop.sock_recv_into(&near, &mut buffer)), 80),
        ("sock_sendall", size_of_val(&event_loop.sock_sendall(&near, b"x")), 80),
        ("sock_accept", size_of_val(&event_loop.sock_accept(&listener)), 56),
        ("sock_recvfrom", size_of_val(&event_loop.sock_recvfrom(&udp, 10)), 56),
        ("sock_sendto", size_of_val(&event_loop.sock_sendto(&udp, b"x", &addr)), 256),
        ("sock_connect", size_of_val(&event_loop.sock_connect(&client, &addr)), 256),
        ("sock_connect", size_of_val(&event_loop.sock_connect(&local, path.as_path())), 256),
        ("getaddrinfo", size_of_val(&event_loop.getaddrinfo("localhost", 80)), 80),
    ];
    for (name, size, most) in sizes {
        assert!(size <= most, "{name}: {size} bytes");
    }
}
