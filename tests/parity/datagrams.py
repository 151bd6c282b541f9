"""Datagrams: each is received whole or cut, and an empty one is one too."""

import socket

from registry import outcome, scenario, turns


def datagrams():
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
    return sockets


async def receive(loop, say, sock, most, sender):
    say("wait")
    data, peer = await loop.sock_recvfrom(sock, most)
    say("got", data.decode() or "empty", peer == sender.getsockname())


@scenario
async def receiving_a_ready_datagram_takes_no_iteration(loop, say):
    near, far = datagrams()
    with near, far:
        loop.call_soon(say, "soon")
        say("sent", await loop.sock_sendto(near, b"hello", far.getsockname()))
        await receive(loop, say, far, 100, near)
        await turns(1)


@scenario
async def receiving_a_datagram_waits(loop, say):
    near, far = datagrams()
    with near, far:
        task = loop.create_task(receive(loop, say, far, 100, near))
        await turns(2)
        say("sent", await loop.sock_sendto(near, b"hello", far.getsockname()))
        await task


@scenario
async def an_empty_datagram_is_one(loop, say):
    near, far = datagrams()
    with near, far:
        say("sent", await loop.sock_sendto(near, b"", far.getsockname()))
        say("sent", await loop.sock_sendto(near, b"x", far.getsockname()))
        for _ in range(2):
            await receive(loop, say, far, 100, near)


@scenario
async def a_long_datagram_is_truncated(loop, say):
    near, far = datagrams()
    with near, far:
        for data in (b"abcdef", b"next"):
            say("sent", await loop.sock_sendto(near, data, far.getsockname()))
        for _ in range(2):
            await receive(loop, say, far, 4, near)


@scenario
async def a_cancelled_receiver_leaves_the_datagram(loop, say):
    near, far = datagrams()
    with near, far:
        task = loop.create_task(receive(loop, say, far, 100, near))
        await turns(2)
        task.cancel()
        say(await outcome(task))
        await loop.sock_sendto(near, b"x", far.getsockname())
        await receive(loop, say, far, 100, near)
