//! Which poll events call the callbacks of a descriptor, in a bounded number of iterations.

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{self, OpenptFlags};
use rustix::time::{self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use socket2::{Domain, SockRef, Type};

use crate::scene::{Named, Scene};
use crate::util::tcp;

macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), |event_loop, scene| {
        event_loop.run_until_complete(count_all(scene, $name()));
    })),*] };
}

pub(crate) const ALL: &[&[Named]] = &[cases![
    tcp_idle,
    tcp_data,
    tcp_full,
    tcp_urgent,
    tcp_data_before_urgent,
    tcp_data_after_urgent,
    tcp_urgent_was_read,
    tcp_urgent_inline,
    tcp_peer_shut_wr,
    tcp_own_shut_rd,
    tcp_own_shut_wr,
    tcp_both_shut_wr,
    tcp_peer_closed,
    tcp_reset,
    tcp_refused,
    tcp_unconnected,
    tcp_listener_idle,
    tcp_listener_connection,
    tcp_listener_own_shut_rd,
    unix_listener_idle,
    unix_listener_connection,
    unix_listener_own_shut_rd,
    unix_idle,
    unix_data,
    unix_full,
    unix_urgent,
    unix_peer_shut_wr,
    unix_own_shut_rd,
    unix_own_shut_wr,
    unix_both_shut_wr,
    unix_peer_closed,
    unix_peer_closed_with_unread_data,
    unix_unconnected,
    unix_datagram_idle,
    unix_datagram_data,
    unix_datagram_peer_closed,
    unix_datagram_own_shut_rd,
    unix_datagram_own_shut_wr,
    unix_datagram_own_shut_both,
    udp_idle,
    udp_data,
    udp_refused,
    udp_own_shut_rd,
    udp_own_shut_wr,
    udp_own_shut_both,
    pipe_reader_idle,
    pipe_reader_data,
    pipe_reader_writer_closed,
    pipe_reader_data_and_writer_closed,
    pipe_writer_idle,
    pipe_writer_full,
    pipe_writer_reader_closed,
    pipe_writer_full_and_reader_closed,
    pty_master_idle,
    pty_master_data,
    pty_master_slave_closed,
    pty_slave_idle,
    pty_slave_data,
    pty_slave_master_closed,
    eventfd_zero,
    eventfd_one,
    eventfd_full,
    timerfd_unarmed,
    timerfd_expired,
]];

/// The number of iterations that each registration lasts.
const ITERATIONS: usize = 5;

/// A descriptor, what must stay open meanwhile, and the events that poll(2) must report first.
struct Case {
    watched: OwnedFd,
    _kept: Option<OwnedFd>,
    events: PollFlags,
}

fn case(watched: impl Into<OwnedFd>, events: PollFlags) -> Case {
    Case { watched: watched.into(), _kept: None, events }
}

/// Returns a case whose other end stays open.
fn pair(watched: impl Into<OwnedFd>, kept: impl Into<OwnedFd>, events: PollFlags) -> Case {
    Case { _kept: Some(kept.into()), ..case(watched, events) }
}

async fn count_all(s: &Scene, case: Case) {
    await_events(&case.watched, case.events);
    let fd = &case.watched;
    s.record(format!("reader-{}", count(s, fd, true, false).await[0]));
    s.record(format!("writer-{}", count(s, fd, false, true).await[1]));
    let [reader, writer] = count(s, fd, true, true).await;
    s.record(format!("both-{reader}-{writer}"));
}

async fn count(s: &Scene, watched: &OwnedFd, reader: bool, writer: bool) -> [u32; 2] {
    let calls = [Rc::new(Cell::new(0)), Rc::new(Cell::new(0))];
    let [for_reader, for_writer] = calls.clone().map(|calls| move || calls.set(calls.get() + 1));
    if reader {
        s.add_reader(watched, for_reader).expect("watched");
    }
    if writer {
        s.add_writer(watched, for_writer).expect("watched");
    }
    s.run_iterations(ITERATIONS).await;
    s.remove_reader(watched);
    s.remove_writer(watched);
    calls.map(|calls| calls.get())
}

