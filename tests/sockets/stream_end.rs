//! The end of a stream arrives after all data, with any timing.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crate::util::sock::*;
use crate::util::*;
use sendloop::Socket;
use socket2::SockRef;

#[test]
fn recv_at_the_end_returns_empty_each_time() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    event_loop.run_until_complete(async {
        let empty = event_loop.wait_for(event_loop.sock_recv(&near, 10), Duration::from_millis(1));
        empty.await.expect_err("nothing there");
        far.write_all(b"last").expect("room");
        drop(far);
        assert_eq!(read_all(&event_loop, &near, 3).await, b"last");
        for _ in 0..3 {
            let mut buffer = [0; 9];
            let got = event_loop.sock_recv_into(&near, &mut buffer).await;
            assert_eq!(got.expect("the end"), 0);
            assert!(read_all(&event_loop, &near, 3).await.is_empty());
        }
    });
}

#[test]
fn a_half_closed_peer_still_receives() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    far.shutdown(Shutdown::Write).expect("open");
    let received = reader(far);
    let near = Socket::new(near).expect("non-blocking");
    event_loop.run_until_complete(async {
        assert!(read_all(&event_loop, &near, 10).await.is_empty());
        let bytes = content(0, LARGE);
        event_loop.sock_sendall(&near, &bytes).await.expect("sent");
    });
    drop(near);
    assert_content(&received.join().expect("read"), 0, LARGE);
}

#[test]
fn data_and_end_arrive_together_or_apart() {
    let _test = test();
    let event_loop = new_loop();
    for round in 0..500 {
        let (near, mut far) = tcp();
        let near = Socket::new(near).expect("non-blocking");
        let begun = Arc::new(Barrier::new(2));
        let begins = begun.clone();
        let peer = thread::spawn(move || {
            begins.wait();
            far.write_all(b"data").expect("room");
            if round % 2 == 1 {
                begins.wait();
            }
            (0..round % 7 * 30).for_each(|_| std::hint::spin_loop());
            drop(far);
        });
        let received = event_loop.run_until_complete(async {
            if round % 3 > 0 {
                // The socket is registered before any data arrives.
                let early = event_loop.wait_for(event_loop.sock_recv(&near, 9), Duration::ZERO);
                early.await.expect_err("nothing sent yet");
            }
            begun.wait();
            let first = event_loop.sock_recv(&near, 100).await.expect("data");
            if round % 2 == 1 {
                begun.wait();
            }
            let rest = read_all(&event_loop, &near, 100);
            let rest = event_loop.wait_for(rest, Duration::from_secs(10)).await;
            [first, rest.expect("the end arrives")].concat()
        });
        assert_eq!(received, b"data", "round {round}");
        peer.join().expect("sent");
    }
}

#[test]
fn urgent_data_does_not_delay_normal_data() {
    let _test = test();
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    far.set_nodelay(true).expect("set");
    let near = Socket::new(near).expect("non-blocking");
    event_loop.run_until_complete(async {
        let early = event_loop.wait_for(event_loop.sock_recv(&near, 9), Duration::from_millis(1));
        early.await.expect_err("nothing sent yet");
        far.write_all(b"abc").expect("room");
        SockRef::from(&far).send_out_of_band(b"!").expect("room");
        far.write_all(b"def").expect("room");
        let mut received = Vec::new();
        while received.len() < 6 {
            let more =
                event_loop.wait_for(event_loop.sock_recv(&near, 100), Duration::from_secs(2));
            let more = more.await;
            let text = String::from_utf8_lossy(&received);
            received.extend(
                more.unwrap_or_else(|_| panic!("no more bytes in time after {text:?}"))
                    .expect("data"),
            );
        }
        assert_eq!(received, b"abcdef");
    });
}
