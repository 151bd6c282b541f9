"""Timers and sleeping."""

import asyncio
import time

from registry import scenario, turns


@scenario
def by_deadline(loop, say):
    start = loop.time()
    for word, delay in (("late", 0.025), ("early", 0.005), ("middle", 0.015)):
        loop.call_at(start + delay, say, word)
    loop.call_at(start + 0.035, loop.stop)
    loop.run_forever()


@scenario
def three_equal_deadlines(loop, say):
    when = loop.time() + 0.005
    loop.call_at(when, say, "a")
    loop.call_at(when, say, "b")
    loop.call_at(when, lambda: (say("c"), loop.stop()))
    loop.run_forever()


@scenario
def six_equal_deadlines(loop, say):
    when = loop.time() + 0.005
    for word in "abcdef":
        loop.call_at(when, say, word)
    loop.call_at(when + 0.02, loop.stop)
    loop.run_forever()


@scenario
def a_cancelled_timer(loop, say):
    start = loop.time()
    handle = loop.call_at(start + 0.005, say, "never")
    loop.call_at(start + 0.02, lambda: (say("later"), loop.stop()))
    handle.cancel()
    say(handle.cancelled())
    loop.run_forever()


@scenario
def a_timer_cancels_one_of_its_iteration(loop, say):
    when = loop.time() + 0.005
    handles = []
    loop.call_at(when, lambda: (say("a"), handles[0].cancel()))
    handles.append(loop.call_at(when, say, "never"))
    loop.call_at(when + 0.015, lambda: (say("later", handles[0].cancelled()), loop.stop()))
    loop.run_forever()


@scenario
def a_zero_delay_follows_queued_callbacks(loop, say):
    loop.call_later(0, say, "timer")
    loop.call_soon(lambda: (say("soon"), loop.call_soon(lambda: (say("next"), loop.stop()))))
    loop.run_forever()


@scenario
def a_deadline_in_the_past(loop, say):
    loop.call_soon(say, "soon")
    loop.call_at(loop.time() - 1, lambda: (say("past"), loop.stop()))
    loop.run_forever()


@scenario
def late_timers_run_in_one_iteration(loop, say):
    def second():
        say("second")
        loop.call_soon(lambda: (say("second", "next"), loop.stop()))

    def hold():
        start = loop.time()
        loop.call_at(start + 0.01, second)
        loop.call_at(start + 0.005, lambda: (say("first"), loop.call_soon(say, "first", "next")))
        loop.call_soon(say, "queued")
        time.sleep(0.015)
        say("held")

    loop.call_soon(hold)
    loop.run_forever()


@scenario
def a_timer_sets_a_timer(loop, say):
    def first():
        say("first")
        loop.call_later(0.005, lambda: (say("second"), loop.stop()))
        loop.call_soon(say, "soon")

    loop.call_later(0.005, first)
    loop.run_forever()


@scenario
def a_timer_stops_the_loop(loop, say):
    def first():
        say("first")
        loop.call_later(0.005, lambda: (say("second"), loop.stop()))
        loop.stop()

    loop.call_later(0.005, first)
    for _ in range(2):
        loop.run_forever()
        say("end")


@scenario
async def sleepers_wake_by_deadline(loop, say):
    async def sleeper(word, delay):
        await asyncio.sleep(delay)
        say(word)

    tasks = [loop.create_task(sleeper(word, delay)) for word, delay in (("short", 0.005), ("long", 0.03))]
    for task in reversed(tasks):
        await task


@scenario
async def a_sleeper_wakes_an_iteration_after_its_timer(loop, say):
    async def sleeper():
        await asyncio.sleep(0.005)
        say("awake")

    task = loop.create_task(sleeper())
    await turns(1)
    time.sleep(0.01)
    loop.call_soon(lambda: loop.call_soon(lambda: (say("second"), loop.call_soon(say, "third"))))
    await task
    await turns(2)


@scenario
async def sleep_counts_from_the_first_await(loop, say):
    sleep = asyncio.sleep(0.01)
    start = loop.time()
    # A turn behind its timer, as a sleeper is: the order holds also where both are due at once.
    loop.call_at(start + 0.025, loop.call_soon, say, "timer")
    time.sleep(0.02)
    await sleep
    say("slept")
    await asyncio.sleep(0.03)
