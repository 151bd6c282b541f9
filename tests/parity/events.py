"""Which poll events call the callbacks of a descriptor, in a bounded number of iterations.

A case builds a descriptor and names the events that poll(2) must report before the count begins.
The scenario then registers it for reading, for writing, and for both. The table in docs/ASYNCIO.md
shows the result.
"""

import contextlib
import ctypes
import os
import select
import socket
import struct
import time

from registry import scenario, run_iterations

#: The number of iterations that each registration lasts.
ITERATIONS = 5


def case(build):
    """Registers `build(keep)` as a scenario. `keep` closes its argument at the end."""

    async def count_all(loop, record):
        with contextlib.ExitStack() as keep:
            watched, events = build(keep)
            await_events(watched, events)
            record("reader", (await count(loop, watched, True, False))[0])
            record("writer", (await count(loop, watched, False, True))[1])
            record("both", *await count(loop, watched, True, True))

    count_all.__name__, count_all.__module__ = build.__name__, build.__module__
    return scenario(count_all)


async def count(loop, watched, reader, writer):
    calls = [0, 0]

    def call(direction):
        calls[direction] += 1

    if reader:
        loop.add_reader(watched, call, 0)
    if writer:
        loop.add_writer(watched, call, 1)
    await run_iterations(ITERATIONS)
    loop.remove_reader(watched)
    loop.remove_writer(watched)
    return calls


def await_events(watched, events):
    """Waits until poll(2) reports all of `events`."""
    poll = select.poll()
    poll.register(watched, events)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        reported = poll.poll(10)
        if events == 0 or (reported and reported[0][1] & events == events):
            return
    raise TimeoutError(f"poll reports {reported} instead of {events:#x}")


