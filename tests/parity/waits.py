"""Awaiting a future, and timeouts."""

import asyncio

from registry import outcome, scenario, run_iterations


@scenario
async def a_future_set_before_it_is_awaited(loop, record):
    future = loop.create_future()
    future.set_result("value")
    loop.call_soon(record, "soon")
    record("got", await future)
    await run_iterations(1)


@scenario
async def a_future_set_while_it_is_awaited(loop, record):
    future = loop.create_future()

    async def waiter():
        record("wait")
        record("got", await future)

    task = loop.create_task(waiter())
    await run_iterations(1)
    future.set_result("value")
    record("set", future.done())
    loop.call_soon(record, "soon")
    await task


@scenario
async def a_future_set_by_a_timer(loop, record):
    future = loop.create_future()
    loop.call_later(0.005, lambda: (record("timer"), future.set_result("value")))
    record("got", await future)


@scenario
async def a_future_that_is_cancelled(loop, record):
    future = loop.create_future()
    loop.call_soon(lambda: (record("give-up"), future.cancel()))
    record(await outcome(future))


@scenario
async def wait_for_ends_in_time(loop, record):
    async def work():
        await asyncio.sleep(0.005)
        record("work")
        return "value"

    record(await asyncio.wait_for(work(), 10))


@scenario
async def wait_for_times_out(loop, record):
    async def work():
        try:
            record("work")
            await loop.create_future()
        finally:
            record("cleanup")

    try:
        await asyncio.wait_for(work(), 0.01)
    except asyncio.TimeoutError:
        record("timeout")


@scenario
async def zero_timeout_of_a_done_future(loop, record):
    future = loop.create_future()
    future.set_result("value")
    record(await asyncio.wait_for(future, 0))


@scenario
async def zero_timeout_of_a_pending_future(loop, record):
    future = loop.create_future()
    try:
        await asyncio.wait_for(future, 0)
    except asyncio.TimeoutError:
        record("timeout", future.cancelled())


@scenario
async def zero_timeout_of_a_ready_coroutine(loop, record):
    async def work():
        record("work")

    try:
        await asyncio.wait_for(work(), 0)
        record("done")
    except asyncio.TimeoutError:
        record("timeout")


@scenario
async def wait_for_times_out_on_a_task(loop, record):
    future = loop.create_future()

    async def work():
        await future
        record("work")

    task = loop.create_task(work())
    try:
        await asyncio.wait_for(task, 0.01)
    except asyncio.TimeoutError:
        record("timeout")
    if not future.done():
        future.set_result(None)
    await run_iterations(2)
    record("end")
