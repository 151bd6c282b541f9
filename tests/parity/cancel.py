"""Cancelling a task, at each of its points."""

import asyncio

from registry import outcome, scenario, turns


async def guarded(say, awaitable):
    """Says what happens to it: started, ended, or cancelled."""
    say("start")
    try:
        await awaitable
    except asyncio.CancelledError:
        say("cleanup")
        raise
    say("end")


@scenario
async def before_its_first_step(loop, say):
    async def work():
        say("never")

    task = loop.create_task(work())
    say(task.cancel())
    say(await outcome(task), task.cancelled())


@scenario
async def in_the_iteration_in_which_it_ends(loop, say):
    task = loop.create_task(guarded(say, asyncio.sleep(1)))
    await turns(2)
    say(task.cancel(), task.done())
    await turns(1)
    say(task.done())
    await turns(1)


@scenario
async def while_it_sleeps(loop, say):
    task = loop.create_task(guarded(say, asyncio.sleep(1)))
    await turns(2)
    task.cancel()
    say(await outcome(task))


@scenario
async def while_it_yields(loop, say):
    task = loop.create_task(guarded(say, turns(10)))
    await turns(3)
    task.cancel()
    say(await outcome(task))


@scenario
async def while_it_waits_for_a_future(loop, say):
    future = loop.create_future()
    task = loop.create_task(guarded(say, future))
    await turns(1)
    task.cancel()
    say(await outcome(task), future.cancelled())


@scenario
async def when_its_data_is_ready(loop, say):
    future = loop.create_future()
    task = loop.create_task(guarded(say, future))
    await turns(1)
    future.set_result(None)
    task.cancel()
    say(await outcome(task))


@scenario
async def by_itself_before_it_awaits(loop, say):
    async def work():
        try:
            say("self", tasks[0].cancel())
            say("before")
            await asyncio.sleep(0)
            say("never")
        except asyncio.CancelledError:
            say("cleanup")
            raise

    tasks = [loop.create_task(work())]
    say(await outcome(tasks[0]))


@scenario
async def by_itself_before_it_returns(loop, say):
    async def work():
        say("self", tasks[0].cancel())
        return "value"

    tasks = [loop.create_task(work())]
    await turns(4)
    say(tasks[0].cancelled())


@scenario
async def when_it_is_done(loop, say):
    async def work():
        return "value"

    task = loop.create_task(work())
    await turns(2)
    say(task.cancel(), task.cancelled())
    say(await outcome(task))


@scenario
async def twice(loop, say):
    task = loop.create_task(guarded(say, asyncio.sleep(1)))
    await turns(2)
    first, second = task.cancel(), task.cancel()
    await turns(3)
    say(first)
    say(second)
    say(task.cancel())


@scenario
async def done_callbacks_and_awaiters_are_notified(loop, say):
    task = loop.create_task(guarded(say, asyncio.sleep(1)))
    task.add_done_callback(lambda task: say("callback", task.cancelled()))

    async def waiter():
        say("waiter", await outcome(task))

    waiting = loop.create_task(waiter())
    await turns(2)
    task.cancel()
    await waiting


@scenario
async def two_tasks_in_order(loop, say):
    async def work(word):
        try:
            await asyncio.sleep(1)
        finally:
            say(word)

    tasks = [loop.create_task(work(word)) for word in "ab"]
    await turns(2)
    for task in reversed(tasks):
        task.cancel()
    for task in tasks:
        await outcome(task)


@scenario
async def one_that_awaits_a_task(loop, say):
    future = loop.create_future()
    inner = loop.create_task(guarded(say, future))
    outer = loop.create_task(guarded(say, inner))
    await turns(3)
    outer.cancel()
    say("outer", await outcome(outer))
    if not future.done():
        future.set_result(None)
    await turns(2)


@scenario
async def inside_wait_for(loop, say):
    work = guarded(say, asyncio.sleep(1))
    task = loop.create_task(asyncio.wait_for(work, 10))
    await turns(3)
    task.cancel()
    say(await outcome(task))
