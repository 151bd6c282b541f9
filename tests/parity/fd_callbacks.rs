//! Fd callbacks.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;

use sendloop::Socket;

use crate::scene::{Named, Scene, fail, mains, millis};

pub(crate) const ALL: &[&[Named]] = &[mains![
    a_reader_is_called_each_iteration,
    a_reader_that_reads_is_called_once_for_each_send,
    a_reader_is_called_at_the_end,
    a_second_reader_replaces_the_first,
    a_reader_replaces_itself,
    a_reader_removes_itself,
    a_due_reader_is_removed,
    removing_returns_whether_there_was_one,
    a_writer_is_called_each_iteration,
    a_writer_is_called_when_there_is_room_again,
    a_reader_precedes_the_writer_of_its_socket,
    a_reader_precedes_a_timer_of_its_iteration,
    an_error_in_a_reader_does_not_remove_it,
    a_reader_sets_a_future,
]];

type Sock = Rc<Socket<UnixStream>>;

fn pair() -> (Sock, Sock) {
    let (near, far) = Socket::pair().expect("a pair");
    (Rc::new(near), Rc::new(far))
}

fn send(near: &Sock, data: &[u8]) {
    near.get_ref().write_all(data).expect("room");
}

/// Receives the available bytes.
fn receive(far: &Sock) -> String {
    let mut data = [0; 100];
    let received = far.get_ref().read(&mut data).expect("ready bytes");
    String::from_utf8_lossy(&data[..received]).into_owned()
}

fn add_reader(s: &Scene, sock: &Sock, callback: impl FnMut() + 'static) {
    s.add_reader(&**sock, callback).expect("add_reader accepts it");
}

fn add_writer(s: &Scene, sock: &Sock, callback: impl FnMut() + 'static) {
    s.add_writer(&**sock, callback).expect("add_reader accepts it");
}

