"""Tasks: their steps, awaits and results."""

import asyncio

from registry import scenario, run_iterations


async def counting(record, word, times):
    for number in range(times):
        record(word, number)
        await asyncio.sleep(0)


@scenario
async def a_new_task_starts_an_iteration_later(loop, record):
    task = loop.create_task(counting(record, "task", 1))
    loop.call_soon(record, "soon")
    record("made")
    await task


@scenario
async def two_tasks_alternate(loop, record):
    tasks = [loop.create_task(counting(record, word, 3)) for word in "ab"]
    for task in tasks:
        await task


@scenario
async def three_tasks_of_different_length(loop, record):
    tasks = [loop.create_task(counting(record, word, times)) for word, times in (("a", 1), ("b", 4), ("c", 2))]
    for task in tasks:
        await task
    record("end")


@scenario
async def a_task_makes_tasks(loop, record):
    async def outer():
        record("outer")
        inner = [loop.create_task(counting(record, word, 2)) for word in ("x", "y")]
        record("made")
        for task in inner:
            await task
        record("outer-end")

    await loop.create_task(outer())


@scenario
async def a_task_awaits_a_task(loop, record):
    async def inner():
        record("inner")
        await run_iterations(2)
        record("inner-end")
        return "value"

    async def outer():
        task = loop.create_task(inner())
        record("outer")
        record("got", await task)

    ticks = loop.create_task(counting(record, "tick", 7))
    await loop.create_task(outer())
    await ticks


@scenario
async def awaiting_a_done_task_takes_no_iteration(loop, record):
    task = loop.create_task(counting(record, "task", 1))
    await run_iterations(3)
    loop.call_soon(record, "soon")
    await task
    record("got")
    await run_iterations(1)


@scenario
async def done_callbacks_run_in_order(loop, record):
    task = loop.create_task(counting(record, "task", 1))
    for word in ("one", "two", "three"):
        task.add_done_callback(lambda task, word=word: record(word))
    await run_iterations(1)
    await task
    record("awaited")
    await run_iterations(1)


@scenario
async def a_waiter_before_a_done_callback(loop, record):
    task = loop.create_task(counting(record, "task", 1))

    async def waiter():
        await task
        record("waiter")

    waiting = loop.create_task(waiter())
    await run_iterations(1)
    task.add_done_callback(lambda task: record("callback"))
    await run_iterations(3)
    await waiting


@scenario
async def a_done_callback_added_after_the_end(loop, record):
    task = loop.create_task(counting(record, "task", 1))
    await task
    task.add_done_callback(lambda task: record("callback"))
    record("added")
    await run_iterations(2)


@scenario
async def a_done_callback_has_an_argument(loop, record):
    task = loop.create_task(counting(record, "task", 1))
    task.add_done_callback(lambda *arguments: record("arguments", len(arguments)))
    await run_iterations(4)


@scenario
async def an_error_in_a_done_callback(loop, record):
    def bad(task):
        record("bad")
        raise ValueError

    task = loop.create_task(counting(record, "task", 1))
    task.add_done_callback(bad)
    task.add_done_callback(lambda task: record("good"))
    await task
    await run_iterations(1)
    record("end")


@scenario
async def an_error_in_a_task_reaches_its_awaiter(loop, record):
    async def bad():
        record("bad")
        raise ValueError

    task = loop.create_task(bad())
    try:
        await task
    except ValueError:
        record("error", task.done(), task.cancelled())


@scenario
async def an_error_in_a_task_ends_no_other(loop, record):
    async def bad():
        record("bad")
        raise ValueError

    task = loop.create_task(bad())
    await loop.create_task(counting(record, "other", 2))
    record(task.done())


@scenario
async def done_and_cancelled(loop, record):
    task = loop.create_task(counting(record, "task", 1))
    record(task.done())
    await run_iterations(1)
    record(task.done())
    await run_iterations(1)
    record(task.done(), task.cancelled(), task.cancel())
