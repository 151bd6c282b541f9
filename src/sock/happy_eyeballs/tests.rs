//! Tests of the race with scripted attempts and a manual clock.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;

use socket2::{Domain, Type};

use super::*;
use crate::clock::Clock;
use crate::event_loop::Loop;

/// The script of an attempt: its outcome, and the milliseconds until then.
#[derive(Clone, Copy)]
enum AttemptScript {
    Connects(u64),
    Fails(u64, i32),
    Hangs,
}
use AttemptScript::{Connects, Fails, Hangs};

/// The least step of the clock, in milliseconds.
const STEP: u64 = 10;

struct LiveAttempt(Rc<Cell<usize>>);

impl LiveAttempt {
    fn new(live: &Rc<Cell<usize>>) -> LiveAttempt {
        live.set(live.get() + 1);
        LiveAttempt(live.clone())
    }
}

impl Drop for LiveAttempt {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The state of a race after its end, or after two seconds.
struct Ended {
    /// The port of each attempt, and its time in milliseconds.
    starts: Vec<(u16, u64)>,
    /// The winner's port or the failures, and the time. `None` if the race continues.
    outcome: Option<(Result<u16, Vec<io::Error>>, u64)>,
    /// The attempts that were live when the race ended.
    live: usize,
    timers: Option<Duration>,
}

/// Runs a race in which the attempt at port n follows script n.
fn run_race(scripts: &[AttemptScript]) -> Ended {
    let clock = Clock::manual();
    let event_loop = Loop::builder().clock(clock.clone()).build();
    let event_loop = event_loop.expect("a loop");
    let begin = event_loop.time();
    let (starts, live) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let (seen, counted, handle) = (starts.clone(), live.clone(), event_loop.handle());
    let scripts = scripts.to_vec();
    let addrs: Vec<SocketAddr> =
        (0..scripts.len() as u16).map(|port| ([127, 0, 0, 1], port).into()).collect();
    let task = event_loop.create_task(async move {
        let now = |handle: &LoopHandle| (handle.time() - begin).as_millis() as u64;
        let start = |addr: SocketAddr| {
            let (handle, guard) = (handle.clone(), LiveAttempt::new(&counted));
            let script = scripts[usize::from(addr.port())];
            seen.borrow_mut().push((addr.port(), now(&handle)));
            async move {
                let _guard = guard;
                match script {
                    Connects(after) => {
                        handle.sleep(Duration::from_millis(after)).await;
                        Ok(addr.port())
                    }
                    Fails(0, errno) => Err(io::Error::from_raw_os_error(errno)),
                    Fails(after, errno) => {
                        handle.sleep(Duration::from_millis(after)).await;
                        Err(io::Error::from_raw_os_error(errno))
                    }
                    Hangs => pending().await,
                }
            }
        };
        let outcome = race(&handle, &addrs, start).await;
        (outcome, now(&handle), counted.get())
    });
    for _ in 0..2000 / STEP {
        // A timer wakes the task in one iteration, and the loop polls it in the next.
        for _ in 0..4 {
            event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
        }
        if task.done() {
            break;
        }
        clock.advance(Duration::from_millis(STEP));
    }
    let is_done = task.done();
    let ended = is_done.then(|| event_loop.run_until_complete(task).expect("no panic"));
    let live = ended.as_ref().map_or(live.get(), |(_, _, live)| *live);
    Ended {
        starts: starts.take(),
        outcome: ended.map(|(outcome, at, _)| (outcome, at)),
        live,
        timers: event_loop.next_timeout(),
    }
}

impl Ended {
    #[track_caller]
    fn assert_won(self, port: u16, at: u64) {
        let (outcome, time) = self.outcome.expect("an end");
        assert_eq!((outcome.ok(), time), (Some(port), at));
        assert_eq!((self.live, self.timers), (0, None), "all attempts are dropped");
    }
}

#[test]
fn first_attempt_that_connects_starts_no_other() {
    let ended = run_race(&[Connects(200), Connects(0)]);
    assert_eq!(ended.starts, [(0, 0)]);
    ended.assert_won(0, 200);
}

#[test]
fn each_attempt_has_a_head_start_of_250_milliseconds() {
    let ended = run_race(&[Hangs, Hangs, Hangs, Connects(100)]);
    assert_eq!(ended.starts, [(0, 0), (1, 250), (2, 500), (3, 750)]);
    ended.assert_won(3, 850);
}

#[test]
fn slow_early_attempt_wins_if_it_connects_first() {
    let ended = run_race(&[Connects(300), Connects(100)]);
    assert_eq!(ended.starts, [(0, 0), (1, 250)]);
    ended.assert_won(0, 300);
}

#[test]
fn failure_starts_the_next_attempt_at_once_with_a_full_head_start() {
    let ended = run_race(&[Fails(0, libc::ENETUNREACH), Fails(100, 1), Hangs, Hangs, Connects(0)]);
    assert_eq!(ended.starts, [(0, 0), (1, 0), (2, 100), (3, 350), (4, 600)]);
    ended.assert_won(4, 600);
}

#[test]
fn failure_of_an_earlier_attempt_starts_the_next_one() {
    let ended = run_race(&[Fails(300, 1), Hangs, Connects(0)]);
    assert_eq!(ended.starts, [(0, 0), (1, 250), (2, 300)]);
    ended.assert_won(2, 300);
}

#[test]
fn race_continues_after_the_last_attempt_failed() {
    let ended = run_race(&[Connects(900), Fails(0, 1), Fails(0, 1)]);
    assert_eq!(ended.starts, [(0, 0), (1, 250), (2, 250)]);
    ended.assert_won(0, 900);
}

#[test]
fn failures_are_reported_when_no_attempt_is_left() {
    let ended = run_race(&[Fails(700, libc::ETIMEDOUT), Fails(100, 1), Fails(0, 2)]);
    let (outcome, at) = ended.outcome.expect("an end");
    assert_eq!(at, 700);
    let failures = outcome.expect_err("no success");
    let errnos: Vec<_> = failures.iter().map(|error| error.raw_os_error()).collect();
    assert_eq!(errnos, [Some(libc::ETIMEDOUT), Some(1), Some(2)]);
    assert_eq!((ended.live, ended.timers), (0, None));
}

#[test]
fn all_attempts_start_if_each_one_hangs() {
    let ended = run_race(&[Hangs, Hangs]);
    assert_eq!(ended.starts, [(0, 0), (1, 250)]);
    assert!(ended.outcome.is_none());
    assert_eq!((ended.live, ended.timers), (2, None));
}

#[test]
fn race_without_addresses_fails() {
    let (outcome, at) = run_race(&[]).outcome.expect("an end");
    assert_eq!((outcome.expect_err("none").len(), at), (0, 0));
}

#[test]
fn families_alternate_beginning_with_the_first() {
    let parse = |texts: &[&str]| -> Vec<SocketAddr> {
        let parsed = texts.iter().map(|text| text.parse().expect("an address"));
        parsed.collect()
    };
    for (given, expected) in [
        (
            parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.0:1"]),
            parse(&["[::1]:1", "1.0.0.0:1", "[::2]:1", "[::3]:1"]),
        ),
        (
            parse(&["1.0.0.0:1", "2.0.0.0:1", "[::1]:1", "[::2]:1", "[::3]:1"]),
            parse(&["1.0.0.0:1", "[::1]:1", "2.0.0.0:1", "[::2]:1", "[::3]:1"]),
        ),
        (parse(&["1.0.0.0:1"]), parse(&["1.0.0.0:1"])),
        (Vec::new(), Vec::new()),
    ] {
        assert_eq!(interleave(&given), expected);
    }
}

#[test]
fn error_names_the_host_and_each_failure_in_the_order_of_the_addresses() {
    let addrs = ["127.0.0.1:80", "[::1]:80"].map(|text| text.parse().expect("an address"));
    let errnos = [libc::ECONNREFUSED, libc::ENETUNREACH];
    let failures = errnos.map(io::Error::from_raw_os_error);
    let error = all_failed("localhost", 80, &addrs, failures.into());
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let text = error.to_string();
    let [refused, unreachable] = errnos.map(io::Error::from_raw_os_error);
    let failures = format!("127.0.0.1:80: {refused}; [::1]:80: {unreachable}");
    assert_eq!(text, format!("cannot connect to port 80 of localhost: {failures}"));
    let first = error.get_ref().and_then(|error| error.source());
    let first = first.and_then(|first| first.downcast_ref::<io::Error>());
    let errno = first.and_then(io::Error::raw_os_error);
    assert_eq!(errno, Some(libc::ECONNREFUSED));
}

/// Creates a bound TCP socket, and returns its address too.
fn bound() -> (socket2::Socket, SocketAddr) {
    let sock = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    sock.bind(&any.into()).expect("a port");
    let addr = sock.local_addr().expect("bound").as_socket();
    (sock, addr.expect("an IP address"))
}

#[test]
fn losing_sockets_are_deregistered() {
    let clock = Clock::manual();
    let event_loop = Loop::builder().clock(clock.clone()).build();
    let event_loop = event_loop.expect("a loop");
    // The first port has no listener, the second has a full queue, the third has room.
    let (_refusing, refused) = bound();
    let (hanging, full) = bound();
    hanging.listen(0).expect("bound");
    let brief = Duration::from_millis(50);
    let fill = || TcpStream::connect_timeout(&full, brief).ok();
    let _filling: Vec<_> = std::iter::from_fn(fill).collect();
    let (listening, good) = bound();
    listening.listen(1).expect("bound");

    let handle = event_loop.handle();
    let task = event_loop.create_task(async move {
        race(&handle, &[refused, full, good], |addr| attempt(&handle, addr)).await
    });
    while !task.done() {
        event_loop.run_once(Some(Duration::from_millis(5))).expect("an iteration");
        clock.advance(HEAD_START);
    }
    let winner = event_loop.run_until_complete(task).expect("no panic");
    let winner = winner.expect("connected");
    assert_eq!(winner.get_ref().peer_addr().expect("connected"), good);
    assert!(event_loop.stats().registered <= 1);
    drop(winner);
    assert_eq!((event_loop.stats().registered, event_loop.next_timeout()), (0, None));
}

#[test]
fn socket_connected_to_itself_counts_as_refused() {
    let (sock, addr) = bound();
    sock.connect(&addr.into()).expect("TCP allows it");
    let sock = Socket::new(TcpStream::from(sock)).expect("non-blocking");
    let error = refuse_itself(sock).expect_err("nothing listens");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
}
