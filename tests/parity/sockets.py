"""Stream sockets: who gets what, and when."""

import socket

from registry import outcome, pair, scenario, turns

BIG = 1 << 20


async def receive(loop, say, sock, most=100):
    say("wait")
    data = await loop.sock_recv(sock, most)
    say("got", data.decode() or "end")
    return data


@scenario
async def receiving_ready_data_takes_no_iteration(loop, say):
    near, far = pair()
    with near, far:
        near.send(b"x")
        loop.call_soon(say, "soon")
        await receive(loop, say, far)
        await turns(1)


@scenario
async def receiving_waits(loop, say):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, say, far))
        await turns(2)
        await loop.sock_sendall(near, b"hello")
        say("sent")
        await task


@scenario
async def the_iteration_in_which_a_receiver_resumes(loop, say):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, say, far))
        await turns(2)
        near.send(b"x")
        for number in range(4):
            await turns(1)
            say("turn", number)
        await task


@scenario
async def receiving_in_parts_then_the_end(loop, say):
    near, far = pair()
    with far:
        await loop.sock_sendall(near, b"abcdef")
        near.close()
        for _ in range(4):
            await receive(loop, say, far, 4)


@scenario
async def the_end_wakes_a_receiver(loop, say):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, say, far))
        await turns(2)
        near.shutdown(socket.SHUT_WR)
        say("shut")
        await task


@scenario
async def sending_what_fits_takes_no_iteration(loop, say):
    near, far = pair()
    with near, far:
        loop.call_soon(say, "soon")
        await loop.sock_sendall(near, b"x")
        await loop.sock_sendall(near, b"")
        say("sent")
        await receive(loop, say, far)
        await turns(1)


@scenario
async def sending_waits_for_room(loop, say):
    near, far = pair()
    with near, far:
        task = loop.create_task(loop.sock_sendall(near, b"x" * BIG))
        await turns(3)
        say("waits", not task.done())
        total = 0
        while total < BIG:
            total += len(await loop.sock_recv(far, BIG))
        await task
        say("sent", total == BIG)


@scenario
async def sending_to_a_closed_peer(loop, say):
    near, far = pair()
    with near:
        far.close()
        try:
            await loop.sock_sendall(near, b"x")
        except BrokenPipeError:
            say("broken")


@scenario
async def sending_nothing_to_a_closed_peer(loop, say):
    near, far = pair()
    with near:
        await loop.sock_sendall(near, b"")
        say("sent")
        far.close()
        try:
            await loop.sock_sendall(near, b"")
        except BrokenPipeError:
            say("broken")


@scenario
async def receiving_nothing_does_not_wait(loop, say):
    near, far = pair()
    with near, far:
        loop.call_soon(say, "soon")
        say("got", len(await loop.sock_recv(far, 0)))
        say("got", await loop.sock_recv_into(far, bytearray()))
        near.send(b"x")
        say("got", len(await loop.sock_recv(far, 0)))
        await receive(loop, say, far)
        await turns(1)


@scenario
async def two_tasks_alternate(loop, say):
    async def player(word, sock, first):
        if first:
            await loop.sock_sendall(sock, b"0")
        for _ in range(3):
            number = int(await loop.sock_recv(sock, 1))
            say(word, number)
            await loop.sock_sendall(sock, b"%d" % (number + 1))

    near, far = pair()
    with near, far:
        tasks = [loop.create_task(player("ping", near, True)), loop.create_task(player("pong", far, False))]
        for task in tasks:
            await task


@scenario
async def writers_run_in_the_order_of_their_start(loop, say):
    near, far = pair()
    with near, far:
        tasks = [loop.create_task(loop.sock_sendall(near, data)) for data in (b"ab", b"cd", b"ef")]
        for task in tasks:
            await task
        await receive(loop, say, far)


@scenario
async def two_receivers_of_one_socket(loop, say):
    near, far = pair()
    with near, far:
        tasks = [loop.create_task(loop.sock_recv(far, 1)) for _ in range(2)]
        await turns(2)
        near.send(b"xy")
        await turns(8)
        for task in tasks:
            say((await task).decode() if task.done() else "waits")
            task.cancel()
        await turns(1)


@scenario
async def a_cancelled_receiver_leaves_the_data(loop, say):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, say, far))
        await turns(2)
        task.cancel()
        say(await outcome(task))
        near.send(b"x")
        await receive(loop, say, far)


@scenario
async def a_receiver_cancelled_when_data_arrived(loop, say):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, say, far))
        await turns(2)
        near.send(b"x")
        task.cancel()
        say(await outcome(task))
        await receive(loop, say, far)


@scenario
async def a_receiver_cancelled_two_iterations_after_data_arrived(loop, say):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, say, far))
        await turns(2)
        near.send(b"x")
        await turns(2)
        say(task.cancel())
        if await outcome(task) == "cancelled":
            near.send(b"next")
            await receive(loop, say, far)