def fill(sock):
    """Sends until the kernel has no room, and has none a moment later."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while True:
        try:
            while True:
                sock.send(b"x" * 4096)
        except BlockingIOError:
            pass
        if not poll.poll(20):
            return


# TCP streams.


def tcp(keep):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = keep.enter_context(socket.create_connection(listener.getsockname()))
        far = keep.enter_context(listener.accept()[0])
    near.setblocking(False)
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


@case
def tcp_idle(keep):
    return tcp(keep)[0], select.POLLOUT


@case
def tcp_data(keep):
    near, far = tcp(keep)
    far.send(b"x")
    return near, select.POLLIN


@case
def tcp_full(keep):
    near, _ = tcp(keep)
    fill(near)
    return near, 0


@case
def tcp_urgent(keep):
    near, far = tcp(keep)
    far.send(b"!", socket.MSG_OOB)
    return near, select.POLLPRI


@case
def tcp_data_before_urgent(keep):
    near, far = tcp(keep)
    far.send(b"x!", socket.MSG_OOB)
    return near, select.POLLPRI | select.POLLIN


@case
def tcp_data_after_urgent(keep):
    near, far = tcp(keep)
    far.send(b"!", socket.MSG_OOB)
    far.send(b"x")
    return near, select.POLLPRI | select.POLLIN


@case
def tcp_urgent_was_read(keep):
    near, far = tcp(keep)
    far.send(b"!", socket.MSG_OOB)
    await_events(near, select.POLLPRI)
    near.recv(1, socket.MSG_OOB)
    return near, select.POLLOUT


@case
def tcp_urgent_inline(keep):
    near, far = tcp(keep)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    far.send(b"!", socket.MSG_OOB)
    return near, select.POLLIN


@case
def tcp_peer_shut_wr(keep):
    near, far = tcp(keep)
    far.shutdown(socket.SHUT_WR)
    return near, select.POLLRDHUP | select.POLLIN


@case
def tcp_own_shut_rd(keep):
    near, _ = tcp(keep)
    near.shutdown(socket.SHUT_RD)
    return near, select.POLLRDHUP | select.POLLIN


@case
def tcp_own_shut_wr(keep):
    near, _ = tcp(keep)
    near.shutdown(socket.SHUT_WR)
    return near, select.POLLOUT


@case
def tcp_both_shut_wr(keep):
    near, far = tcp(keep)
    far.shutdown(socket.SHUT_WR)
    near.shutdown(socket.SHUT_WR)
    return near, select.POLLHUP | select.POLLIN


@case
def tcp_peer_closed(keep):
    near, far = tcp(keep)
    far.close()
    return near, select.POLLRDHUP | select.POLLIN


@case
def tcp_reset(keep):
    near, far = tcp(keep)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    return near, select.POLLERR | select.POLLHUP


@case
def tcp_refused(keep):
    bound = keep.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    near = keep.enter_context(socket.socket())
    near.setblocking(False)
    near.connect_ex(bound.getsockname())
    return near, select.POLLERR | select.POLLHUP


@case
def tcp_unconnected(keep):
    return keep.enter_context(socket.socket()), select.POLLHUP | select.POLLOUT


# Listeners.


def tcp_listener(keep):
    return keep.enter_context(socket.create_server(("127.0.0.1", 0)))


@case
def tcp_listener_idle(keep):
    return tcp_listener(keep), 0


@case
def tcp_listener_connection(keep):
    listener = tcp_listener(keep)
    keep.enter_context(socket.create_connection(listener.getsockname()))
    return listener, select.POLLIN


@case
def tcp_listener_own_shut_rd(keep):
    listener = tcp_listener(keep)
    listener.shutdown(socket.SHUT_RD)
    return listener, select.POLLHUP


def unix_listener(keep):
    listener = keep.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind("")  # Linux gives it an abstract name.
    listener.listen()
    return listener


@case
def unix_listener_idle(keep):
    return unix_listener(keep), 0


@case
def unix_listener_connection(keep):
    listener = unix_listener(keep)
    keep.enter_context(socket.socket(socket.AF_UNIX)).connect(listener.getsockname())
    return listener, select.POLLIN


@case
def unix_listener_own_shut_rd(keep):
    listener = unix_listener(keep)
    listener.shutdown(socket.SHUT_RD)
    return listener, select.POLLRDHUP | select.POLLIN


# Unix streams.


def unix(keep, kind=socket.SOCK_STREAM):
    near, far = socket.socketpair(type=kind)
    near.setblocking(False)
    return keep.enter_context(near), keep.enter_context(far)


@case
def unix_idle(keep):
    return unix(keep)[0], select.POLLOUT


@case
def unix_data(keep):
    near, far = unix(keep)
    far.send(b"x")
    return near, select.POLLIN


@case
def unix_full(keep):
    near, _ = unix(keep)
    fill(near)
    return near, 0


@case
def unix_urgent(keep):
    near, far = unix(keep)
    far.send(b"!", socket.MSG_OOB)
    return near, select.POLLPRI | select.POLLIN


@case
def unix_peer_shut_wr(keep):
    near, far = unix(keep)
    far.shutdown(socket.SHUT_WR)
    return near, select.POLLRDHUP | select.POLLIN


@case
def unix_own_shut_rd(keep):
    near, _ = unix(keep)
    near.shutdown(socket.SHUT_RD)
    return near, select.POLLRDHUP | select.POLLIN


@case
def unix_own_shut_wr(keep):
    near, _ = unix(keep)
    near.shutdown(socket.SHUT_WR)
    return near, select.POLLOUT


@case
def unix_both_shut_wr(keep):
    near, far = unix(keep)
    far.shutdown(socket.SHUT_WR)
    near.shutdown(socket.SHUT_WR)
    return near, select.POLLHUP | select.POLLIN


@case
def unix_peer_closed(keep):
    near, far = unix(keep)
    far.close()
    return near, select.POLLHUP | select.POLLIN


@case
def unix_peer_closed_with_unread_data(keep):
    near, far = unix(keep)
    near.send(b"x")
    far.close()
    return near, select.POLLERR | select.POLLHUP


@case
def unix_unconnected(keep):
    return keep.enter_context(socket.socket(socket.AF_UNIX)), select.POLLHUP | select.POLLOUT


# Datagram sockets.


@case
def unix_datagram_idle(keep):
    return unix(keep, socket.SOCK_DGRAM)[0], select.POLLOUT


@case
def unix_datagram_data(keep):
    near, far = unix(keep, socket.SOCK_DGRAM)
    far.send(b"x")
    return near, select.POLLIN


@case
def unix_datagram_peer_closed(keep):
    near, far = unix(keep, socket.SOCK_DGRAM)
    far.close()
    return near, 0


@case
def unix_datagram_own_shut_rd(keep):
    near, _ = unix(keep, socket.SOCK_DGRAM)
    near.shutdown(socket.SHUT_RD)
    return near, select.POLLRDHUP | select.POLLIN


@case
def unix_datagram_own_shut_wr(keep):
    near, _ = unix(keep, socket.SOCK_DGRAM)
    near.shutdown(socket.SHUT_WR)
    return near, 0


@case
def unix_datagram_own_shut_both(keep):
    near, _ = unix(keep, socket.SOCK_DGRAM)
    near.shutdown(socket.SHUT_RDWR)
    return near, select.POLLHUP


def udp(keep):
    near, far = (keep.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
    near.bind(("127.0.0.1", 0))
    far.bind(("127.0.0.1", 0))
    near.connect(far.getsockname())
    far.connect(near.getsockname())
    return near, far


@case
def udp_idle(keep):
    return udp(keep)[0], select.POLLOUT


@case
def udp_data(keep):
    near, far = udp(keep)
    far.send(b"x")
    return near, select.POLLIN


@case
def udp_refused(keep):
    near, far = udp(keep)
    far.close()
    near.send(b"x")
    return near, select.POLLERR


@case
def udp_own_shut_rd(keep):
    near, _ = udp(keep)
    near.shutdown(socket.SHUT_RD)
    return near, select.POLLRDHUP | select.POLLIN


@case
def udp_own_shut_wr(keep):
    near, _ = udp(keep)
    near.shutdown(socket.SHUT_WR)
    return near, 0


@case
def udp_own_shut_both(keep):
    near, _ = udp(keep)
    near.shutdown(socket.SHUT_RDWR)
    return near, select.POLLHUP


# Pipes.


def opened(keep, fds):
    """Two descriptors as files: a test may close one of them early."""
    files = [open(fd, "wb", buffering=0, closefd=True) for fd in fds]
    return tuple(keep.enter_context(file) for file in files)


def pipe(keep):
    reader, writer = os.pipe2(os.O_NONBLOCK)
    return keep.enter_context(open(reader, "rb", buffering=0)), keep.enter_context(open(writer, "wb", buffering=0))


def fill_pipe(writer):
    while writer.write(b"x" * 65536) is not None:
        pass


@case
def pipe_reader_idle(keep):
    return pipe(keep)[0], 0


@case
def pipe_reader_data(keep):
    reader, writer = pipe(keep)
    writer.write(b"x")
    return reader, select.POLLIN


@case
def pipe_reader_writer_closed(keep):
    reader, writer = pipe(keep)
    writer.close()
    return reader, select.POLLHUP


@case
def pipe_reader_data_and_writer_closed(keep):
    reader, writer = pipe(keep)
    writer.write(b"x")
    writer.close()
    return reader, select.POLLIN | select.POLLHUP


@case
def pipe_writer_idle(keep):
    return pipe(keep)[1], select.POLLOUT


@case
def pipe_writer_full(keep):
    _, writer = pipe(keep)
    fill_pipe(writer)
    return writer, 0


@case
def pipe_writer_reader_closed(keep):
    reader, writer = pipe(keep)
    reader.close()
    return writer, select.POLLERR


@case
def pipe_writer_full_and_reader_closed(keep):
    reader, writer = pipe(keep)
    fill_pipe(writer)
    reader.close()
    return writer, select.POLLERR


# Terminals.


def pty(keep):
    return opened(keep, os.openpty())


@case
def pty_master_idle(keep):
    return pty(keep)[0], select.POLLOUT


@case
def pty_master_data(keep):
    master, slave = pty(keep)
    slave.write(b"x")
    return master, select.POLLIN


@case
def pty_master_slave_closed(keep):
    master, slave = pty(keep)
    slave.close()
    return master, select.POLLHUP


@case
def pty_slave_idle(keep):
    return pty(keep)[1], select.POLLOUT


@case
def pty_slave_data(keep):
    master, slave = pty(keep)
    master.write(b"x\n")
    return slave, select.POLLIN


@case
def pty_slave_master_closed(keep):
    master, slave = pty(keep)
    master.close()
    return slave, select.POLLHUP


# Counters and timers.


def eventfd(keep, value):
    return opened(keep, [os.eventfd(value, os.EFD_NONBLOCK)])[0]


@case
def eventfd_zero(keep):
    return eventfd(keep, 0), select.POLLOUT


@case
def eventfd_one(keep):
    return eventfd(keep, 1), select.POLLIN


@case
def eventfd_full(keep):
    counter = eventfd(keep, 0)
    counter.write(struct.pack("Q", 2**64 - 2))
    return counter, select.POLLIN


def timerfd(keep, nanoseconds):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
    once = struct.pack("4l", 0, 0, 0, nanoseconds)
    if fd < 0 or libc.timerfd_settime(fd, 0, once, None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd")
    return opened(keep, [fd])[0]


@case
def timerfd_unarmed(keep):
    return timerfd(keep, 0), 0


@case
def timerfd_expired(keep):
    return timerfd(keep, 1), select.POLLIN