/// Returns the events of `wanted` that poll(2) reports within 10 ms.
fn reported(fd: &OwnedFd, wanted: PollFlags) -> PollFlags {
    let mut fds = [PollFd::new(fd, wanted)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    poll(&mut fds, Some(&timeout)).expect("poll");
    fds[0].revents()
}

/// Waits until poll(2) reports all of `events`.
fn await_events(fd: &OwnedFd, events: PollFlags) {
    for _ in 0..1000 {
        if reported(fd, events).contains(events) {
            return;
        }
    }
    panic!("poll reports {:?} instead of {events:?}", reported(fd, events));
}

/// Sends until the kernel has no room, and has none a moment later.
fn fill(socket: &OwnedFd) {
    loop {
        while send(socket, &[b'x'; 4096], SendFlags::DONTWAIT) != Err(Errno::AGAIN) {}
        if reported(socket, PollFlags::OUT).is_empty() {
            return;
        }
    }
}

// TCP streams.

fn tcp_pair() -> (OwnedFd, OwnedFd) {
    let (near, far) = tcp();
    near.set_nonblocking(true).expect("set");
    far.set_nodelay(true).expect("set");
    (near.into(), far.into())
}

fn send_to(far: &OwnedFd, data: &[u8], flags: SendFlags) {
    assert_eq!(send(far, data, flags), Ok(data.len()));
}

fn shut(socket: &OwnedFd, how: Shutdown) {
    SockRef::from(socket).shutdown(how).expect("connected");
}

fn tcp_idle() -> Case {
    let (near, far) = tcp_pair();
    pair(near, far, PollFlags::OUT)
}

fn tcp_data() -> Case {
    let (near, far) = tcp_pair();
    send_to(&far, b"x", SendFlags::empty());
    pair(near, far, PollFlags::IN)
}

fn tcp_full() -> Case {
    let (near, far) = tcp_pair();
    fill(&near);
    pair(near, far, PollFlags::empty())
}

fn tcp_urgent() -> Case {
    let (near, far) = tcp_pair();
    send_to(&far, b"!", SendFlags::OOB);
    pair(near, far, PollFlags::PRI)
}

fn tcp_data_before_urgent() -> Case {
    let (near, far) = tcp_pair();
    send_to(&far, b"x!", SendFlags::OOB);
    pair(near, far, PollFlags::PRI | PollFlags::IN)
}

fn tcp_data_after_urgent() -> Case {
    let (near, far) = tcp_pair();
    send_to(&far, b"!", SendFlags::OOB);
    send_to(&far, b"x", SendFlags::empty());
    pair(near, far, PollFlags::PRI | PollFlags::IN)
}

fn tcp_urgent_was_read() -> Case {
    let (near, far) = tcp_pair();
    send_to(&far, b"!", SendFlags::OOB);
    await_events(&near, PollFlags::PRI);
    recv(&near, &mut [0; 1][..], RecvFlags::OOB).expect("urgent data");
    pair(near, far, PollFlags::OUT)
}

fn tcp_urgent_inline() -> Case {
    let (near, far) = tcp_pair();
    SockRef::from(&near).set_out_of_band_inline(true).expect("set");
    send_to(&far, b"!", SendFlags::OOB);
    pair(near, far, PollFlags::IN)
}

fn tcp_peer_shut_wr() -> Case {
    let (near, far) = tcp_pair();
    shut(&far, Shutdown::Write);
    pair(near, far, PollFlags::RDHUP | PollFlags::IN)
}

fn tcp_own_shut_rd() -> Case {
    let (near, far) = tcp_pair();
    shut(&near, Shutdown::Read);
    pair(near, far, PollFlags::RDHUP | PollFlags::IN)
}

fn tcp_own_shut_wr() -> Case {
    let (near, far) = tcp_pair();
    shut(&near, Shutdown::Write);
    pair(near, far, PollFlags::OUT)
}

fn tcp_both_shut_wr() -> Case {
    let (near, far) = tcp_pair();
    shut(&far, Shutdown::Write);
    shut(&near, Shutdown::Write);
    pair(near, far, PollFlags::HUP | PollFlags::IN)
}

fn tcp_peer_closed() -> Case {
    let (near, far) = tcp_pair();
    drop(far);
    case(near, PollFlags::RDHUP | PollFlags::IN)
}

fn tcp_reset() -> Case {
    let (near, far) = tcp_pair();
    SockRef::from(&far).set_linger(Some(Duration::ZERO)).expect("set");
    drop(far);
    case(near, PollFlags::ERR | PollFlags::HUP)
}

fn tcp_refused() -> Case {
    let bound = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    bound.bind(&any.into()).expect("a port");
    let near = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    near.set_nonblocking(true).expect("set");
    let begun = near.connect(&bound.local_addr().expect("bound"));
    begun.expect_err("refused, or in progress");
    pair(near, bound, PollFlags::ERR | PollFlags::HUP)
}

fn tcp_unconnected() -> Case {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None);
    case(socket.expect("a socket"), PollFlags::HUP | PollFlags::OUT)
}

// Listeners.

fn tcp_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

fn tcp_listener_idle() -> Case {
    case(tcp_listener(), PollFlags::empty())
}

fn tcp_listener_connection() -> Case {
    let listener = tcp_listener();
    let address = listener.local_addr().expect("bound");
    let peer = std::net::TcpStream::connect(address).expect("connected");
    pair(listener, peer, PollFlags::IN)
}

