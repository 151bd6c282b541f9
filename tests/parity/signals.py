"""Handlers of signals."""

import asyncio
import os
import signal

from registry import scenario, turns


def heard(say, word, times):
    """A handler that says a word and counts."""
    return lambda: (say(word), times.append(word))


async def kill(say, times):
    """Sends the signal and waits until a handler has heard it, a little longer than that."""
    say("kill")
    before = len(times)
    os.kill(os.getpid(), signal.SIGUSR1)
    while len(times) == before:
        await asyncio.sleep(0.001)
    await turns(3)


@scenario
async def a_signal_handler_runs_on_the_loop(loop, say):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, heard(say, "handler", times))
    for _ in range(2):
        await kill(say, times)
    say(loop.remove_signal_handler(signal.SIGUSR1))
    say(loop.remove_signal_handler(signal.SIGUSR1))


@scenario
async def a_second_signal_handler_replaces_the_first(loop, say):
    times = []
    for word in ("first", "second"):
        loop.add_signal_handler(signal.SIGUSR1, heard(say, word, times))
    await kill(say, times)
    say(loop.remove_signal_handler(signal.SIGUSR1))


@scenario
async def a_signal_ends_a_wait(loop, say):
    future = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, lambda: (say("handler"), future.set_result("value")))
    loop.call_later(0.005, os.kill, os.getpid(), signal.SIGUSR1)
    say("got", await future)
    loop.remove_signal_handler(signal.SIGUSR1)
