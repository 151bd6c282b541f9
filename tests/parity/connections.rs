//! Accepting and connecting.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

use sendloop::Socket;

use crate::scene::{Named, Scene, joined, mains, outcome};

pub(crate) const ALL: &[&[Named]] = &[mains![
    accepting_waits_for_a_connection,
    accepting_a_queued_connection_takes_no_iteration,
    a_cancelled_accept_leaves_the_connection,
    connecting_to_a_closed_port,
    connecting_again,
    connecting_to_the_own_port,
    connecting_after_a_refusal,
]];

fn listening() -> Socket<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    Socket::new(listener).expect("non-blocking")
}

/// Connects to a listener.
async fn connected(s: &Scene, listener: &TcpListener) -> Socket<TcpStream> {
    let address = listener.local_addr().expect("bound");
    let client = Socket::tcp(&address).expect("a socket");
    s.sock_connect(&client, &address).await.expect("accepted");
    client
}

async fn accepting_waits_for_a_connection(s: Scene) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = Socket::new(UnixListener::bind(&path).expect("bound")).expect("non-blocking");
    let task = s.task(async move |s| {
        s.record("accept");
        let (connection, _) = s.sock_accept(&listener).await.expect("no error");
        s.record("accepted");
        connection
    });
    s.run_iterations(2).await;
    let client = Socket::unix().expect("a socket");
    s.call_soon(s.word("soon"));
    s.sock_connect(&client, &path).await.expect("accepted");
    s.record("connected");
    let connection = joined(task).await;
    s.sock_sendall(&client, b"x").await.expect("no error");
    let data = s.sock_recv(&connection, 100).await.expect("no error");
    s.record(format!("got-{}", String::from_utf8_lossy(&data)));
}

async fn accepting_a_queued_connection_takes_no_iteration(s: Scene) {
    let listener = listening();
    let client = connected(&s, listener.get_ref()).await;
    s.record("connected");
    s.call_soon(s.word("soon"));
    let (_connection, peer) = s.sock_accept(&listener).await.expect("no error");
    let same = peer == client.get_ref().local_addr().expect("connected");
    s.record(format!("accepted-{same}"));
    s.run_iterations(1).await;
}

async fn a_cancelled_accept_leaves_the_connection(s: Scene) {
    let listener = std::rc::Rc::new(listening());
    let waiting = listener.clone();
    let mut task = s.task(async move |s| s.sock_accept(&waiting).await.is_ok());
    s.run_iterations(2).await;
    task.cancel();
    s.record(outcome(&mut task).await);
    let _client = connected(&s, listener.get_ref()).await;
    s.sock_accept(&listener).await.expect("no error");
    s.record("accepted");
}

async fn connecting_to_a_closed_port(s: Scene) {
    let listener = listening();
    let address = listener.get_ref().local_addr().expect("bound");
    drop(listener);
    let client = Socket::tcp(&address).expect("a socket");
    let error = s.sock_connect(&client, &address).await;
    if error.expect_err("nobody").kind() == ErrorKind::ConnectionRefused {
        s.record("ECONNREFUSED");
    }
}

/// Connects, and records the outcome.
async fn record_connected(s: &Scene, client: &Socket<TcpStream>, address: &SocketAddr) {
    let connected = s.sock_connect(client, address).await;
    match connected.map_err(|error| error.raw_os_error()) {
        Ok(()) => s.record("connected"),
        Err(Some(libc::EISCONN)) => s.record("EISCONN"),
        Err(Some(libc::ECONNREFUSED)) => s.record("ECONNREFUSED"),
        Err(other) => s.record(format!("{other:?}")),
    }
}

/// Returns a socket that is bound and does not listen.
fn bound() -> (socket2::Socket, SocketAddr) {
    let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::STREAM);
    let socket = socket2::Socket::new(domain, kind, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    let address = socket.local_addr().expect("bound").as_socket();
    (socket, address.expect("of the internet"))
}

async fn connecting_again(s: Scene) {
    let listener = listening();
    let address = listener.get_ref().local_addr().expect("bound");
    let client = Socket::tcp(&address).expect("a socket");
    for _ in 0..3 {
        record_connected(&s, &client, &address).await;
    }
}

async fn connecting_to_the_own_port(s: Scene) {
    let (client, address) = bound();
    let client = Socket::new(TcpStream::from(client)).expect("non-blocking");
    s.sock_connect(&client, &address).await.expect("connected");
    s.record(client.get_ref().peer_addr().expect("connected") == address);
    s.sock_sendall(&client, b"echo").await.expect("sent");
    let text = s.sock_recv(&client, 100).await.expect("received");
    s.record(String::from_utf8_lossy(&text));
}

async fn connecting_after_a_refusal(s: Scene) {
    let (listener, address) = bound();
    let client = Socket::tcp(&address).expect("a socket");
    for _ in 0..2 {
        record_connected(&s, &client, &address).await;
    }
    listener.listen(1).expect("bound");
    record_connected(&s, &client, &address).await;
}
