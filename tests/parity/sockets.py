"""Stream sockets: which task receives which bytes, and when."""

import socket

from registry import outcome, pair, scenario, run_iterations

BIG = 1 << 20


async def receive(loop, record, sock, most=100):
    record("wait")
    data = await loop.sock_recv(sock, most)
    record("got", data.decode() or "end")
    return data


@scenario
async def receiving_ready_data_takes_no_iteration(loop, record):
    near, far = pair()
    with near, far:
        near.send(b"x")
        loop.call_soon(record, "soon")
        await receive(loop, record, far)
        await run_iterations(1)


@scenario
async def receiving_waits(loop, record):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, record, far))
        await run_iterations(2)
        await loop.sock_sendall(near, b"hello")
        record("sent")
        await task


@scenario
async def the_iteration_in_which_a_receiver_resumes(loop, record):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, record, far))
        await run_iterations(2)
        near.send(b"x")
        for number in range(4):
            await run_iterations(1)
            record("turn", number)
        await task


@scenario
async def receiving_in_parts_then_the_end(loop, record):
    near, far = pair()
    with far:
        await loop.sock_sendall(near, b"abcdef")
        near.close()
        for _ in range(4):
            await receive(loop, record, far, 4)


@scenario
async def the_end_wakes_a_receiver(loop, record):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, record, far))
        await run_iterations(2)
        near.shutdown(socket.SHUT_WR)
        record("shut")
        await task


@scenario
async def sending_what_fits_takes_no_iteration(loop, record):
    near, far = pair()
    with near, far:
        loop.call_soon(record, "soon")
        await loop.sock_sendall(near, b"x")
        await loop.sock_sendall(near, b"")
        record("sent")
        await receive(loop, record, far)
        await run_iterations(1)


@scenario
async def sending_waits_for_room(loop, record):
    near, far = pair()
    with near, far:
        task = loop.create_task(loop.sock_sendall(near, b"x" * BIG))
        await run_iterations(3)
        record("waits", not task.done())
        total = 0
        while total < BIG:
            total += len(await loop.sock_recv(far, BIG))
        await task
        record("sent", total == BIG)


@scenario
async def sending_to_a_closed_peer(loop, record):
    near, far = pair()
    with near:
        far.close()
        try:
            await loop.sock_sendall(near, b"x")
        except BrokenPipeError:
            record("broken")


@scenario
async def sending_nothing_to_a_closed_peer(loop, record):
    near, far = pair()
    with near:
        await loop.sock_sendall(near, b"")
        record("sent")
        far.close()
        try:
            await loop.sock_sendall(near, b"")
        except BrokenPipeError:
            record("broken")


@scenario
async def receiving_nothing_does_not_wait(loop, record):
    near, far = pair()
    with near, far:
        loop.call_soon(record, "soon")
        record("got", len(await loop.sock_recv(far, 0)))
        record("got", await loop.sock_recv_into(far, bytearray()))
        near.send(b"x")
        record("got", len(await loop.sock_recv(far, 0)))
        await receive(loop, record, far)
        await run_iterations(1)


@scenario
async def two_tasks_alternate(loop, record):
    async def player(word, sock, first):
        if first:
            await loop.sock_sendall(sock, b"0")
        for _ in range(3):
            number = int(await loop.sock_recv(sock, 1))
            record(word, number)
            await loop.sock_sendall(sock, b"%d" % (number + 1))

    near, far = pair()
    with near, far:
        tasks = [loop.create_task(player("ping", near, True)), loop.create_task(player("pong", far, False))]
        for task in tasks:
            await task


@scenario
async def writers_run_in_the_order_of_their_start(loop, record):
    near, far = pair()
    with near, far:
        tasks = [loop.create_task(loop.sock_sendall(near, data)) for data in (b"ab", b"cd", b"ef")]
        for task in tasks:
            await task
        await receive(loop, record, far)


@scenario
async def two_receivers_of_one_socket(loop, record):
    near, far = pair()
    with near, far:
        tasks = [loop.create_task(loop.sock_recv(far, 1)) for _ in range(2)]
        await run_iterations(2)
        near.send(b"xy")
        await run_iterations(8)
        for task in tasks:
            record((await task).decode() if task.done() else "waits")
            task.cancel()
        await run_iterations(1)


@scenario
async def a_cancelled_receiver_leaves_the_data(loop, record):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, record, far))
        await run_iterations(2)
        task.cancel()
        record(await outcome(task))
        near.send(b"x")
        await receive(loop, record, far)


@scenario
async def a_receiver_cancelled_when_data_arrived(loop, record):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, record, far))
        await run_iterations(2)
        near.send(b"x")
        task.cancel()
        record(await outcome(task))
        await receive(loop, record, far)


@scenario
async def a_receiver_cancelled_two_iterations_after_data_arrived(loop, record):
    near, far = pair()
    with near, far:
        task = loop.create_task(receive(loop, record, far))
        await run_iterations(2)
        near.send(b"x")
        await run_iterations(2)
        record(task.cancel())
        if await outcome(task) == "cancelled":
            near.send(b"next")
            await receive(loop, record, far)
