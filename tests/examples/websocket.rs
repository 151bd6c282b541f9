//! `websocket_echo`: an adapter under a WebSocket handshake, used by tungstenite's own client.

use std::net::{SocketAddr, TcpStream};

use async_tungstenite::tungstenite::protocol::WebSocket;
use async_tungstenite::tungstenite::{Message, client};
use rustix::process::Signal;

use crate::examples::program::{Program, connect, content};

#[track_caller]
fn open(address: SocketAddr) -> WebSocket<TcpStream> {
    let opened = client::client(format!("ws://{address}/"), connect(address));
    opened.expect("a handshake").0
}

#[track_caller]
fn echo(socket: &mut WebSocket<TcpStream>, message: Message) {
    socket.send(message.clone()).expect("sent");
    let answer = socket.read().expect("an answer");
    assert!(answer == message, "{} bytes", answer.len());
}

#[test]
fn websocket_echo_returns_messages_of_every_kind_and_size() {
    let mut server = Program::start("websocket_echo", &["127.0.0.1:0"]);
    let mut socket = open(server.address());
    echo(&mut socket, Message::text("hello"));
    echo(&mut socket, Message::text("größer"));
    // The lengths around each size of the length field, and one above every buffer.
    for len in [0, 1, 125, 126, 65_535, 65_536, 3_000_001] {
        echo(&mut socket, Message::binary(content(len)));
    }
    socket.send(Message::Ping("are you there".into())).expect("sent");
    assert_eq!(socket.read().expect("an answer"), Message::Pong("are you there".into()));
    socket.close(None).expect("sent");
    assert!(socket.read().expect("the end").is_close());
    assert!(socket.read().is_err(), "the connection is closed");
}

#[test]
fn websocket_echo_serves_many_clients_at_once() {
    let mut server = Program::start("websocket_echo", &["127.0.0.1:0"]);
    let address = server.address();
    let mut sockets: Vec<_> = (0..50).map(|_| open(address)).collect();
    for round in 0..3 {
        for (client, socket) in sockets.iter_mut().enumerate() {
            echo(socket, Message::text(format!("{client} {round}")));
        }
    }
    // Clients that vanish without a close message.
    sockets.truncate(1);
    echo(&mut sockets[0], Message::text("still here"));
}

#[test]
fn websocket_echo_ends_on_ctrl_c_without_an_error() {
    let mut server = Program::start("websocket_echo", &["127.0.0.1:0"]);
    let _socket = open(server.address());
    server.signal(Signal::INT);
    let (status, errors) = server.wait();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}
