"""Sending a file: the number of bytes, and the file's position afterwards."""

import socket
import tempfile

from registry import outcome, pair, scenario, run_iterations

CONTENT = bytes(range(250)) * 4


def file(content=CONTENT):
    """Returns a file with its position at its end."""
    made = tempfile.TemporaryFile(buffering=0)
    made.write(content)
    return made


async def send(loop, record, near, sent, **arguments):
    """Sends the file, and records the result and the position."""
    try:
        record("sent", await loop.sock_sendfile(near, sent, **arguments))
    except ValueError:
        record("refused")
    except BrokenPipeError:
        record("broken")
    record("at", sent.tell())


@scenario
async def a_whole_file(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, record, near, sent)
        record((await loop.sock_recv(far, 2000)) == CONTENT)


@scenario
async def with_any_file_position(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        sent.seek(5)
        await send(loop, record, near, sent)
        record((await loop.sock_recv(far, 2000)) == CONTENT)


@scenario
async def from_an_offset(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, record, near, sent, offset=300)
        record((await loop.sock_recv(far, 2000)) == CONTENT[300:])


@scenario
async def an_offset_and_a_count(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, record, near, sent, offset=300, count=100)
        record((await loop.sock_recv(far, 2000)) == CONTENT[300:400])


@scenario
async def twice_in_a_row(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, record, near, sent, count=100)
        await send(loop, record, near, sent, offset=sent.tell(), count=100)
        record((await loop.sock_recv(far, 2000)) == CONTENT[:200])


@scenario
async def a_count_past_the_end(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, record, near, sent, offset=900, count=200)


@scenario
async def a_count_of_zero(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, record, near, sent, count=0)


@scenario
async def an_offset_past_the_end(loop, record):
    near, far = pair()
    with near, far, file() as sent:
        sent.seek(5)
        await send(loop, record, near, sent, offset=2000)


@scenario
async def an_empty_file(loop, record):
    near, far = pair()
    with near, far, file(b"") as sent:
        await send(loop, record, near, sent)


@scenario
async def to_a_datagram_socket(loop, record):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    with near, far, file() as sent:
        sent.seek(5)
        await send(loop, record, near, sent)


@scenario
async def to_a_closed_peer(loop, record):
    near, far = pair()
    far.close()
    with near, file() as sent:
        await send(loop, record, near, sent)


@scenario
async def more_than_fits(loop, record):
    near, far = pair()
    content = CONTENT * 1000
    with near, far, file(content) as sent:
        task = loop.create_task(send(loop, record, near, sent))
        await run_iterations(5)
        record("waits", not task.done())
        received = b""
        while len(received) < len(content):
            received += await loop.sock_recv(far, 1 << 20)
        await task
        record(received == content)


@scenario
async def cancelled_midway(loop, record):
    near, far = pair()
    with far, file(CONTENT * 1000) as sent:
        sent.seek(5)
        task = loop.create_task(loop.sock_sendfile(near, sent))
        await run_iterations(5)
        task.cancel()
        record(await outcome(task))
        near.close()
        received = 0
        while data := await loop.sock_recv(far, 1 << 20):
            received += len(data)
        record("position-exact", sent.tell() == received)
