"""Accepting and connecting."""

import errno
import os
import socket
import tempfile

from registry import outcome, scenario, turns


def listening():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


def stream():
    sock = socket.socket()
    sock.setblocking(False)
    return sock


@scenario
async def accepting_waits_for_a_connection(loop, say):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "socket")
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)

        async def accept():
            say("accept")
            connection, _ = await loop.sock_accept(listener)
            say("accepted")
            return connection

        task = loop.create_task(accept())
        await turns(2)
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            loop.call_soon(say, "soon")
            await loop.sock_connect(client, path)
            say("connected")
            with await task as connection:
                await loop.sock_sendall(client, b"x")
                say("got", (await loop.sock_recv(connection, 100)).decode())


@scenario
async def accepting_a_queued_connection_takes_no_iteration(loop, say):
    with listening() as listener, stream() as client:
        await loop.sock_connect(client, listener.getsockname())
        say("connected")
        loop.call_soon(say, "soon")
        connection, peer = await loop.sock_accept(listener)
        say("accepted", peer == client.getsockname())
        connection.close()


@scenario
async def a_cancelled_accept_leaves_the_connection(loop, say):
    with listening() as listener, stream() as client:
        task = loop.create_task(loop.sock_accept(listener))
        await turns(2)
        task.cancel()
        say(await outcome(task))
        await loop.sock_connect(client, listener.getsockname())
        connection, _ = await loop.sock_accept(listener)
        say("accepted")
        connection.close()


@scenario
async def connecting_to_a_closed_port(loop, say):
    listener = listening()
    address = listener.getsockname()
    listener.close()
    with stream() as client:
        try:
            await loop.sock_connect(client, address)
        except OSError as error:
            say(errno.errorcode[error.errno])


@scenario
async def connecting_again(loop, say):
    with listening() as listener, stream() as client:
        for _ in range(3):
            try:
                await loop.sock_connect(client, listener.getsockname())
                say("connected")
            except OSError as error:
                say(errno.errorcode[error.errno])


@scenario
async def connecting_to_the_own_port(loop, say):
    with stream() as client:
        client.bind(("127.0.0.1", 0))
        await loop.sock_connect(client, client.getsockname())
        say(client.getpeername() == client.getsockname())
        await loop.sock_sendall(client, b"echo")
        say((await loop.sock_recv(client, 100)).decode())


@scenario
async def connecting_after_a_refusal(loop, say):
    with socket.socket() as listener, stream() as client:
        listener.bind(("127.0.0.1", 0))
        for _ in range(2):
            try:
                await loop.sock_connect(client, listener.getsockname())
            except OSError as error:
                say(errno.errorcode[error.errno])
        listener.listen()
        await loop.sock_connect(client, listener.getsockname())
        say("connected")
