//! `chat`: broadcasts, clients that come and go or do not read, and the graceful shutdown.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;

use crate::examples::program::{Program, connect, read_all, send};

struct Client {
    lines: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Client {
    #[track_caller]
    fn new(server: SocketAddr) -> Client {
        let stream = connect(server);
        let address = stream.local_addr().expect("connected");
        Client { lines: BufReader::new(stream), address }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line
    }

    #[track_caller]
    fn expect(&mut self, from: SocketAddr, text: &str) {
        assert_eq!(self.line(), format!("{from} {text}\n"));
    }

    #[track_caller]
    fn say(&self, text: &str) {
        send(self.lines.get_ref(), text.as_bytes());
    }
}

#[test]
fn chat_sends_each_message_to_all_others_in_order() {
    let mut server = Program::start("chat", &["127.0.0.1:0"]);
    let address = server.address();
    let mut one = Client::new(address);
    let mut other = Client::new(address);
    one.expect(other.address, "is here");
    for n in 0..100 {
        one.say(&format!("message {n}\n"));
        other.expect(one.address, &format!("message {n}"));
    }
    let mut third = Client::new(address);
    one.expect(third.address, "is here");
    other.expect(third.address, "is here");
    let (gone, from) = (other, third.address);
    third.say("hello\n");
    one.expect(from, "hello");
    let left = gone.address;
    drop(gone);
    one.expect(left, "has left");
    third.expect(left, "has left");
}

#[test]
fn chat_sends_whole_lines_only() {
    let mut server = Program::start("chat", &["127.0.0.1:0"]);
    let address = server.address();
    let mut one = Client::new(address);
    let two = Client::new(address);
    one.expect(two.address, "is here");
    let mut three = Client::new(address);
    one.expect(three.address, "is here");
    two.say("in pie");
    three.say("between\n");
    one.expect(three.address, "between");
    two.say("ces\nsecond\n");
    one.expect(two.address, "in pieces");
    one.expect(two.address, "second");
    three.expect(two.address, "in pieces");
    // A line without an end does not fill the memory: the server drops the client.
    two.say(&"x".repeat(100_000));
    one.expect(two.address, "has left");
}

#[test]
fn chat_ends_gracefully_on_sigterm_and_sigint() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Program::start("chat", &["127.0.0.1:0"]);
        let address = server.address();
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..3 {
            let client = Client::new(address);
            for before in &mut clients {
                before.expect(client.address, "is here");
            }
            clients.push(client);
        }
        let from = clients[0].address;
        clients[0].say("last words\n");
        clients[1].expect(from, "last words");
        server.signal(signal);
        clients[2].expect(from, "last words");
        for client in clients {
            assert_eq!(read_all(client.lines), b"* goodbye\n");
        }
        let (status, errors) = server.wait();
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn chat_drops_a_client_that_does_not_read() {
    let mut server = Program::start("chat", &["127.0.0.1:0"]);
    let address = server.address();
    let mut speaker = Client::new(address);
    let mut reader = Client::new(address);
    speaker.expect(reader.address, "is here");
    let lazy = Client::new(address);
    speaker.expect(lazy.address, "is here");
    reader.expect(lazy.address, "is here");
    // More than the socket buffers and the queue of the slow client hold together.
    let message = format!("{}\n", "x".repeat(4000));
    let mut sent = 0;
    loop {
        speaker.say(&message);
        sent += 1;
        assert!(sent < 20_000, "the server still serves the client after {sent} messages");
        let line = reader.line();
        if line == format!("{} has left\n", lazy.address) {
            break;
        }
    }
    speaker.expect(lazy.address, "has left");
}
