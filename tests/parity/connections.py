"""Accepting and connecting."""

import errno
import os
import socket
import tempfile

from registry import outcome, scenario, run_iterations


def listening():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


def stream():
    sock = socket.socket()
    sock.setblocking(False)
    return sock


@scenario
async def accepting_waits_for_a_connection(loop, record):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "socket")
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)

        async def accept():
            record("accept")
            connection, _ = await loop.sock_accept(listener)
            record("accepted")
            return connection

        task = loop.create_task(accept())
        await run_iterations(2)
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            loop.call_soon(record, "soon")
            await loop.sock_connect(client, path)
            record("connected")
            with await task as connection:
                await loop.sock_sendall(client, b"x")
                record("got", (await loop.sock_recv(connection, 100)).decode())


@scenario
async def accepting_a_queued_connection_takes_no_iteration(loop, record):
    with listening() as listener, stream() as client:
        await loop.sock_connect(client, listener.getsockname())
        record("connected")
        loop.call_soon(record, "soon")
        connection, peer = await loop.sock_accept(listener)
        record("accepted", peer == client.getsockname())
        connection.close()


@scenario
async def a_cancelled_accept_leaves_the_connection(loop, record):
    with listening() as listener, stream() as client:
        task = loop.create_task(loop.sock_accept(listener))
        await run_iterations(2)
        task.cancel()
        record(await outcome(task))
        await loop.sock_connect(client, listener.getsockname())
        connection, _ = await loop.sock_accept(listener)
        record("accepted")
        connection.close()


@scenario
async def connecting_to_a_closed_port(loop, record):
    listener = listening()
    address = listener.getsockname()
    listener.close()
    with stream() as client:
        try:
            await loop.sock_connect(client, address)
        except OSError as error:
            record(errno.errorcode[error.errno])


@scenario
async def connecting_again(loop, record):
    with listening() as listener, stream() as client:
        for _ in range(3):
            try:
                await loop.sock_connect(client, listener.getsockname())
                record("connected")
            except OSError as error:
                record(errno.errorcode[error.errno])


@scenario
async def connecting_to_the_own_port(loop, record):
    with stream() as client:
        client.bind(("127.0.0.1", 0))
        await loop.sock_connect(client, client.getsockname())
        record(client.getpeername() == client.getsockname())
        await loop.sock_sendall(client, b"echo")
        record((await loop.sock_recv(client, 100)).decode())


@scenario
async def connecting_after_a_refusal(loop, record):
    with socket.socket() as listener, stream() as client:
        listener.bind(("127.0.0.1", 0))
        for _ in range(2):
            try:
                await loop.sock_connect(client, listener.getsockname())
            except OSError as error:
                record(errno.errorcode[error.errno])
        listener.listen()
        await loop.sock_connect(client, listener.getsockname())
        record("connected")
