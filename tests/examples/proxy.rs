//! `proxy`: both directions, half-closes, and the idle timeout.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::examples::program::{Program, TIMEOUT, connect, content, read_all, send};

/// A proxy with its target, and both ends of one connection through it.
#[track_caller]
fn proxied(seconds: &str) -> (Program, TcpStream, TcpStream) {
    let target = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = target.local_addr().expect("bound").port().to_string();
    let arguments = ["127.0.0.1:0", "localhost", &port, seconds];
    let mut proxy = Program::start("proxy", &arguments);
    let client = connect(proxy.address());
    let (server, _) = target.accept().expect("the proxy");
    server.set_read_timeout(Some(TIMEOUT)).expect("set");
    (proxy, client, server)
}

#[test]
fn proxy_passes_on_a_half_close_and_the_response() {
    let (mut proxy, client, server) = proxied("60");
    send(&client, b"request");
    client.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(read_all(&server), b"request");
    // The proxy has closed one direction only, so the response still passes.
    send(&server, b"a longer answer");
    drop(server);
    assert_eq!(read_all(&client), b"a longer answer");
    assert!(proxy.line().ends_with(": done"));
}

#[test]
fn proxy_copies_both_directions_at_once_exactly() {
    let (_proxy, client, server) = proxied("60");
    let bytes = content(8_000_001);
    thread::scope(|scope| {
        for stream in [&client, &server] {
            let bytes = &bytes;
            scope.spawn(move || {
                send(stream, bytes);
                stream.shutdown(Shutdown::Write).expect("connected");
            });
            scope.spawn(move || assert!(read_all(stream) == *bytes));
        }
    });
}

#[test]
fn proxy_ends_an_idle_connection() {
    let (mut proxy, mut client, mut server) = proxied("1");
    // Longer than the limit in total, but never idle for as long as the limit.
    for _ in 0..15 {
        send(&server, b"x");
        client.read_exact(&mut [0]).expect("a byte");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(read_all(&mut server), b"");
    let line = proxy.line();
    assert!(line.ends_with("timed out"), "{line}");
}

#[test]
fn proxy_ends_both_connections_if_one_is_reset() {
    let (mut proxy, client, server) = proxied("60");
    let linger = Some(Duration::ZERO);
    socket2::SockRef::from(&client).set_linger(linger).expect("set");
    drop(client);
    assert_eq!(read_all(&server), b"");
    assert!(proxy.line().contains("reset by peer"));
}

#[test]
fn proxy_ends_on_ctrl_c_without_an_error() {
    let (proxy, _client, _server) = proxied("60");
    proxy.signal(Signal::INT);
    let (status, errors) = proxy.wait();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}
