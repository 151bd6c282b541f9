"""Sending a file: how much, and where the file's position is afterwards."""

import socket
import tempfile

from registry import outcome, pair, scenario, turns

CONTENT = bytes(range(250)) * 4


def file(content=CONTENT):
    """A file of that content, its position at its end."""
    made = tempfile.TemporaryFile(buffering=0)
    made.write(content)
    return made


async def send(loop, say, near, sent, **arguments):
    """Sends, and says how much it was and where the position is."""
    try:
        say("sent", await loop.sock_sendfile(near, sent, **arguments))
    except ValueError:
        say("refused")
    except BrokenPipeError:
        say("broken")
    say("at", sent.tell())


@scenario
async def a_whole_file(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, say, near, sent)
        say((await loop.sock_recv(far, 2000)) == CONTENT)


@scenario
async def with_any_file_position(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        sent.seek(5)
        await send(loop, say, near, sent)
        say((await loop.sock_recv(far, 2000)) == CONTENT)


@scenario
async def from_an_offset(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, say, near, sent, offset=300)
        say((await loop.sock_recv(far, 2000)) == CONTENT[300:])


@scenario
async def an_offset_and_a_count(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, say, near, sent, offset=300, count=100)
        say((await loop.sock_recv(far, 2000)) == CONTENT[300:400])


@scenario
async def twice_in_a_row(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, say, near, sent, count=100)
        await send(loop, say, near, sent, offset=sent.tell(), count=100)
        say((await loop.sock_recv(far, 2000)) == CONTENT[:200])


@scenario
async def a_count_past_the_end(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, say, near, sent, offset=900, count=200)


@scenario
async def a_count_of_zero(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        await send(loop, say, near, sent, count=0)


@scenario
async def an_offset_past_the_end(loop, say):
    near, far = pair()
    with near, far, file() as sent:
        sent.seek(5)
        await send(loop, say, near, sent, offset=2000)


@scenario
async def an_empty_file(loop, say):
    near, far = pair()
    with near, far, file(b"") as sent:
        await send(loop, say, near, sent)


@scenario
async def to_a_datagram_socket(loop, say):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    with near, far, file() as sent:
        sent.seek(5)
        await send(loop, say, near, sent)


@scenario
async def to_a_closed_peer(loop, say):
    near, far = pair()
    far.close()
    with near, file() as sent:
        await send(loop, say, near, sent)


@scenario
async def more_than_fits(loop, say):
    near, far = pair()
    content = CONTENT * 1000
    with near, far, file(content) as sent:
        task = loop.create_task(send(loop, say, near, sent))
        await turns(5)
        say("waits", not task.done())
        received = b""
        while len(received) < len(content):
            received += await loop.sock_recv(far, 1 << 20)
        await task
        say(received == content)


@scenario
async def cancelled_midway(loop, say):
    near, far = pair()
    with far, file(CONTENT * 1000) as sent:
        sent.seek(5)
        task = loop.create_task(loop.sock_sendfile(near, sent))
        await turns(5)
        task.cancel()
        say(await outcome(task))
        near.close()
        received = 0
        while data := await loop.sock_recv(far, 1 << 20):
            received += len(data)
        say("position-exact", sent.tell() == received)
