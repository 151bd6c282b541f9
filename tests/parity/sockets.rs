//! Stream sockets: which task receives which bytes, and when.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use sendloop::{Socket, Task};

use crate::scene::{Named, Scene, joined, mains, outcome};

pub(crate) const ALL: &[&[Named]] = &[mains![
    receiving_ready_data_takes_no_iteration,
    receiving_waits,
    the_iteration_in_which_a_receiver_resumes,
    receiving_in_parts_then_the_end,
    the_end_wakes_a_receiver,
    sending_what_fits_takes_no_iteration,
    sending_waits_for_room,
    sending_to_a_closed_peer,
    sending_nothing_to_a_closed_peer,
    receiving_nothing_does_not_wait,
    two_tasks_alternate,
    writers_run_in_the_order_of_their_start,
    two_receivers_of_one_socket,
    a_cancelled_receiver_leaves_the_data,
    a_receiver_cancelled_when_data_arrived,
    a_receiver_cancelled_two_iterations_after_data_arrived,
]];

const BIG: usize = 1 << 20;

type Sock = Rc<Socket<UnixStream>>;

fn pair() -> (Sock, Sock) {
    let (near, far) = Socket::pair().expect("a pair");
    (Rc::new(near), Rc::new(far))
}

/// Python's `near.send`: at once, without the loop.
fn send(near: &Sock, data: &[u8]) {
    near.get_ref().write_all(data).expect("room");
}

async fn receive_some(s: &Scene, sock: &Sock, most: usize) {
    s.record("wait");
    let data = s.sock_recv(sock, most).await.expect("no error");
    match &*data {
        [] => s.record("got-end"),
        data => s.record(format!("got-{}", String::from_utf8_lossy(data))),
    }
}

async fn receive(s: &Scene, sock: &Sock) {
    receive_some(s, sock, 100).await;
}

fn receiver(s: &Scene, sock: &Sock) -> Task<()> {
    let sock = sock.clone();
    s.task(async move |s| receive(&s, &sock).await)
}

fn writer(s: &Scene, sock: &Sock, data: Vec<u8>) -> Task<()> {
    let sock = sock.clone();
    s.task(async move |s| s.sock_sendall(&sock, &data).await.expect("no error"))
}

async fn receiving_ready_data_takes_no_iteration(s: Scene) {
    let (near, far) = pair();
    send(&near, b"x");
    s.call_soon(s.word("soon"));
    receive(&s, &far).await;
    s.run_iterations(1).await;
}

async fn receiving_waits(s: Scene) {
    let (near, far) = pair();
    let task = receiver(&s, &far);
    s.run_iterations(2).await;
    s.sock_sendall(&near, b"hello").await.expect("no error");
    s.record("sent");
    joined(task).await;
}

async fn the_iteration_in_which_a_receiver_resumes(s: Scene) {
    let (near, far) = pair();
    let task = receiver(&s, &far);
    s.run_iterations(2).await;
    send(&near, b"x");
    for number in 0..4 {
        s.run_iterations(1).await;
        s.record(format!("turn-{number}"));
    }
    joined(task).await;
}

async fn receiving_in_parts_then_the_end(s: Scene) {
    let (near, far) = pair();
    s.sock_sendall(&near, b"abcdef").await.expect("no error");
    drop(near);
    for _ in 0..4 {
        receive_some(&s, &far, 4).await;
    }
}

async fn the_end_wakes_a_receiver(s: Scene) {
    let (near, far) = pair();
    let task = receiver(&s, &far);
    s.run_iterations(2).await;
    near.get_ref().shutdown(Shutdown::Write).expect("connected");
    s.record("shut");
    joined(task).await;
}

async fn sending_what_fits_takes_no_iteration(s: Scene) {
    let (near, far) = pair();
    s.call_soon(s.word("soon"));
    s.sock_sendall(&near, b"x").await.expect("no error");
    s.sock_sendall(&near, b"").await.expect("no error");
    s.record("sent");
    receive(&s, &far).await;
    s.run_iterations(1).await;
}

