"""Timers and sleeping."""

import asyncio
import time

from registry import scenario, run_iterations


@scenario
def by_deadline(loop, record):
    start = loop.time()
    for word, delay in (("late", 0.025), ("early", 0.005), ("middle", 0.015)):
        loop.call_at(start + delay, record, word)
    loop.call_at(start + 0.035, loop.stop)
    loop.run_forever()


@scenario
def three_equal_deadlines(loop, record):
    when = loop.time() + 0.005
    loop.call_at(when, record, "a")
    loop.call_at(when, record, "b")
    loop.call_at(when, lambda: (record("c"), loop.stop()))
    loop.run_forever()


@scenario
def six_equal_deadlines(loop, record):
    when = loop.time() + 0.005
    for word in "abcdef":
        loop.call_at(when, record, word)
    loop.call_at(when + 0.02, loop.stop)
    loop.run_forever()


@scenario
def a_cancelled_timer(loop, record):
    start = loop.time()
    handle = loop.call_at(start + 0.005, record, "never")
    loop.call_at(start + 0.02, lambda: (record("later"), loop.stop()))
    handle.cancel()
    record(handle.cancelled())
    loop.run_forever()


@scenario
def a_timer_cancels_one_of_its_iteration(loop, record):
    when = loop.time() + 0.005
    handles = []
    loop.call_at(when, lambda: (record("a"), handles[0].cancel()))
    handles.append(loop.call_at(when, record, "never"))
    loop.call_at(when + 0.015, lambda: (record("later", handles[0].cancelled()), loop.stop()))
    loop.run_forever()


@scenario
def a_zero_delay_follows_queued_callbacks(loop, record):
    loop.call_later(0, record, "timer")
    loop.call_soon(lambda: (record("soon"), loop.call_soon(lambda: (record("next"), loop.stop()))))
    loop.run_forever()


@scenario
def a_deadline_in_the_past(loop, record):
    loop.call_soon(record, "soon")
    loop.call_at(loop.time() - 1, lambda: (record("past"), loop.stop()))
    loop.run_forever()


@scenario
def late_timers_run_in_one_iteration(loop, record):
    def second():
        record("second")
        loop.call_soon(lambda: (record("second", "next"), loop.stop()))

    def hold():
        start = loop.time()
        loop.call_at(start + 0.01, second)
        loop.call_at(start + 0.005, lambda: (record("first"), loop.call_soon(record, "first", "next")))
        loop.call_soon(record, "queued")
        time.sleep(0.015)
        record("held")

    loop.call_soon(hold)
    loop.run_forever()


@scenario
def a_timer_sets_a_timer(loop, record):
    def first():
        record("first")
        loop.call_later(0.005, lambda: (record("second"), loop.stop()))
        loop.call_soon(record, "soon")

    loop.call_later(0.005, first)
    loop.run_forever()


@scenario
def a_timer_stops_the_loop(loop, record):
    def first():
        record("first")
        loop.call_later(0.005, lambda: (record("second"), loop.stop()))
        loop.stop()

    loop.call_later(0.005, first)
    for _ in range(2):
        loop.run_forever()
        record("end")


@scenario
async def sleepers_wake_by_deadline(loop, record):
    async def sleeper(word, delay):
        await asyncio.sleep(delay)
        record(word)

    tasks = [loop.create_task(sleeper(word, delay)) for word, delay in (("short", 0.005), ("long", 0.03))]
    for task in reversed(tasks):
        await task


@scenario
async def a_sleeper_wakes_an_iteration_after_its_timer(loop, record):
    async def sleeper():
        await asyncio.sleep(0.005)
        record("awake")

    task = loop.create_task(sleeper())
    await run_iterations(1)
    time.sleep(0.01)
    loop.call_soon(lambda: loop.call_soon(lambda: (record("second"), loop.call_soon(record, "third"))))
    await task
    await run_iterations(2)


@scenario
async def sleep_counts_from_the_first_await(loop, record):
    sleep = asyncio.sleep(0.01)
    start = loop.time()
    # One iteration after its timer, as a sleeper is. The order also holds if both are due at once.
    loop.call_at(start + 0.025, loop.call_soon, record, "timer")
    time.sleep(0.02)
    await sleep
    record("slept")
    await asyncio.sleep(0.03)
