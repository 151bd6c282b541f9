//! Sending a file: the number of bytes, and the file's position afterwards.

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;

use sendloop::{SendFile, Socket};

use crate::scene::{Named, Scene, joined, mains, outcome};
use crate::util::position;

pub(crate) const ALL: &[&[Named]] = &[mains![
    a_whole_file,
    with_any_file_position,
    from_an_offset,
    an_offset_and_a_count,
    twice_in_a_row,
    a_count_past_the_end,
    a_count_of_zero,
    an_offset_past_the_end,
    an_empty_file,
    to_a_datagram_socket,
    to_a_closed_peer,
    more_than_fits,
    cancelled_midway,
]];

type Sock = Socket<UnixStream>;

fn pair() -> (Sock, Sock) {
    Socket::pair().expect("a pair")
}

fn content() -> Vec<u8> {
    (0..250).collect::<Vec<u8>>().repeat(4)
}

/// Creates a file of the content, with its position at the end.
fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(content).expect("room");
    file
}

fn seek(mut file: &File, to: u64) {
    file.seek(SeekFrom::Start(to)).expect("a position");
}

/// Sends the file, and records the result and the position.
async fn send<T: AsFd>(s: &Scene, transfer: SendFile<'_, T, File>, sent: &File) {
    match transfer.await {
        Ok(count) => s.record(format!("sent-{count}")),
        Err(error) if error.kind() == ErrorKind::InvalidInput => s.record("refused"),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => s.record("broken"),
        Err(error) => s.record(error),
    }
    s.record(format!("at-{}", position(sent)));
}

async fn received(s: &Scene, far: &Sock, expected: &[u8]) {
    let data = s.sock_recv(far, 2000).await.expect("no error");
    s.record(data == expected);
}

async fn a_whole_file(s: Scene) {
    let ((near, far), sent) = (pair(), file(&content()));
    send(&s, s.sock_sendfile(&near, &sent), &sent).await;
    received(&s, &far, &content()).await;
}

async fn with_any_file_position(s: Scene) {
    let ((near, far), sent) = (pair(), file(&content()));
    seek(&sent, 5);
    send(&s, s.sock_sendfile(&near, &sent), &sent).await;
    received(&s, &far, &content()).await;
}

async fn from_an_offset(s: Scene) {
    let ((near, far), sent) = (pair(), file(&content()));
    send(&s, s.sock_sendfile(&near, &sent).offset(300), &sent).await;
    received(&s, &far, &content()[300..]).await;
}

async fn an_offset_and_a_count(s: Scene) {
    let ((near, far), sent) = (pair(), file(&content()));
    let transfer = s.sock_sendfile(&near, &sent).offset(300).count(100);
    send(&s, transfer, &sent).await;
    received(&s, &far, &content()[300..400]).await;
}

async fn twice_in_a_row(s: Scene) {
    let ((near, far), sent) = (pair(), file(&content()));
    send(&s, s.sock_sendfile(&near, &sent).count(100), &sent).await;
    let transfer = s.sock_sendfile(&near, &sent).offset(position(&sent));
    send(&s, transfer.count(100), &sent).await;
    received(&s, &far, &content()[..200]).await;
}

async fn a_count_past_the_end(s: Scene) {
    let ((near, _far), sent) = (pair(), file(&content()));
    let transfer = s.sock_sendfile(&near, &sent).offset(900).count(200);
    send(&s, transfer, &sent).await;
}

async fn a_count_of_zero(s: Scene) {
    let ((near, _far), sent) = (pair(), file(&content()));
    send(&s, s.sock_sendfile(&near, &sent).count(0), &sent).await;
}

async fn an_offset_past_the_end(s: Scene) {
    let ((near, _far), sent) = (pair(), file(&content()));
    seek(&sent, 5);
    send(&s, s.sock_sendfile(&near, &sent).offset(2000), &sent).await;
}

async fn an_empty_file(s: Scene) {
    let ((near, _far), sent) = (pair(), file(b""));
    send(&s, s.sock_sendfile(&near, &sent), &sent).await;
}

async fn to_a_datagram_socket(s: Scene) {
    let (near, _far) = UnixDatagram::pair().expect("a pair");
    let near = Socket::new(near).expect("non-blocking");
    let sent = file(&content());
    seek(&sent, 5);
    send(&s, s.sock_sendfile(&near, &sent), &sent).await;
}

async fn to_a_closed_peer(s: Scene) {
    let ((near, far), sent) = (pair(), file(&content()));
    drop(far);
    send(&s, s.sock_sendfile(&near, &sent), &sent).await;
}

async fn more_than_fits(s: Scene) {
    let (near, far) = pair();
    let content = content().repeat(1000);
    let sent = file(&content);
    let task = s.task(async move |s| send(&s, s.sock_sendfile(&near, &sent), &sent).await);
    s.run_iterations(5).await;
    s.record(format!("waits-{}", !task.done()));
    let mut received = Vec::new();
    while received.len() < content.len() {
        received.extend(s.sock_recv(&far, 1 << 20).await.expect("no error"));
    }
    joined(task).await;
    s.record(received == content);
}

async fn cancelled_midway(s: Scene) {
    let (near, far) = pair();
    let sent = Rc::new(file(&content().repeat(1000)));
    seek(&sent, 5);
    let file = sent.clone();
    let mut task = s.task(async move |s| s.sock_sendfile(&near, &file).await.is_ok());
    s.run_iterations(5).await;
    task.cancel();
    s.record(outcome(&mut task).await);
    let mut received = 0;
    loop {
        match s.sock_recv(&far, 1 << 20).await.expect("no error").len() {
            0 => break,
            some => received += some as u64,
        }
    }
    let exact = position(&sent) == received;
    s.record(format!("position-exact-{exact}"));
}