fn tcp_listener_own_shut_rd() -> Case {
    let listener = tcp_listener().into();
    shut(&listener, Shutdown::Read);
    case(listener, PollFlags::HUP)
}

fn unix_listener(name: &str) -> (UnixListener, SocketAddr) {
    let name = format!("sendloop-{}-{name}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).expect("a name");
    (UnixListener::bind_addr(&address).expect("free"), address)
}

fn unix_listener_idle() -> Case {
    case(unix_listener("idle").0, PollFlags::empty())
}

fn unix_listener_connection() -> Case {
    let (listener, address) = unix_listener("connection");
    let peer = UnixStream::connect_addr(&address).expect("connected");
    pair(listener, peer, PollFlags::IN)
}

fn unix_listener_own_shut_rd() -> Case {
    let listener = unix_listener("shut").0.into();
    shut(&listener, Shutdown::Read);
    case(listener, PollFlags::RDHUP | PollFlags::IN)
}

// Unix streams.

fn unix() -> (OwnedFd, OwnedFd) {
    let (near, far) = UnixStream::pair().expect("a pair");
    (near.into(), far.into())
}

fn unix_idle() -> Case {
    let (near, far) = unix();
    pair(near, far, PollFlags::OUT)
}

fn unix_data() -> Case {
    let (near, far) = unix();
    send_to(&far, b"x", SendFlags::empty());
    pair(near, far, PollFlags::IN)
}

fn unix_full() -> Case {
    let (near, far) = unix();
    fill(&near);
    pair(near, far, PollFlags::empty())
}

fn unix_urgent() -> Case {
    let (near, far) = unix();
    send_to(&far, b"!", SendFlags::OOB);
    pair(near, far, PollFlags::PRI | PollFlags::IN)
}

fn unix_peer_shut_wr() -> Case {
    let (near, far) = unix();
    shut(&far, Shutdown::Write);
    pair(near, far, PollFlags::RDHUP | PollFlags::IN)
}

fn unix_own_shut_rd() -> Case {
    let (near, far) = unix();
    shut(&near, Shutdown::Read);
    pair(near, far, PollFlags::RDHUP | PollFlags::IN)
}

fn unix_own_shut_wr() -> Case {
    let (near, far) = unix();
    shut(&near, Shutdown::Write);
    pair(near, far, PollFlags::OUT)
}

fn unix_both_shut_wr() -> Case {
    let (near, far) = unix();
    shut(&far, Shutdown::Write);
    shut(&near, Shutdown::Write);
    pair(near, far, PollFlags::HUP | PollFlags::IN)
}

fn unix_peer_closed() -> Case {
    let (near, far) = unix();
    drop(far);
    case(near, PollFlags::HUP | PollFlags::IN)
}

fn unix_peer_closed_with_unread_data() -> Case {
    let (near, far) = unix();
    send_to(&near, b"x", SendFlags::empty());
    drop(far);
    case(near, PollFlags::ERR | PollFlags::HUP)
}

fn unix_unconnected() -> Case {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None);
    case(socket.expect("a socket"), PollFlags::HUP | PollFlags::OUT)
}

// Datagram sockets.

fn datagrams() -> (OwnedFd, OwnedFd) {
    let (near, far) = UnixDatagram::pair().expect("a pair");
    (near.into(), far.into())
}

fn unix_datagram_idle() -> Case {
    let (near, far) = datagrams();
    pair(near, far, PollFlags::OUT)
}

fn unix_datagram_data() -> Case {
    let (near, far) = datagrams();
    send_to(&far, b"x", SendFlags::empty());
    pair(near, far, PollFlags::IN)
}

fn unix_datagram_peer_closed() -> Case {
    let (near, far) = datagrams();
    drop(far);
    case(near, PollFlags::empty())
}

fn unix_datagram_own_shut_rd() -> Case {
    let (near, far) = datagrams();
    shut(&near, Shutdown::Read);
    pair(near, far, PollFlags::RDHUP | PollFlags::IN)
}

fn unix_datagram_own_shut_wr() -> Case {
    let (near, far) = datagrams();
    shut(&near, Shutdown::Write);
    pair(near, far, PollFlags::empty())
}

fn unix_datagram_own_shut_both() -> Case {
    let (near, far) = datagrams();
    shut(&near, Shutdown::Both);
    pair(near, far, PollFlags::HUP)
}

fn udp() -> (OwnedFd, OwnedFd) {
    let [near, far] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    near.connect(far.local_addr().expect("bound")).expect("connected");
    far.connect(near.local_addr().expect("bound")).expect("connected");
    (near.into(), far.into())
}

fn udp_idle() -> Case {
    let (near, far) = udp();
    pair(near, far, PollFlags::OUT)
}

