"""Tasks: their steps, what they wait for, their ends."""

import asyncio

from registry import scenario, turns


async def counting(say, word, times):
    for number in range(times):
        say(word, number)
        await asyncio.sleep(0)


@scenario
async def a_new_task_starts_an_iteration_later(loop, say):
    task = loop.create_task(counting(say, "task", 1))
    loop.call_soon(say, "soon")
    say("made")
    await task


@scenario
async def two_tasks_alternate(loop, say):
    tasks = [loop.create_task(counting(say, word, 3)) for word in "ab"]
    for task in tasks:
        await task


@scenario
async def three_tasks_of_different_length(loop, say):
    tasks = [loop.create_task(counting(say, word, times)) for word, times in (("a", 1), ("b", 4), ("c", 2))]
    for task in tasks:
        await task
    say("end")


@scenario
async def a_task_makes_tasks(loop, say):
    async def outer():
        say("outer")
        inner = [loop.create_task(counting(say, word, 2)) for word in ("x", "y")]
        say("made")
        for task in inner:
            await task
        say("outer-end")

    await loop.create_task(outer())


@scenario
async def a_task_awaits_a_task(loop, say):
    async def inner():
        say("inner")
        await turns(2)
        say("inner-end")
        return "value"

    async def outer():
        task = loop.create_task(inner())
        say("outer")
        say("got", await task)

    ticks = loop.create_task(counting(say, "tick", 7))
    await loop.create_task(outer())
    await ticks


@scenario
async def awaiting_a_done_task_takes_no_iteration(loop, say):
    task = loop.create_task(counting(say, "task", 1))
    await turns(3)
    loop.call_soon(say, "soon")
    await task
    say("got")
    await turns(1)


@scenario
async def done_callbacks_run_in_order(loop, say):
    task = loop.create_task(counting(say, "task", 1))
    for word in ("one", "two", "three"):
        task.add_done_callback(lambda task, word=word: say(word))
    await turns(1)
    await task
    say("awaited")
    await turns(1)


@scenario
async def a_waiter_before_a_done_callback(loop, say):
    task = loop.create_task(counting(say, "task", 1))

    async def waiter():
        await task
        say("waiter")

    waiting = loop.create_task(waiter())
    await turns(1)
    task.add_done_callback(lambda task: say("callback"))
    await turns(3)
    await waiting


@scenario
async def a_done_callback_added_after_the_end(loop, say):
    task = loop.create_task(counting(say, "task", 1))
    await task
    task.add_done_callback(lambda task: say("callback"))
    say("added")
    await turns(2)


@scenario
async def a_done_callback_has_an_argument(loop, say):
    task = loop.create_task(counting(say, "task", 1))
    task.add_done_callback(lambda *arguments: say("arguments", len(arguments)))
    await turns(4)


@scenario
async def an_error_in_a_done_callback(loop, say):
    def bad(task):
        say("bad")
        raise ValueError

    task = loop.create_task(counting(say, "task", 1))
    task.add_done_callback(bad)
    task.add_done_callback(lambda task: say("good"))
    await task
    await turns(1)
    say("end")


@scenario
async def an_error_in_a_task_reaches_its_awaiter(loop, say):
    async def bad():
        say("bad")
        raise ValueError

    task = loop.create_task(bad())
    try:
        await task
    except ValueError:
        say("error", task.done(), task.cancelled())


@scenario
async def an_error_in_a_task_ends_no_other(loop, say):
    async def bad():
        say("bad")
        raise ValueError

    task = loop.create_task(bad())
    await loop.create_task(counting(say, "other", 2))
    say(task.done())


@scenario
async def done_and_cancelled(loop, say):
    task = loop.create_task(counting(say, "task", 1))
    say(task.done())
    await turns(1)
    say(task.done())
    await turns(1)
    say(task.done(), task.cancelled(), task.cancel())
