"""Waiting for a future, and for something in a time."""

import asyncio

from registry import outcome, scenario, turns


@scenario
async def a_future_set_before_it_is_awaited(loop, say):
    future = loop.create_future()
    future.set_result("value")
    loop.call_soon(say, "soon")
    say("got", await future)
    await turns(1)


@scenario
async def a_future_set_while_it_is_awaited(loop, say):
    future = loop.create_future()

    async def waiter():
        say("wait")
        say("got", await future)

    task = loop.create_task(waiter())
    await turns(1)
    future.set_result("value")
    say("set", future.done())
    loop.call_soon(say, "soon")
    await task


@scenario
async def a_future_set_by_a_timer(loop, say):
    future = loop.create_future()
    loop.call_later(0.005, lambda: (say("timer"), future.set_result("value")))
    say("got", await future)


@scenario
async def a_future_that_is_cancelled(loop, say):
    future = loop.create_future()
    loop.call_soon(lambda: (say("give-up"), future.cancel()))
    say(await outcome(future))


@scenario
async def wait_for_ends_in_time(loop, say):
    async def work():
        await asyncio.sleep(0.005)
        say("work")
        return "value"

    say(await asyncio.wait_for(work(), 10))


@scenario
async def wait_for_times_out(loop, say):
    async def work():
        try:
            say("work")
            await loop.create_future()
        finally:
            say("cleanup")

    try:
        await asyncio.wait_for(work(), 0.01)
    except asyncio.TimeoutError:
        say("timeout")


@scenario
async def zero_timeout_of_a_done_future(loop, say):
    future = loop.create_future()
    future.set_result("value")
    say(await asyncio.wait_for(future, 0))


@scenario
async def zero_timeout_of_a_pending_future(loop, say):
    future = loop.create_future()
    try:
        await asyncio.wait_for(future, 0)
    except asyncio.TimeoutError:
        say("timeout", future.cancelled())


@scenario
async def zero_timeout_of_a_ready_coroutine(loop, say):
    async def work():
        say("work")

    try:
        await asyncio.wait_for(work(), 0)
        say("done")
    except asyncio.TimeoutError:
        say("timeout")


@scenario
async def wait_for_times_out_on_a_task(loop, say):
    future = loop.create_future()

    async def work():
        await future
        say("work")

    task = loop.create_task(work())
    try:
        await asyncio.wait_for(task, 0.01)
    except asyncio.TimeoutError:
        say("timeout")
    if not future.done():
        future.set_result(None)
    await turns(2)
    say("end")
