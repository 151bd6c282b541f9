"""The order of callbacks, and runs after a stop."""

import asyncio
import threading

from registry import run_for_one_stop, scenario


@scenario
def callbacks_run_in_order(loop, record):
    for word in ("a", "b", "c"):
        loop.call_soon(record, word)
    run_for_one_stop(loop, record)


@scenario
def new_callbacks_run_an_iteration_later(loop, record):
    def first():
        record("a")
        loop.call_soon(record, "a-next")

    loop.call_soon(first)
    loop.call_soon(record, "b")
    run_for_one_stop(loop, record)
    run_for_one_stop(loop, record)


@scenario
def a_stop_ends_after_its_iteration(loop, record):
    loop.call_soon(record, "a")
    loop.call_soon(loop.stop)
    loop.call_soon(record, "b")
    loop.run_forever()
    record("end")


@scenario
def an_early_stop_allows_one_iteration(loop, record):
    loop.stop()
    loop.call_soon(lambda: (record("a"), loop.call_soon(record, "b")))
    loop.run_forever()
    record("end")
    run_for_one_stop(loop, record)


@scenario
def an_early_stop_does_not_wait(loop, record):
    loop.stop()
    loop.stop()
    loop.run_forever()
    record("end")
    # The second stop does not affect this run.
    loop.call_soon(lambda: loop.call_soon(lambda: (record("second-turn"), loop.stop())))
    loop.run_forever()
    record("end")


@scenario
def queued_callbacks_run_when_main_returns(loop, record):
    async def main():
        loop.call_soon(lambda: (record("a"), loop.call_soon(record, "b")))
        record("main")

    loop.run_until_complete(main())
    record("end")
    loop.run_until_complete(asyncio.sleep(0))
    record("end")


@scenario
def a_task_as_main_runs_fewer_iterations(loop, record):
    async def work():
        await asyncio.sleep(0)
        loop.call_soon(lambda: (record("a"), loop.call_soon(record, "b")))
        record("work")

    loop.run_until_complete(loop.create_task(work()))
    record("end")


@scenario
def tasks_go_on_in_the_next_run(loop, record):
    async def work():
        for number in range(4):
            record("work", number)
            await asyncio.sleep(0)

    async def main():
        await asyncio.sleep(0)

    task = loop.create_task(work())
    loop.run_until_complete(main())
    record("end")
    loop.run_until_complete(task)
    record("end")


@scenario
def stop_before_main_is_done(loop, record):
    async def main():
        loop.stop()
        await loop.create_future()

    async def again():
        record("again")

    try:
        loop.run_until_complete(main())
    except RuntimeError:
        record("stopped")
    loop.run_until_complete(again())


@scenario
def a_stopped_main_continues(loop, record):
    async def main():
        loop.stop()
        await asyncio.sleep(0)
        record("main")

    try:
        loop.run_until_complete(main())
    except RuntimeError:
        record("stopped")
    run_for_one_stop(loop, record)


@scenario
def an_error_in_a_callback_ends_nothing_else(loop, record):
    def bad():
        record("bad")
        raise ValueError

    loop.call_soon(bad)
    loop.call_soon(record, "b")
    run_for_one_stop(loop, record)


@scenario
def an_error_of_main_propagates(loop, record):
    async def main():
        loop.call_soon(record, "queued")
        raise ValueError

    try:
        loop.run_until_complete(main())
    except ValueError:
        record("error")
    run_for_one_stop(loop, record)


@scenario
def a_callback_cancels_the_next(loop, record):
    handles = []
    loop.call_soon(lambda: (record("a"), handles[0].cancel()))
    handles.append(loop.call_soon(record, "b"))
    loop.call_soon(record, "c")
    run_for_one_stop(loop, record)
    record(handles[0].cancelled())


@scenario
def cancelling_a_callback_that_ran(loop, record):
    handle = loop.call_soon(record, "a")
    run_for_one_stop(loop, record)
    record(handle.cancelled())
    handle.cancel()
    record(handle.cancelled())


@scenario
def callbacks_and_tasks_share_one_queue(loop, record):
    async def work(word):
        record(word)

    loop.call_soon(record, "a")
    one = loop.create_task(work("task1"))
    loop.call_soon(record, "b")
    two = loop.create_task(work("task2"))
    run_for_one_stop(loop, record)
    record(one.done() and two.done())


@scenario
def threadsafe_from_the_loops_thread_keeps_the_order(loop, record):
    def first():
        record("a")
        loop.call_soon(record, "d")
        loop.call_soon_threadsafe(record, "e")
        loop.call_soon(record, "f")

    loop.call_soon(first)
    loop.call_soon_threadsafe(record, "b")
    loop.call_soon(record, "c")
    run_for_one_stop(loop, record)
    run_for_one_stop(loop, record)


@scenario
def threadsafe_from_another_thread(loop, record):
    loop.call_soon(record, "a")
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(record, "thread"))
    thread.start()
    thread.join()
    loop.call_soon(record, "b")
    run_for_one_stop(loop, record)
    run_for_one_stop(loop, record)


@scenario
def stop_from_a_callback_of_another_thread(loop, record):
    def both():
        loop.call_soon_threadsafe(record, "thread")
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=both)
    thread.start()
    loop.run_forever()
    thread.join()
    record("end")
