//! Sockets of any family as `Socket<OwnedFd>`.
#![allow(unsafe_code, reason = "one socket option is set by libc alone")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
#[cfg(target_os = "linux")]
use std::time::Duration;

use sendloop::{Address, Loop, Socket};
use socket2::{Domain, SockAddr, Socket as Plain, Type};

use crate::ports::{bound, loopbacks};
use crate::util::*;

fn descriptor(sock: impl Into<OwnedFd>) -> Socket<OwnedFd> {
    Socket::new(sock.into()).expect("a socket")
}

#[track_caller]
fn plain(domain: Domain, kind: Type) -> Socket<OwnedFd> {
    descriptor(Plain::new(domain, kind, None).expect("a socket"))
}

/// Connects `client` to a listener, accepts, and sends a byte each way. Returns the peer's address.
async fn greet(
    event_loop: &Loop,
    listener: &Socket<OwnedFd>,
    client: &Socket<OwnedFd>,
    addr: Address,
) -> Address {
    event_loop.sock_connect(client, &addr).await.expect("connected");
    let (server, peer) = event_loop.sock_accept(listener).await.expect("accepted");
    let flags = rustix::io::fcntl_getfd(&server).expect("open");
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let flags = rustix::fs::fcntl_getfl(&server).expect("open");
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    event_loop.sock_sendall(&server, b"down").await.expect("sent");
    assert_eq!(event_loop.sock_recv(client, 9).await.expect("received"), b"down");
    event_loop.sock_sendall(client, b"up").await.expect("sent");
    assert_eq!(event_loop.sock_recv(&server, 9).await.expect("received"), b"up");
    drop(server);
    assert_eq!(event_loop.sock_recv(client, 9).await.expect("the end"), b"");
    peer
}

#[test]
fn tcp_of_both_families_connects_and_accepts() {
    let _test = test();
    let event_loop = new_loop();
    for any in loopbacks() {
        let (listener, addr) = bound(any, Type::STREAM);
        listener.listen(1).expect("bound");
        let client = Plain::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        client.bind(&any.into()).expect("a port");
        let own = client.local_addr().expect("bound").as_socket().expect("IP");
        let (listener, client) = (descriptor(listener), descriptor(client));
        let greeted = greet(&event_loop, &listener, &client, Address::from(addr));
        let peer = event_loop.run_until_complete(greeted);
        assert!(matches!(peer, Address::Ip(peer) if peer == own), "{peer:?}");
        assert_eq!(peer.to_string(), own.to_string());
    }
}

/// Addresses of Unix sockets: a path, and on Linux an abstract name.
fn names(dir: &std::path::Path, name: &str) -> Vec<SockAddr> {
    let path = SockAddr::unix(dir.join(name)).expect("an address");
    let hidden = format!("\0sendloop {} {name}", std::process::id());
    let hidden = SockAddr::unix(hidden).expect("an address");
    match cfg!(target_os = "linux") {
        true => vec![path, hidden],
        false => vec![path],
    }
}

#[track_caller]
fn as_unix(addr: &SockAddr) -> Address {
    #[cfg(target_os = "linux")]
    if let Some(name) = addr.as_abstract_namespace() {
        use std::os::linux::net::SocketAddrExt;
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(name);
        return Address::from(addr.expect("short enough"));
    }
    Address::from(addr.as_unix().expect("a Unix address"))
}

#[test]
fn unix_streams_and_packets_connect_and_accept_with_and_without_names() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    for kind in [Type::STREAM, Type::SEQPACKET] {
        let text = format!("{kind:?}");
        let addrs = names(dir.path(), &text).into_iter();
        for (addr, own) in addrs.zip(names(dir.path(), &(text + " client"))) {
            let Ok(listener) = Plain::new(Domain::UNIX, kind, None) else {
                eprintln!("skipped: this system has no {kind:?}");
                continue;
            };
            listener.bind(&addr).expect("bound");
            listener.listen(1).expect("bound");
            let (listener, addr) = (descriptor(listener), as_unix(&addr));
            let client = plain(Domain::UNIX, kind);
            let peer =
                event_loop.run_until_complete(greet(&event_loop, &listener, &client, addr.clone()));
            assert!(matches!(&peer, Address::Unix(peer) if peer.is_unnamed()), "{peer:?}");
            assert_eq!(peer.to_string(), "(unnamed)");

            let client = Plain::new(Domain::UNIX, kind, None).expect("a socket");
            client.bind(&own).expect("bound");
            let client = descriptor(client);
            let peer =
                event_loop.run_until_complete(greet(&event_loop, &listener, &client, addr.clone()));
            assert_eq!(peer, as_unix(&own));
        }
    }
}

