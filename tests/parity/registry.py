"""The decorator that registers scenarios, and their helpers."""

import asyncio
import inspect
import socket

#: Scenario names and functions, in the order of the source.
SCENARIOS = {}


def scenario(function):
    """Registers `function(loop, record)` as `module/function`. A coroutine runs to its end."""
    SCENARIOS[f"{function.__module__}/{function.__name__}"] = function
    return function


def run(function):
    """Runs a scenario on a new loop, and returns the recorded words."""
    words = []

    def record(*parts):
        words.append("-".join(str(part).lower() if isinstance(part, bool) else str(part) for part in parts))

    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        result = function(loop, record)
        if inspect.iscoroutine(result):
            loop.run_until_complete(result)
        return list(words)
    finally:
        finish(loop)


def finish(loop):
    """Ends the remaining tasks, because asyncio warns of them. It ignores their words."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()


async def run_iterations(number):
    """Waits for a number of iterations."""
    for _ in range(number):
        await asyncio.sleep(0)


async def outcome(task):
    """Returns the result of a task, or `cancelled`."""
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled"


def run_for_one_stop(loop, record):
    """Runs until a stop that is queued after all present callbacks, and records the end."""
    loop.call_soon(loop.stop)
    loop.run_forever()
    record("end")


def pair():
    """Returns two connected non-blocking stream sockets."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return near, far
