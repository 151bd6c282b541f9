//! Datagrams: each is received whole or cut, and an empty one is one too.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

use sendloop::{Socket, Task};

use crate::scene::{Named, Scene, joined, mains, outcome};

pub(crate) const ALL: &[&[Named]] = &[mains![
    receiving_a_ready_datagram_takes_no_iteration,
    receiving_a_datagram_waits,
    an_empty_datagram_is_one,
    a_long_datagram_is_truncated,
    a_cancelled_receiver_leaves_the_datagram,
]];

type Sock = Rc<Socket<UdpSocket>>;

fn sock() -> Sock {
    let sock = UdpSocket::bind("127.0.0.1:0").expect("a port");
    Rc::new(Socket::new(sock).expect("non-blocking"))
}

fn address(sock: &Sock) -> SocketAddr {
    sock.get_ref().local_addr().expect("bound")
}

async fn send(s: &Scene, near: &Sock, data: &str, far: &Sock) {
    let to = address(far);
    let sent = s.sock_sendto(near, data.as_bytes(), &to).await;
    s.record(format!("sent-{}", sent.expect("no error")));
}

async fn receive(s: &Scene, sock: &Sock, most: usize, sender: SocketAddr) {
    s.record("wait");
    let (data, peer) = s.sock_recvfrom(sock, most).await.expect("no error");
    let data = match String::from_utf8_lossy(&data) {
        data if data.is_empty() => "empty".into(),
        data => data,
    };
    s.record(format!("got-{data}-{}", peer == sender));
}

fn receiver(s: &Scene, far: &Sock, near: &Sock) -> Task<()> {
    let (far, near) = (far.clone(), address(near));
    s.task(async move |s| receive(&s, &far, 100, near).await)
}

async fn receiving_a_ready_datagram_takes_no_iteration(s: Scene) {
    let (near, far) = (sock(), sock());
    s.call_soon(s.word("soon"));
    send(&s, &near, "hello", &far).await;
    receive(&s, &far, 100, address(&near)).await;
    s.run_iterations(1).await;
}

async fn receiving_a_datagram_waits(s: Scene) {
    let (near, far) = (sock(), sock());
    let task = receiver(&s, &far, &near);
    s.run_iterations(2).await;
    send(&s, &near, "hello", &far).await;
    joined(task).await;
}

async fn an_empty_datagram_is_one(s: Scene) {
    let (near, far) = (sock(), sock());
    for data in ["", "x"] {
        send(&s, &near, data, &far).await;
    }
    for _ in 0..2 {
        receive(&s, &far, 100, address(&near)).await;
    }
}

async fn a_long_datagram_is_truncated(s: Scene) {
    let (near, far) = (sock(), sock());
    for data in ["abcdef", "next"] {
        send(&s, &near, data, &far).await;
    }
    for _ in 0..2 {
        receive(&s, &far, 4, address(&near)).await;
    }
}

async fn a_cancelled_receiver_leaves_the_datagram(s: Scene) {
    let (near, far) = (sock(), sock());
    let mut task = receiver(&s, &far, &near);
    s.run_iterations(2).await;
    task.cancel();
    s.record(outcome(&mut task).await);
    let to = address(&far);
    s.sock_sendto(&near, b"x", &to).await.expect("no error");
    receive(&s, &far, 100, address(&near)).await;
}