#[test]
fn addresses_have_debug_output_and_equality() {
    let dir = std::path::Path::new("/tmp");
    let [path, other] =
        ["a", "b"].map(|name| as_unix(&SockAddr::unix(dir.join(name)).expect("short")));
    let unnamed = UnixDatagram::unbound().expect("a socket").local_addr();
    let unnamed = Address::from(unnamed.expect("an address"));
    assert_eq!(path.to_string(), "/tmp/a");
    assert_eq!(unnamed.to_string(), "(unnamed)");
    if cfg!(target_os = "linux") {
        let hidden = as_unix(&SockAddr::unix("\0x\0\n").expect("an address"));
        assert_eq!(hidden.to_string(), "@x\\x00\\n");
    }
    let ip = Address::from(loopbacks()[0]);
    let all = [path, other, unnamed, ip];
    for (n, one) in all.iter().enumerate() {
        let equal = all.iter().filter(|other| *other == one).count();
        assert_eq!((equal, one), (1, &all[n].clone()));
    }
}

/// Sends a datagram each way between two bound sockets.
async fn exchange(event_loop: &Loop, [here, there]: [&Socket<OwnedFd>; 2], addr: Address) {
    let sent = event_loop.sock_sendto(here, b"there", &addr).await;
    assert_eq!(sent.expect("sent"), 5);
    let (text, from) = event_loop.sock_recvfrom(there, 9).await.expect("received");
    assert_eq!(text, b"there");
    let sent = event_loop.sock_sendto(there, b"back", &from).await;
    assert_eq!(sent.expect("sent"), 4);
    let mut buffer = [0; 9];
    let received = event_loop.sock_recvfrom_into(here, &mut buffer).await;
    let (len, from) = received.expect("received");
    assert_eq!((&buffer[..len], &from), (&b"back"[..], &addr));
    // And connected.
    event_loop.sock_connect(here, &addr).await.expect("connected");
    event_loop.sock_sendall(here, b"direct").await.expect("sent");
    let text = event_loop.sock_recv(there, 9).await.expect("received");
    assert_eq!(text, b"direct");
}

#[test]
fn datagrams_make_a_round_trip_in_each_family() {
    let _test = test();
    let event_loop = new_loop();
    for any in loopbacks() {
        let [(here, _), (there, addr)] = [0; 2].map(|_| bound(any, Type::DGRAM));
        let (here, there) = (descriptor(here), descriptor(there));
        let exchanged = exchange(&event_loop, [&here, &there], Address::from(addr));
        event_loop.run_until_complete(exchanged);
    }
    let dir = tempfile::tempdir().expect("a directory");
    let addrs = names(dir.path(), "here").into_iter();
    for (own, addr) in addrs.zip(names(dir.path(), "there")) {
        let [here, there] = [&own, &addr].map(|addr| {
            let sock = Plain::new(Domain::UNIX, Type::DGRAM, None).expect("a socket");
            sock.bind(addr).expect("bound");
            descriptor(sock)
        });
        let exchanged = exchange(&event_loop, [&here, &there], as_unix(&addr));
        event_loop.run_until_complete(exchanged);
    }
}

#[test]
fn an_unnamed_sender_is_an_unnamed_unix_address() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = UnixDatagram::pair().expect("a pair");
    far.send(b"x").expect("sent");
    let near = descriptor(near);
    let received = event_loop.run_until_complete(event_loop.sock_recvfrom(&near, 9));
    let (text, from) = received.expect("received");
    assert_eq!(text, b"x");
    assert!(matches!(&from, Address::Unix(from) if from.is_unnamed()), "{from:?}");
    let answered = event_loop.run_until_complete(event_loop.sock_sendto(&near, b"y", &from));
    assert_eq!(answered.expect_err("no name").kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_receive_from_a_tcp_stream_has_no_address_and_loses_no_byte() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    far.write_all(b"bytes").expect("room");
    let near = descriptor(near);
    let received = event_loop.run_until_complete(event_loop.sock_recvfrom(&near, 9));
    let (text, from) = received.expect("received");
    assert_eq!(text, b"bytes");
    assert!(matches!(from, Address::Other(raw) if raw.family() == 0 && raw.as_bytes().is_empty()));
}

