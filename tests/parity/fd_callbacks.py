"""Watched descriptors."""

import time

from registry import pair, scenario, turns


@scenario
async def a_reader_is_called_each_iteration(loop, say):
    def ready():
        say("ready")

    near, far = pair()
    with near, far:
        loop.add_reader(far, ready)
        near.send(b"x")
        for number in range(3):
            await turns(1)
            say("turn", number)
        say(loop.remove_reader(far))
        await turns(2)


@scenario
async def a_reader_that_reads_is_called_once_for_each_send(loop, say):
    near, far = pair()
    with near, far:
        loop.add_reader(far, lambda: say("got", far.recv(100).decode()))
        for data in (b"x", b"y"):
            near.send(data)
            await turns(3)
        loop.remove_reader(far)


@scenario
async def a_reader_is_called_at_the_end(loop, say):
    def ready():
        say("end" if far.recv(100) == b"" else "data")
        loop.remove_reader(far)

    near, far = pair()
    with far:
        loop.add_reader(far, ready)
        await turns(2)
        say("close")
        near.close()
        await turns(4)


@scenario
async def a_second_reader_replaces_the_first(loop, say):
    near, far = pair()
    with near, far:
        loop.add_reader(far, say, "first")
        loop.add_reader(far, lambda: (say("second"), loop.remove_reader(far)))
        near.send(b"x")
        await turns(3)


@scenario
async def a_reader_replaces_itself(loop, say):
    def first():
        say("first")
        loop.add_reader(far, lambda: (say("second"), loop.remove_reader(far)))

    near, far = pair()
    with near, far:
        loop.add_reader(far, first)
        near.send(b"x")
        await turns(4)


@scenario
async def a_reader_removes_itself(loop, say):
    near, far = pair()
    with near, far:
        loop.add_reader(far, lambda: say("ready", loop.remove_reader(far)))
        near.send(b"x")
        await turns(4)
        say("end")


@scenario
async def a_due_reader_is_removed(loop, say):
    near, far = pair()
    with near, far:
        loop.add_reader(far, say, "never")
        near.send(b"x")
        loop.call_soon(lambda: say("removed", loop.remove_reader(far)))
        await turns(3)


@scenario
async def removing_returns_whether_there_was_one(loop, say):
    near, far = pair()
    with near, far:
        say(loop.remove_reader(far), loop.remove_writer(far))
        loop.add_reader(far, say, "never")
        say(loop.remove_writer(far), loop.remove_reader(far), loop.remove_reader(far))
        loop.add_writer(far, say, "never")
        say(loop.remove_reader(far), loop.remove_writer(far), loop.remove_writer(far))
        await turns(2)


@scenario
async def a_writer_is_called_each_iteration(loop, say):
    near, far = pair()
    with near, far:
        loop.add_writer(near, say, "room")
        for number in range(3):
            await turns(1)
            say("turn", number)
        say(loop.remove_writer(near))
        await turns(2)


@scenario
async def a_writer_is_called_when_there_is_room_again(loop, say):
    near, far = pair()
    with near, far:
        try:
            while True:
                near.send(b"x" * 4096)
        except BlockingIOError:
            say("full")
        loop.add_writer(near, lambda: (say("room"), loop.remove_writer(near)))
        await turns(3)
        say("drain")
        try:
            while True:
                far.recv(1 << 20)
        except BlockingIOError:
            pass
        await turns(3)


@scenario
async def a_reader_precedes_the_writer_of_its_socket(loop, say):
    near, far = pair()
    with near, far:
        far.send(b"x")
        loop.add_writer(near, lambda: (say("writer"), loop.remove_writer(near)))
        loop.add_reader(near, lambda: (say("reader"), loop.remove_reader(near)))
        await turns(3)


@scenario
async def a_reader_precedes_a_timer_of_its_iteration(loop, say):
    near, far = pair()
    with near, far:
        loop.add_reader(far, lambda: (say("reader"), loop.remove_reader(far)))
        loop.call_later(0.005, say, "timer")
        near.send(b"x")
        time.sleep(0.01)
        loop.call_soon(say, "queued")
        await turns(3)


@scenario
async def an_error_in_a_reader_does_not_remove_it(loop, say):
    def bad():
        say("bad")
        raise ValueError

    near, far = pair()
    with near, far:
        loop.add_reader(far, bad)
        near.send(b"x")
        await turns(3)
        say(loop.remove_reader(far))


@scenario
async def a_reader_sets_a_future(loop, say):
    near, far = pair()
    with near, far:
        future = loop.create_future()
        loop.add_reader(far, lambda: (say("reader"), loop.remove_reader(far), future.set_result("value")))
        loop.call_soon(near.send, b"x")
        say("got", await future)
