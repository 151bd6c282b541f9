//! `embed_poll` and `embed_calloop`: the loop inside other loops, which wait for its descriptor
//! alone.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};

use crate::examples::program::{Program, connect, read_all, send};

#[track_caller]
fn expect(mut client: &TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    client.read_exact(&mut bytes).expect("a message");
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

#[test]
fn embed_poll_runs_work_that_the_outer_loop_queues() {
    let mut program = Program::start("embed_poll", &[]);
    let (tcp, udp) = (program.address(), program.address());
    let clients = [(); 3].map(|()| connect(tcp));
    clients.iter().for_each(|client| expect(client, "welcome\n"));
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    // Only the message wakes the outer loop, and then the timer that it starts.
    for text in ["one\n", "two\n", "three\n"] {
        sender.send_to(text.as_bytes(), udp).expect("sent");
        clients.iter().for_each(|client| expect(client, text));
    }
    drop(connect(tcp));
    sender.send_to(b"stop", udp).expect("sent");
    let (status, errors) = program.wait();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn embed_calloop_serves_clients_beside_calloops_own_timer() {
    let mut program = Program::start("embed_calloop", &[]);
    let address = program.address();
    let clients = [(); 3].map(|()| connect(address));
    for n in 0..3 {
        let text = format!("message {n}\n");
        clients.iter().for_each(|client| send(client, text.as_bytes()));
        clients.iter().for_each(|client| expect(client, &text));
    }
    send(&clients[0], b"stop");
    assert_eq!(read_all(&clients[1]), b"");
    let line = program.line();
    let ticks = line.strip_prefix("calloop's timer fired ").and_then(|rest| rest.split(' ').next());
    // Three rounds take 20 ms each, two ticks of the timer.
    let ticks: u32 = ticks.expect("a count").parse().expect("a number");
    assert!(ticks >= 3, "{line}");
    let (status, errors) = program.wait();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}
