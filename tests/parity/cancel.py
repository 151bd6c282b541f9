"""Cancelling a task, at each of its points."""

import asyncio

from registry import outcome, scenario, run_iterations


async def guarded(record, awaitable):
    """Records its start, its end, or its cancellation."""
    record("start")
    try:
        await awaitable
    except asyncio.CancelledError:
        record("cleanup")
        raise
    record("end")


@scenario
async def before_its_first_step(loop, record):
    async def work():
        record("never")

    task = loop.create_task(work())
    record(task.cancel())
    record(await outcome(task), task.cancelled())


@scenario
async def in_the_iteration_in_which_it_ends(loop, record):
    task = loop.create_task(guarded(record, asyncio.sleep(1)))
    await run_iterations(2)
    record(task.cancel(), task.done())
    await run_iterations(1)
    record(task.done())
    await run_iterations(1)


@scenario
async def while_it_sleeps(loop, record):
    task = loop.create_task(guarded(record, asyncio.sleep(1)))
    await run_iterations(2)
    task.cancel()
    record(await outcome(task))


@scenario
async def while_it_yields(loop, record):
    task = loop.create_task(guarded(record, run_iterations(10)))
    await run_iterations(3)
    task.cancel()
    record(await outcome(task))


@scenario
async def while_it_waits_for_a_future(loop, record):
    future = loop.create_future()
    task = loop.create_task(guarded(record, future))
    await run_iterations(1)
    task.cancel()
    record(await outcome(task), future.cancelled())


@scenario
async def when_its_data_is_ready(loop, record):
    future = loop.create_future()
    task = loop.create_task(guarded(record, future))
    await run_iterations(1)
    future.set_result(None)
    task.cancel()
    record(await outcome(task))


@scenario
async def by_itself_before_it_awaits(loop, record):
    async def work():
        try:
            record("self", tasks[0].cancel())
            record("before")
            await asyncio.sleep(0)
            record("never")
        except asyncio.CancelledError:
            record("cleanup")
            raise

    tasks = [loop.create_task(work())]
    record(await outcome(tasks[0]))


@scenario
async def by_itself_before_it_returns(loop, record):
    async def work():
        record("self", tasks[0].cancel())
        return "value"

    tasks = [loop.create_task(work())]
    await run_iterations(4)
    record(tasks[0].cancelled())


@scenario
async def when_it_is_done(loop, record):
    async def work():
        return "value"

    task = loop.create_task(work())
    await run_iterations(2)
    record(task.cancel(), task.cancelled())
    record(await outcome(task))


@scenario
async def twice(loop, record):
    task = loop.create_task(guarded(record, asyncio.sleep(1)))
    await run_iterations(2)
    first, second = task.cancel(), task.cancel()
    await run_iterations(3)
    record(first)
    record(second)
    record(task.cancel())


@scenario
async def done_callbacks_and_awaiters_are_notified(loop, record):
    task = loop.create_task(guarded(record, asyncio.sleep(1)))
    task.add_done_callback(lambda task: record("callback", task.cancelled()))

    async def waiter():
        record("waiter", await outcome(task))

    waiting = loop.create_task(waiter())
    await run_iterations(2)
    task.cancel()
    await waiting


@scenario
async def two_tasks_in_order(loop, record):
    async def work(word):
        try:
            await asyncio.sleep(1)
        finally:
            record(word)

    tasks = [loop.create_task(work(word)) for word in "ab"]
    await run_iterations(2)
    for task in reversed(tasks):
        task.cancel()
    for task in tasks:
        await outcome(task)


@scenario
async def one_that_awaits_a_task(loop, record):
    future = loop.create_future()
    inner = loop.create_task(guarded(record, future))
    outer = loop.create_task(guarded(record, inner))
    await run_iterations(3)
    outer.cancel()
    record("outer", await outcome(outer))
    if not future.done():
        future.set_result(None)
    await run_iterations(2)


@scenario
async def inside_wait_for(loop, record):
    work = guarded(record, asyncio.sleep(1))
    task = loop.create_task(asyncio.wait_for(work, 10))
    await run_iterations(3)
    task.cancel()
    record(await outcome(task))