async fn sending_waits_for_room(s: Scene) {
    let (near, far) = pair();
    let task = writer(&s, &near, vec![b'x'; BIG]);
    s.run_iterations(3).await;
    s.record(format!("waits-{}", !task.done()));
    let mut total = 0;
    while total < BIG {
        total += s.sock_recv(&far, BIG).await.expect("no error").len();
    }
    joined(task).await;
    s.record(format!("sent-{}", total == BIG));
}

async fn sending_to_a_closed_peer(s: Scene) {
    let (near, far) = pair();
    drop(far);
    let error = s.sock_sendall(&near, b"x").await.expect_err("nobody");
    if error.kind() == ErrorKind::BrokenPipe {
        s.record("broken");
    }
}

async fn sending_nothing_to_a_closed_peer(s: Scene) {
    let (near, far) = pair();
    s.sock_sendall(&near, b"").await.expect("a peer");
    s.record("sent");
    drop(far);
    let error = s.sock_sendall(&near, b"").await;
    if error.expect_err("nobody").kind() == ErrorKind::BrokenPipe {
        s.record("broken");
    }
}

async fn receiving_nothing_does_not_wait(s: Scene) {
    let (near, far) = pair();
    s.soon(|s| s.record("soon"));
    let got = s.sock_recv(&far, 0).await.expect("no error");
    s.record(format!("got-{}", got.len()));
    let got = s.sock_recv_into(&far, &mut []).await.expect("no error");
    s.record(format!("got-{got}"));
    send(&near, b"x");
    let got = s.sock_recv(&far, 0).await.expect("no error");
    s.record(format!("got-{}", got.len()));
    receive(&s, &far).await;
    s.run_iterations(1).await;
}

async fn two_tasks_alternate(s: Scene) {
    let (near, far) = pair();
    let tasks = [("ping", near, true), ("pong", far, false)].map(|(word, sock, first)| {
        s.task(async move |s| {
            if first {
                s.sock_sendall(&sock, b"0").await.expect("no error");
            }
            for _ in 0..3 {
                let received = s.sock_recv(&sock, 1).await.expect("no error");
                s.record(format!("{word}-{}", char::from(received[0])));
                // The peer is gone when the last byte is sent.
                let _ = s.sock_sendall(&sock, &[received[0] + 1]).await;
            }
        })
    });
    for task in tasks {
        joined(task).await;
    }
}

async fn writers_run_in_the_order_of_their_start(s: Scene) {
    let (near, far) = pair();
    for task in ["ab", "cd", "ef"].map(|data| writer(&s, &near, data.into())) {
        joined(task).await;
    }
    receive(&s, &far).await;
}

async fn two_receivers_of_one_socket(s: Scene) {
    let (near, far) = pair();
    let tasks = [(); 2].map(|()| {
        let far = far.clone();
        s.task(async move |s| s.sock_recv(&far, 1).await.expect("no error"))
    });
    s.run_iterations(2).await;
    send(&near, b"xy");
    s.run_iterations(8).await;
    for task in tasks {
        if task.done() {
            s.record(String::from_utf8_lossy(&joined(task).await));
        } else {
            s.record("waits");
        }
    }
}

async fn a_cancelled_receiver_leaves_the_data(s: Scene) {
    let (near, far) = pair();
    let mut task = receiver(&s, &far);
    s.run_iterations(2).await;
    task.cancel();
    s.record(outcome(&mut task).await);
    send(&near, b"x");
    receive(&s, &far).await;
}

async fn a_receiver_cancelled_when_data_arrived(s: Scene) {
    let (near, far) = pair();
    let mut task = receiver(&s, &far);
    s.run_iterations(2).await;
    send(&near, b"x");
    task.cancel();
    s.record(outcome(&mut task).await);
    receive(&s, &far).await;
}

async fn a_receiver_cancelled_two_iterations_after_data_arrived(s: Scene) {
    let (near, far) = pair();
    let mut task = receiver(&s, &far);
    s.run_iterations(2).await;
    send(&near, b"x");
    s.run_iterations(2).await;
    s.record(task.cancel());
    if outcome(&mut task).await == "cancelled" {
        send(&near, b"next");
        receive(&s, &far).await;
    }
}