fn udp_data() -> Case {
    let (near, far) = udp();
    send_to(&far, b"x", SendFlags::empty());
    pair(near, far, PollFlags::IN)
}

fn udp_refused() -> Case {
    let (near, far) = udp();
    drop(far);
    send_to(&near, b"x", SendFlags::empty());
    case(near, PollFlags::ERR)
}

fn udp_own_shut_rd() -> Case {
    let (near, far) = udp();
    shut(&near, Shutdown::Read);
    pair(near, far, PollFlags::RDHUP | PollFlags::IN)
}

fn udp_own_shut_wr() -> Case {
    let (near, far) = udp();
    shut(&near, Shutdown::Write);
    pair(near, far, PollFlags::empty())
}

fn udp_own_shut_both() -> Case {
    let (near, far) = udp();
    shut(&near, Shutdown::Both);
    pair(near, far, PollFlags::HUP)
}

// Pipes.

fn pipe() -> (File, File) {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
    (reader.into(), writer.into())
}

fn write_to(mut file: &File, data: &[u8]) {
    file.write_all(data).expect("room");
}

fn fill_pipe(mut writer: &File) {
    let full = loop {
        if let Err(error) = writer.write(&[b'x'; 65536]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
}

fn pipe_reader_idle() -> Case {
    let (reader, writer) = pipe();
    pair(reader, writer, PollFlags::empty())
}

fn pipe_reader_data() -> Case {
    let (reader, writer) = pipe();
    write_to(&writer, b"x");
    pair(reader, writer, PollFlags::IN)
}

fn pipe_reader_writer_closed() -> Case {
    let (reader, writer) = pipe();
    drop(writer);
    case(reader, PollFlags::HUP)
}

fn pipe_reader_data_and_writer_closed() -> Case {
    let (reader, writer) = pipe();
    write_to(&writer, b"x");
    drop(writer);
    case(reader, PollFlags::IN | PollFlags::HUP)
}

fn pipe_writer_idle() -> Case {
    let (reader, writer) = pipe();
    pair(writer, reader, PollFlags::OUT)
}

fn pipe_writer_full() -> Case {
    let (reader, writer) = pipe();
    fill_pipe(&writer);
    pair(writer, reader, PollFlags::empty())
}

fn pipe_writer_reader_closed() -> Case {
    let (reader, writer) = pipe();
    drop(reader);
    case(writer, PollFlags::ERR)
}

fn pipe_writer_full_and_reader_closed() -> Case {
    let (reader, writer) = pipe();
    fill_pipe(&writer);
    drop(reader);
    case(writer, PollFlags::ERR)
}

// Terminals.

fn pty() -> (File, File) {
    let master = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    pty::grantpt(&master).expect("granted");
    pty::unlockpt(&master).expect("unlocked");
    let name = pty::ptsname(&master, Vec::new()).expect("a name");
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let slave = rustix::fs::open(name, flags, rustix::fs::Mode::empty());
    (master.into(), slave.expect("opened").into())
}

fn pty_master_idle() -> Case {
    let (master, slave) = pty();
    pair(master, slave, PollFlags::OUT)
}

fn pty_master_data() -> Case {
    let (master, slave) = pty();
    write_to(&slave, b"x");
    pair(master, slave, PollFlags::IN)
}

fn pty_master_slave_closed() -> Case {
    let (master, slave) = pty();
    drop(slave);
    case(master, PollFlags::HUP)
}

fn pty_slave_idle() -> Case {
    let (master, slave) = pty();
    pair(slave, master, PollFlags::OUT)
}

fn pty_slave_data() -> Case {
    let (master, slave) = pty();
    write_to(&master, b"x\n");
    pair(slave, master, PollFlags::IN)
}

fn pty_slave_master_closed() -> Case {
    let (master, slave) = pty();
    drop(master);
    case(slave, PollFlags::HUP)
}

// Counters and timers.

fn counter(value: u32) -> OwnedFd {
    eventfd(value, EventfdFlags::NONBLOCK).expect("an eventfd")
}

fn eventfd_zero() -> Case {
    case(counter(0), PollFlags::OUT)
}

fn eventfd_one() -> Case {
    case(counter(1), PollFlags::IN)
}

fn eventfd_full() -> Case {
    let counter = File::from(counter(0));
    write_to(&counter, &(u64::MAX - 1).to_ne_bytes());
    case(counter, PollFlags::IN)
}

fn timerfd(nanoseconds: i64) -> OwnedFd {
    let timer = time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK);
    let timer = timer.expect("a timerfd");
    let after = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let once = Itimerspec { it_interval: after(0), it_value: after(nanoseconds) };
    time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).expect("set");
    timer
}

fn timerfd_unarmed() -> Case {
    case(timerfd(0), PollFlags::empty())
}

fn timerfd_expired() -> Case {
    case(timerfd(1), PollFlags::IN)
}
