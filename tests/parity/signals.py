"""Handlers of signals."""

import asyncio
import os
import signal

from registry import scenario, run_iterations


def recording_handler(record, word, times):
    """Returns a handler that records a word and a count."""
    return lambda: (record(word), times.append(word))


async def kill(record, times):
    """Sends the signal, and waits a little longer than its handler needs."""
    record("kill")
    before = len(times)
    os.kill(os.getpid(), signal.SIGUSR1)
    while len(times) == before:
        await asyncio.sleep(0.001)
    await run_iterations(3)


@scenario
async def a_signal_handler_runs_on_the_loop(loop, record):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, recording_handler(record, "handler", times))
    for _ in range(2):
        await kill(record, times)
    record(loop.remove_signal_handler(signal.SIGUSR1))
    record(loop.remove_signal_handler(signal.SIGUSR1))


@scenario
async def a_second_signal_handler_replaces_the_first(loop, record):
    times = []
    for word in ("first", "second"):
        loop.add_signal_handler(signal.SIGUSR1, recording_handler(record, word, times))
    await kill(record, times)
    record(loop.remove_signal_handler(signal.SIGUSR1))


@scenario
async def a_signal_ends_a_wait(loop, record):
    future = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, lambda: (record("handler"), future.set_result("value")))
    loop.call_later(0.005, os.kill, os.getpid(), signal.SIGUSR1)
    record("got", await future)
    loop.remove_signal_handler(signal.SIGUSR1)


async def all_signals_arrived(times, number):
    """Waits a little longer than a number of signals needs."""
    while len(times) < number:
        await asyncio.sleep(0.001)
    await run_iterations(3)


@scenario
async def signals_run_in_the_order_in_which_they_arrive(loop, record):
    times = []
    for word in ("hup", "usr1", "usr2"):
        loop.add_signal_handler(signal.Signals["SIG" + word.upper()], recording_handler(record, word, times))
    order = (signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
    for number in order:
        signal.raise_signal(number)
    await all_signals_arrived(times, len(order))
    for number in set(order):
        loop.remove_signal_handler(number)


@scenario
async def a_signal_is_ignored_if_its_handler_is_removed_before_its_delivery(loop, record):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, recording_handler(record, "removed", times))
    loop.add_signal_handler(signal.SIGUSR2, recording_handler(record, "kept", times))
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    record(loop.remove_signal_handler(signal.SIGUSR1))
    await all_signals_arrived(times, 1)
    loop.remove_signal_handler(signal.SIGUSR2)


@scenario
async def a_signal_goes_to_the_handler_at_its_delivery(loop, record):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, recording_handler(record, "removed", times))
    signal.raise_signal(signal.SIGUSR1)
    record(loop.remove_signal_handler(signal.SIGUSR1))
    loop.add_signal_handler(signal.SIGUSR1, recording_handler(record, "next", times))
    await all_signals_arrived(times, 1)
    loop.remove_signal_handler(signal.SIGUSR1)


@scenario
async def a_queued_call_runs_after_its_handler_is_removed(loop, record):
    times = []
    loop.add_signal_handler(signal.SIGUSR1, lambda: record("first", loop.remove_signal_handler(signal.SIGUSR2)))
    loop.add_signal_handler(signal.SIGUSR2, recording_handler(record, "second", times))
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    await all_signals_arrived(times, 1)
    loop.remove_signal_handler(signal.SIGUSR1)
