//! Connections, streams and datagrams.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

use sendloop::Socket;

use super::peers;
use super::scene::play;
use crate::util::{ODD, assert_content, content, small_buffer_unix, tcp};

/// Enough rounds that a fault of every third call fails three calls.
const ROUNDS: usize = 10;

#[test]
fn accept() {
    play(|scene| {
        let listener = scene.until_ok(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            Socket::new(listener)
        });
        let addr = listener.get_ref().local_addr().expect("bound");
        // One connection after the other, so that each is a new edge.
        let clients = thread::spawn(move || {
            let connect = |_| {
                let stream = TcpStream::connect(addr).expect("a listener");
                let own = stream.local_addr().expect("connected");
                let rest = peers::reader(stream).join();
                assert!(rest.expect("reads").is_empty());
                own
            };
            (0..ROUNDS).map(connect).collect::<Vec<_>>()
        });
        let mut seen = Vec::new();
        scene.event_loop.run_until_complete(async {
            for _ in 0..ROUNDS {
                let accept = async || scene.event_loop.sock_accept(&listener).await;
                let (_stream, peer) = scene.insist_on(&listener, accept).await;
                seen.push(peer);
            }
        });
        assert_eq!(clients.join().expect("connected"), seen);
    });
}

#[test]
fn connect() {
    play(|scene| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        scene.event_loop.run_until_complete(async {
            for _ in 0..ROUNDS {
                let sock = loop {
                    let sock = Socket::tcp(&addr).expect("a descriptor");
                    let connected = scene.event_loop.sock_connect(&sock, &addr);
                    match scene.with_owed_edges(&sock, connected).await {
                        Ok(()) => break sock,
                        Err(error) => scene.met_error(&error),
                    }
                };
                assert_eq!(sock.get_ref().peer_addr().expect("connected"), addr);
            }
        });
    });
}

#[test]
fn recv() {
    play(|scene| {
        let (near, far) = scene.until_ok(|| {
            let (near, far) = tcp();
            Ok((Socket::new(near)?, far))
        });
        let writer = peers::writer(far, content(0, ODD));
        let mut received = Vec::new();
        scene.event_loop.run_until_complete(async {
            loop {
                let recv = async || scene.event_loop.sock_recv(&near, 8192).await;
                let piece = scene.insist_on(&near, recv).await;
                if piece.is_empty() {
                    break;
                }
                received.extend(piece);
            }
        });
        assert_content(&received, 0, ODD);
        writer.join().expect("written");
    });
}

#[test]
fn sendall_in_pieces() {
    play(|scene| {
        let (near, far) = scene.until_ok(|| {
            let (near, far) = tcp();
            Ok((Socket::new(near)?, far))
        });
        let reader = peers::reader(far);
        // The socket's buffer has room for all bytes, so each piece is one call. A failed call has
        // sent nothing.
        let all = content(0, 30_001);
        scene.event_loop.run_until_complete(async {
            for piece in all.chunks(1000) {
                let send = async || scene.event_loop.sock_sendall(&near, piece).await;
                scene.insist_on(&near, send).await;
            }
        });
        drop(near);
        assert_content(&reader.join().expect("read"), 0, all.len());
    });
}

#[test]
fn sendall_through_a_small_buffer() {
    play(|scene| {
        let (near, far) = small_buffer_unix();
        let reader = peers::stalled_reader(far);
        let all = content(0, ODD);
        let sent = scene.event_loop.run_until_complete(
            scene.with_owed_edges(&near, scene.event_loop.sock_sendall(&near, &all)),
        );
        drop(near);
        let received = reader.join().expect("read");
        match sent {
            Ok(()) => assert_content(&received, 0, ODD),
            Err(error) => {
                scene.met_error(&error);
                assert!(received.len() < ODD, "all bytes were sent");
                assert_content(&received, 0, received.len());
            }
        }
    });
}

#[test]
fn datagrams() {
    play(|scene| {
        let bind = || {
            let socket = scene.until_ok(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
                Socket::new(socket)
            });
            let addr = socket.get_ref().local_addr().expect("bound");
            (socket, addr)
        };
        let ((one, from), (other, to)) = (bind(), bind());
        let event_loop = &scene.event_loop;
        event_loop.run_until_complete(async {
            for round in 0..ROUNDS {
                let message = content(round as u64, 100);
                let send = async || event_loop.sock_sendto(&one, &message, &to).await;
                assert_eq!(scene.insist_on(&one, send).await, 100);
                let recv = async || event_loop.sock_recvfrom(&other, 1000).await;
                assert_eq!(scene.insist_on(&other, recv).await, (message.clone(), from));
            }
        });
    });
}