/// Returns a callback that records a word and removes the reader.
fn once(s: &Scene, sock: &Sock, word: &'static str) -> impl FnMut() + 'static {
    let (s, sock) = (s.clone(), sock.clone());
    move || {
        s.record(word);
        s.remove_reader(&*sock);
    }
}

async fn a_reader_is_called_each_iteration(s: Scene) {
    let (near, far) = pair();
    add_reader(&s, &far, s.word("ready"));
    send(&near, b"x");
    for number in 0..3 {
        s.run_iterations(1).await;
        s.record(format!("turn-{number}"));
    }
    s.record(s.remove_reader(&*far));
    s.run_iterations(2).await;
}

async fn a_reader_that_reads_is_called_once_for_each_send(s: Scene) {
    let (near, far) = pair();
    let (inside, sock) = (s.clone(), far.clone());
    add_reader(&s, &far, move || inside.record(format!("got-{}", receive(&sock))));
    for data in [b"x", b"y"] {
        send(&near, data);
        s.run_iterations(3).await;
    }
    s.remove_reader(&*far);
}

async fn a_reader_is_called_at_the_end(s: Scene) {
    let (near, far) = pair();
    let (inside, sock) = (s.clone(), far.clone());
    let callback = move || {
        let end = receive(&sock).is_empty();
        inside.record(if end { "end" } else { "data" });
        inside.remove_reader(&*sock);
    };
    add_reader(&s, &far, callback);
    s.run_iterations(2).await;
    s.record("close");
    drop(near);
    s.run_iterations(4).await;
}

async fn a_second_reader_replaces_the_first(s: Scene) {
    let (near, far) = pair();
    add_reader(&s, &far, s.word("first"));
    add_reader(&s, &far, once(&s, &far, "second"));
    send(&near, b"x");
    s.run_iterations(3).await;
}

async fn a_reader_replaces_itself(s: Scene) {
    let (near, far) = pair();
    let (inside, sock) = (s.clone(), far.clone());
    let first = move || {
        inside.record("first");
        add_reader(&inside, &sock, once(&inside, &sock, "second"));
    };
    add_reader(&s, &far, first);
    send(&near, b"x");
    s.run_iterations(4).await;
}

async fn a_reader_removes_itself(s: Scene) {
    let (near, far) = pair();
    let (inside, sock) = (s.clone(), far.clone());
    let callback = move || inside.record(format!("ready-{}", inside.remove_reader(&*sock)));
    add_reader(&s, &far, callback);
    send(&near, b"x");
    s.run_iterations(4).await;
    s.record("end");
}

async fn a_due_reader_is_removed(s: Scene) {
    let (near, far) = pair();
    add_reader(&s, &far, s.word("never"));
    send(&near, b"x");
    s.soon(move |s| s.record(format!("removed-{}", s.remove_reader(&*far))));
    s.run_iterations(3).await;
}

async fn removing_returns_whether_there_was_one(s: Scene) {
    let (_near, far) = pair();
    let reader = || s.remove_reader(&*far);
    let writer = || s.remove_writer(&*far);
    s.record(format!("{}-{}", reader(), writer()));
    add_reader(&s, &far, s.word("never"));
    s.record(format!("{}-{}-{}", writer(), reader(), reader()));
    add_writer(&s, &far, s.word("never"));
    s.record(format!("{}-{}-{}", reader(), writer(), writer()));
    s.run_iterations(2).await;
}

async fn a_writer_is_called_each_iteration(s: Scene) {
    let (near, _far) = pair();
    add_writer(&s, &near, s.word("room"));
    for number in 0..3 {
        s.run_iterations(1).await;
        s.record(format!("turn-{number}"));
    }
    s.record(s.remove_writer(&*near));
    s.run_iterations(2).await;
}

/// Calls until it would block.
fn until_blocked(mut call: impl FnMut() -> std::io::Result<usize>) {
    let error = loop {
        if let Err(error) = call() {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

async fn a_writer_is_called_when_there_is_room_again(s: Scene) {
    let (near, far) = pair();
    until_blocked(|| near.get_ref().write(&[b'x'; 4096]));
    s.record("full");
    let (inside, sock) = (s.clone(), near.clone());
    let callback = move || {
        inside.record("room");
        inside.remove_writer(&*sock);
    };
    add_writer(&s, &near, callback);
    s.run_iterations(3).await;
    s.record("drain");
    let mut buffer = vec![0; 1 << 20];
    until_blocked(|| far.get_ref().read(&mut buffer));
    s.run_iterations(3).await;
}

async fn a_reader_precedes_the_writer_of_its_socket(s: Scene) {
    let (near, far) = pair();
    send(&far, b"x");
    let (inside, sock) = (s.clone(), near.clone());
    let writer = move || {
        inside.record("writer");
        inside.remove_writer(&*sock);
    };
    add_writer(&s, &near, writer);
    add_reader(&s, &near, once(&s, &near, "reader"));
    s.run_iterations(3).await;
}

async fn a_reader_precedes_a_timer_of_its_iteration(s: Scene) {
    let (near, far) = pair();
    add_reader(&s, &far, once(&s, &far, "reader"));
    s.call_later(millis(5), s.word("timer"));
    send(&near, b"x");
    thread::sleep(millis(10));
    s.call_soon(s.word("queued"));
    s.run_iterations(3).await;
}

async fn an_error_in_a_reader_does_not_remove_it(s: Scene) {
    let (near, far) = pair();
    let inside = s.clone();
    let bad = move || {
        inside.record("bad");
        fail();
    };
    add_reader(&s, &far, bad);
    send(&near, b"x");
    s.run_iterations(3).await;
    s.record(s.remove_reader(&*far));
}

async fn a_reader_sets_a_future(s: Scene) {
    let (near, far) = pair();
    let (promise, future) = s.create_future();
    let (mut promise, mut ready) = (Some(promise), once(&s, &far, "reader"));
    let callback = move || {
        ready();
        let promise = promise.take().expect("the first call");
        promise.set_result("value").expect("awaited");
    };
    add_reader(&s, &far, callback);
    s.soon(move |_| send(&near, b"x"));
    s.record(format!("got-{}", future.await.expect("set")));
}
