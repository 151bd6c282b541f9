"""What the scenarios are made of: the decorator that registers them, and small helpers that several of them use."""

import asyncio
import inspect
import socket

#: name of the scenario -> its function, in the order in which they are written.
SCENARIOS = {}


def scenario(function):
    """Registers `function(loop, say)` as `module/function`. A coroutine function is run until it is complete."""
    SCENARIOS[f"{function.__module__}/{function.__name__}"] = function
    return function


def run(function):
    """The words that a scenario says, on a loop of its own."""
    words = []

    def say(*parts):
        words.append("-".join(str(part).lower() if isinstance(part, bool) else str(part) for part in parts))

    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        result = function(loop, say)
        if inspect.iscoroutine(result):
            loop.run_until_complete(result)
        return list(words)
    finally:
        finish(loop)


def finish(loop):
    """Ends what a scenario left; asyncio complains of pending tasks otherwise. What is said now is not heard."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()


async def turns(number):
    """Lets so many turns of the loop pass."""
    for _ in range(number):
        await asyncio.sleep(0)


async def outcome(task):
    """What a task came to: its result, or `cancelled`."""
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled"


def run_for_one_stop(loop, say):
    """Runs until a stop that is queued behind what is queued by now, and says that it has ended."""
    loop.call_soon(loop.stop)
    loop.run_forever()
    say("end")


def pair():
    """Two connected stream sockets that do not block."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return near, far
