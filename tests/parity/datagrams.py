"""Datagrams: whole, truncated and empty."""

import socket

from registry import outcome, scenario, run_iterations


def datagrams():
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
    return sockets


async def receive(loop, record, sock, most, sender):
    record("wait")
    data, peer = await loop.sock_recvfrom(sock, most)
    record("got", data.decode() or "empty", peer == sender.getsockname())


@scenario
async def receiving_a_ready_datagram_takes_no_iteration(loop, record):
    near, far = datagrams()
    with near, far:
        loop.call_soon(record, "soon")
        record("sent", await loop.sock_sendto(near, b"hello", far.getsockname()))
        await receive(loop, record, far, 100, near)
        await run_iterations(1)


@scenario
async def receiving_a_datagram_waits(loop, record):
    near, far = datagrams()
    with near, far:
        task = loop.create_task(receive(loop, record, far, 100, near))
        await run_iterations(2)
        record("sent", await loop.sock_sendto(near, b"hello", far.getsockname()))
        await task


@scenario
async def an_empty_datagram_is_one(loop, record):
    near, far = datagrams()
    with near, far:
        record("sent", await loop.sock_sendto(near, b"", far.getsockname()))
        record("sent", await loop.sock_sendto(near, b"x", far.getsockname()))
        for _ in range(2):
            await receive(loop, record, far, 100, near)


@scenario
async def a_long_datagram_is_truncated(loop, record):
    near, far = datagrams()
    with near, far:
        for data in (b"abcdef", b"next"):
            record("sent", await loop.sock_sendto(near, data, far.getsockname()))
        for _ in range(2):
            await receive(loop, record, far, 4, near)


@scenario
async def a_cancelled_receiver_leaves_the_datagram(loop, record):
    near, far = datagrams()
    with near, far:
        task = loop.create_task(receive(loop, record, far, 100, near))
        await run_iterations(2)
        task.cancel()
        record(await outcome(task))
        await loop.sock_sendto(near, b"x", far.getsockname())
        await receive(loop, record, far, 100, near)
