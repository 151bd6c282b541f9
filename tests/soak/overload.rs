//! More connections than descriptors: the others wait in the listener's queue and use no CPU.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use sendloop::{LoopHandle, Socket};

use super::limit::Limit;
use super::request::{Request, What};
use super::server::{PAUSE, Server, file};
use crate::util::{cpu_time, new_loop, run_until, test};

const CLIENTS: usize = 64;
const ROOM: usize = 8;
const WATCHED: Duration = Duration::from_secs(1);

/// Connects, echoes one byte, and returns the open connection.
async fn connect_and_echo(
    event_loop: LoopHandle,
    server: SocketAddr,
    sock: Socket<TcpStream>,
) -> Socket<TcpStream> {
    let request = Request::random(&mut Rng::with_seed(0), What::Echo).encode();
    event_loop.sock_connect(&sock, &server).await.expect("a queue");
    for bytes in [request.as_slice(), b"!"] {
        event_loop.sock_sendall(&sock, bytes).await.expect("connected");
    }
    let echo = event_loop.sock_recv(&sock, 2).await.expect("an answer");
    assert_eq!(echo, b"!");
    sock
}

/// Sets a limit that leaves this many free descriptors.
fn leave(descriptors: usize) -> Limit {
    let lowest = File::open("/dev/null").expect("a descriptor").as_raw_fd();
    Limit::set(lowest as u64 + descriptors as u64)
}

#[test]
fn accept_without_descriptors_costs_no_cpu_and_heals() {
    let _test = test();
    let event_loop = new_loop();
    let file = file();
    let time_limit = Duration::from_secs(60);
    let server = Server::new(event_loop.handle(), file.path().to_owned(), time_limit);
    let server = Rc::new(server);
    let accepting = event_loop.create_task(server.clone().serve());
    let sockets: Vec<_> =
        (0..CLIENTS).map(|_| Socket::tcp(&server.addr()).expect("a socket")).collect();
    let _limit = leave(ROOM);
    let connect =
        |sock| event_loop.create_task(connect_and_echo(event_loop.handle(), server.addr(), sock));
    let mut clients: Vec<_> = sockets.into_iter().map(connect).collect();
    let tries = || server.tally.get("times without a descriptor to accept with");
    run_until(&event_loop, || {
        tries() > 0 && clients.iter().filter(|client| client.done()).count() == ROOM
    });

    let (tried, polls, cpu) = (tries(), event_loop.stats().polls, cpu_time());
    event_loop.run_until_complete(event_loop.sleep(WATCHED));
    let cpu = cpu_time() - cpu;
    let (tried, polls) = (tries() - tried, event_loop.stats().polls - polls);
    println!("{tried} tries and {polls} iterations in {WATCHED:?}, {cpu:?} of CPU time");
    assert!(tried > 0, "the server was not overloaded");
    assert!(u128::from(tried) <= WATCHED.as_millis() / PAUSE.as_millis() + 1);
    assert!(polls <= 3 * tried + 3, "{polls} iterations for {tried} tries");
    // A retry without a pause would use all of the time.
    assert!(cpu < WATCHED / 5, "{cpu:?} of CPU time");
    assert!(clients.iter().filter(|client| client.done()).count() == ROOM);

    // Each connection that closes lets a waiting one in.
    run_until(&event_loop, || {
        clients.retain(|client| !client.done());
        clients.is_empty()
    });
    run_until(&event_loop, || event_loop.stats().tasks == 1);
    assert_eq!(server.tally.get("served"), CLIENTS as u64);
    assert_eq!(server.problems(), [""; 0]);
    assert!(!accepting.done());
}
