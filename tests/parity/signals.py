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


async def all_heard(times, number):
    """Waits until so many signals were heard, a little longer than that."""
    while len(times) < number:
        await asyncio.sleep(0.001)
    await turns(3)


@scenario
async def signals_run_in_the_order_in_which_they_arrive(loop, say):
    times = []
    for word in ("hup", "usr1", "usr2"):
        loop.add_signal_handler(signal.Signals["SIG" + word.upper()], heard(say, word, times))
    order = (signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
    for number in order:
        signal.raise_signal(number)
    await all_heard(times, len(order))
    for number in set(order):
        loop.remove_signal_handler(number)


@scenario
async def a_signal_is_ignored_if_its_handler_is_removed_before_its_delivery(loop, say):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, heard(say, "removed", times))
    loop.add_signal_handler(signal.SIGUSR2, heard(say, "kept", times))
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    say(loop.remove_signal_handler(signal.SIGUSR1))
    await all_heard(times, 1)
    loop.remove_signal_handler(signal.SIGUSR2)


@scenario
async def a_signal_goes_to_the_handler_at_its_delivery(loop, say):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, heard(say, "removed", times))
    signal.raise_signal(signal.SIGUSR1)
    say(loop.remove_signal_handler(signal.SIGUSR1))
    loop.add_signal_handler(signal.SIGUSR1, heard(say, "next", times))
    await all_heard(times, 1)
    loop.remove_signal_handler(signal.SIGUSR1)


@scenario
async def a_queued_call_runs_after_its_handler_is_removed(loop, say):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, lambda: say("first", loop.remove_signal_handler(signal.SIGUSR2)))
    loop.add_signal_handler(signal.SIGUSR2, heard(say, "second", times))
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    await all_heard(times, 1)
    loop.remove_signal_handler(signal.SIGUSR1)