#[test]
fn sendto_waits_for_a_full_unix_receiver() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let there = UnixDatagram::bind(dir.path().join("there")).expect("bound");
    let addr = Address::from(there.local_addr().expect("bound"));
    let there = Rc::new(descriptor(there));
    let here = plain(Domain::UNIX, Type::DGRAM);
    let (handle, receiving) = (event_loop.handle(), there.clone());
    let receiver = event_loop.create_task(async move {
        for n in 0..200_u32 {
            let received = handle.sock_recvfrom(&receiving, 9).await;
            assert_eq!(received.expect("received").0, n.to_le_bytes());
        }
    });
    event_loop.run_until_complete(async {
        for n in 0..200_u32 {
            let sent = event_loop.sock_sendto(&here, &n.to_le_bytes(), &addr).await;
            assert_eq!(sent.expect("sent"), 4);
        }
        receiver.await.expect("all there");
    });
}

#[test]
fn connect_of_a_descriptor_retries_a_full_unix_listener() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let addr = SockAddr::unix(dir.path().join("listener")).expect("an address");
    let listener = Plain::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    listener.bind(&addr).expect("bound");
    listener.listen(0).expect("bound");
    let (listener, addr) = (descriptor(listener), as_unix(&addr));
    let tasks = [0; 5].map(|_| {
        let (handle, addr) = (event_loop.handle(), addr.clone());
        event_loop.create_task(async move {
            let client = plain(Domain::UNIX, Type::STREAM);
            handle.sock_connect(&client, &addr).await.expect("connected");
            client
        })
    });
    event_loop.run_until_complete(async {
        for _ in &tasks {
            event_loop.sock_accept(&listener).await.expect("accepted");
        }
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn unknown_address_family_round_trips_unchanged() {
    let _test = test();
    let event_loop = new_loop();
    let sock = Plain::new(Domain::from(libc::AF_NETLINK), Type::RAW, None).expect("a socket");
    let sock = descriptor(sock);
    // RTM_GETLINK with NLM_F_REQUEST | NLM_F_DUMP: a header of 16 bytes and a message of 16.
    let mut request = [0; 32];
    request[0..4].copy_from_slice(&32_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&0x301_u16.to_ne_bytes());
    event_loop.run_until_complete(async {
        event_loop.sock_sendall(&sock, &request).await.expect("sent");
        let received = event_loop.sock_recvfrom(&sock, 1 << 16).await;
        let (answer, kernel) = received.expect("received");
        assert!(!answer.is_empty());
        let Address::Other(raw) = &kernel else {
            panic!("not of another family: {kernel:?}");
        };
        assert_eq!(raw.family(), libc::AF_NETLINK);
        assert_eq!(raw.as_bytes().len(), size_of::<libc::sockaddr_nl>());
        assert_eq!(kernel.to_string(), format!("(family {})", libc::AF_NETLINK));
        // The address serves to send and to connect.
        while event_loop.sock_recvfrom(&sock, 1 << 16).await.expect("received").0[4] != 3 {}
        let sent = event_loop.sock_sendto(&sock, &request, &kernel).await;
        assert_eq!(sent.expect("sent"), request.len());
        let (_, again) = event_loop.sock_recvfrom(&sock, 1 << 16).await.expect("received");
        assert_eq!(again, kernel);
        event_loop.sock_connect(&sock, &kernel).await.expect("connected");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_vsock_listener_keeps_the_connections_that_it_accepts() {
    let _test = test();
    let event_loop = new_loop();
    let Ok(listener) = Plain::new(Domain::VSOCK, Type::STREAM, None) else {
        eprintln!("skipped: this kernel has no vsock");
        return;
    };
    let any = SockAddr::vsock(libc::VMADDR_CID_ANY, libc::VMADDR_PORT_ANY);
    listener.bind(&any).expect("a port");
    listener.listen(1).expect("bound");
    let (_, port) = listener.local_addr().expect("bound").as_vsock_address().expect("vsock");
    let listener = descriptor(listener);
    let client = Plain::new(Domain::VSOCK, Type::STREAM, None).expect("a socket");
    client.set_nonblocking(true).expect("set");
    let _ = client.connect(&SockAddr::vsock(libc::VMADDR_CID_LOCAL, port));
    let accepted = event_loop.sock_accept(&listener);
    let accepted = event_loop.wait_for(accepted, Duration::from_secs(1));
    match event_loop.run_until_complete(accepted) {
        Err(_) => eprintln!("skipped: this kernel has no vsock loopback"),
        Ok(accepted) => {
            let (server, peer) = accepted.expect("accepted");
            let is_vsock = matches!(peer, Address::Other(raw) if raw.family() == libc::AF_VSOCK);
            assert!(is_vsock, "{peer:?}");
            let sent = event_loop.run_until_complete(event_loop.sock_sendall(&server, b"x"));
            sent.expect("the connection lives");
        }
    }
}

#[test]
fn a_tcp_listener_over_a_unix_socket_is_refused_and_loses_no_connection() {
    let _test = test();
    let event_loop = new_loop();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("listener");
    let listener = OwnedFd::from(UnixListener::bind(&path).expect("bound"));
    let listener = Socket::new(TcpListener::from(listener)).expect("a socket");
    let mut client = UnixStream::connect(&path).expect("connected");
    let refused = event_loop.run_until_complete(event_loop.sock_accept(&listener));
    assert_eq!(refused.expect_err("no TCP").kind(), ErrorKind::InvalidInput);
    let listener = descriptor(listener.into_inner());
    let accepted = event_loop.run_until_complete(event_loop.sock_accept(&listener));
    let (server, _) = accepted.expect("the connection is still there");
    drop(server);
    assert_eq!(client.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn wrong_kind_of_descriptor_fails_with_the_os_error() {
    let _test = test();
    let event_loop = new_loop();
    let stream = plain(Domain::IPV4, Type::STREAM);
    let accepted = event_loop.run_until_complete(event_loop.sock_accept(&stream));
    assert_eq!(accepted.expect_err("no listener").raw_os_error(), Some(libc::EINVAL));
    let datagrams = plain(Domain::UNIX, Type::DGRAM);
    let accepted = event_loop.run_until_complete(event_loop.sock_accept(&datagrams));
    assert_eq!(accepted.expect_err("no listener").raw_os_error(), Some(libc::EOPNOTSUPP));
    // An address of another family than the socket's.
    let unix = as_unix(&SockAddr::unix("/tmp/no such socket").expect("short"));
    let connected = event_loop.run_until_complete(event_loop.sock_connect(&stream, &unix));
    let errno = connected.expect_err("another family").raw_os_error();
    assert!(matches!(errno, Some(libc::EAFNOSUPPORT | libc::EINVAL)), "{errno:?}");
}

/// Limits the kernel's choice of the local port to one port. Returns false if this kernel cannot.
#[cfg(target_os = "linux")]
fn set_only_port(sock: &Plain, port: u16) -> bool {
    use std::os::fd::AsRawFd;
    const IP_LOCAL_PORT_RANGE: libc::c_int = 51; // Linux 6.3
    let range = u32::from(port) << 16 | u32::from(port);
    // SAFETY: the pointer and the length are those of `range`, which outlives the call.
    let answer = unsafe {
        libc::setsockopt(
            sock.as_raw_fd(),
            libc::IPPROTO_IP,
            IP_LOCAL_PORT_RANGE,
            (&raw const range).cast(),
            size_of_val(&range) as libc::socklen_t,
        )
    };
    answer == 0
}

#[test]
#[cfg(target_os = "linux")]
fn a_datagram_without_a_free_port_fails_and_does_not_wait() {
    let _test = test();
    let event_loop = new_loop();
    let (taken, addr) = bound(([0, 0, 0, 0], 0).into(), Type::DGRAM);
    let sock = Plain::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    if !set_only_port(&sock, addr.port()) {
        eprintln!("skipped: this kernel has no IP_LOCAL_PORT_RANGE");
        return;
    }
    let sock = descriptor(sock);
    let there = Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
    let sent = event_loop.sock_sendto(&sock, b"x", &there);
    let sent = event_loop.wait_for(sent, Duration::from_secs(5));
    let sent = event_loop.run_until_complete(sent).expect("an end in time");
    assert_eq!(sent.expect_err("no port").kind(), ErrorKind::AddrNotAvailable);
    drop(taken);
    let sent = event_loop.run_until_complete(event_loop.sock_sendto(&sock, b"x", &there));
    assert_eq!(sent.expect("the port is free"), 1);
}

#[test]
fn rustix_and_socket2_sockets_are_descriptors() {
    let _test = test();
    let event_loop = new_loop();
    let sock = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    );
    let client = Socket::new(sock.expect("a socket")).expect("non-blocking");
    let (listener, addr) = bound(loopbacks()[0], Type::STREAM);
    listener.listen(1).expect("bound");
    let listener = descriptor(listener);
    let greeted = greet(&event_loop, &listener, &client, addr.into());
    event_loop.run_until_complete(greeted);

    // Another crate's own type receives and sends.
    let (near, far) = Plain::pair(Domain::UNIX, Type::STREAM, None).expect("a pair");
    let [near, far] = [near, far].map(|sock| Socket::new(sock).expect("non-blocking"));
    event_loop.run_until_complete(async {
        event_loop.sock_sendall(&near, b"x").await.expect("sent");
        assert_eq!(event_loop.sock_recv(&far, 9).await.expect("received"), b"x");
    });
    assert!(far.as_fd().try_clone_to_owned().is_ok());
}
