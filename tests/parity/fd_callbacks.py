"""Descriptor callbacks."""

import time

from registry import pair, scenario, run_iterations


@scenario
async def a_reader_is_called_each_iteration(loop, record):
    def ready():
        record("ready")

    near, far = pair()
    with near, far:
        loop.add_reader(far, ready)
        near.send(b"x")
        for number in range(3):
            await run_iterations(1)
            record("turn", number)
        record(loop.remove_reader(far))
        await run_iterations(2)


@scenario
async def a_reader_that_reads_is_called_once_for_each_send(loop, record):
    near, far = pair()
    with near, far:
        loop.add_reader(far, lambda: record("got", far.recv(100).decode()))
        for data in (b"x", b"y"):
            near.send(data)
            await run_iterations(3)
        loop.remove_reader(far)


@scenario
async def a_reader_is_called_at_the_end(loop, record):
    def ready():
        record("end" if far.recv(100) == b"" else "data")
        loop.remove_reader(far)

    near, far = pair()
    with far:
        loop.add_reader(far, ready)
        await run_iterations(2)
        record("close")
        near.close()
        await run_iterations(4)


@scenario
async def a_second_reader_replaces_the_first(loop, record):
    near, far = pair()
    with near, far:
        loop.add_reader(far, record, "first")
        loop.add_reader(far, lambda: (record("second"), loop.remove_reader(far)))
        near.send(b"x")
        await run_iterations(3)


@scenario
async def a_reader_replaces_itself(loop, record):
    def first():
        record("first")
        loop.add_reader(far, lambda: (record("second"), loop.remove_reader(far)))

    near, far = pair()
    with near, far:
        loop.add_reader(far, first)
        near.send(b"x")
        await run_iterations(4)


@scenario
async def a_reader_removes_itself(loop, record):
    near, far = pair()
    with near, far:
        loop.add_reader(far, lambda: record("ready", loop.remove_reader(far)))
        near.send(b"x")
        await run_iterations(4)
        record("end")


@scenario
async def a_due_reader_is_removed(loop, record):
    near, far = pair()
    with near, far:
        loop.add_reader(far, record, "never")
        near.send(b"x")
        loop.call_soon(lambda: record("removed", loop.remove_reader(far)))
        await run_iterations(3)


@scenario
async def removing_returns_whether_there_was_one(loop, record):
    near, far = pair()
    with near, far:
        record(loop.remove_reader(far), loop.remove_writer(far))
        loop.add_reader(far, record, "never")
        record(loop.remove_writer(far), loop.remove_reader(far), loop.remove_reader(far))
        loop.add_writer(far, record, "never")
        record(loop.remove_reader(far), loop.remove_writer(far), loop.remove_writer(far))
        await run_iterations(2)


@scenario
async def a_writer_is_called_each_iteration(loop, record):
    near, far = pair()
    with near, far:
        loop.add_writer(near, record, "room")
        for number in range(3):
            await run_iterations(1)
            record("turn", number)
        record(loop.remove_writer(near))
        await run_iterations(2)


@scenario
async def a_writer_is_called_when_there_is_room_again(loop, record):
    near, far = pair()
    with near, far:
        try:
            while True:
                near.send(b"x" * 4096)
        except BlockingIOError:
            record("full")
        loop.add_writer(near, lambda: (record("room"), loop.remove_writer(near)))
        await run_iterations(3)
        record("drain")
        try:
            while True:
                far.recv(1 << 20)
        except BlockingIOError:
            pass
        await run_iterations(3)


@scenario
async def a_reader_precedes_the_writer_of_its_socket(loop, record):
    near, far = pair()
    with near, far:
        far.send(b"x")
        loop.add_writer(near, lambda: (record("writer"), loop.remove_writer(near)))
        loop.add_reader(near, lambda: (record("reader"), loop.remove_reader(near)))
        await run_iterations(3)


@scenario
async def a_reader_precedes_a_timer_of_its_iteration(loop, record):
    near, far = pair()
    with near, far:
        loop.add_reader(far, lambda: (record("reader"), loop.remove_reader(far)))
        loop.call_later(0.005, record, "timer")
        near.send(b"x")
        time.sleep(0.01)
        loop.call_soon(record, "queued")
        await run_iterations(3)


@scenario
async def an_error_in_a_reader_does_not_remove_it(loop, record):
    def bad():
        record("bad")
        raise ValueError

    near, far = pair()
    with near, far:
        loop.add_reader(far, bad)
        near.send(b"x")
        await run_iterations(3)
        record(loop.remove_reader(far))


@scenario
async def a_reader_sets_a_future(loop, record):
    near, far = pair()
    with near, far:
        future = loop.create_future()
        loop.add_reader(far, lambda: (record("reader"), loop.remove_reader(far), future.set_result("value")))
        loop.call_soon(near.send, b"x")
        record("got", await future)
