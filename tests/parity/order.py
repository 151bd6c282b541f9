"""The order of callbacks, and running, stopping and running again."""

import asyncio
import threading

from registry import run_for_one_stop, scenario


@scenario
def callbacks_run_in_order(loop, say):
    for word in ("a", "b", "c"):
        loop.call_soon(say, word)
    run_for_one_stop(loop, say)


@scenario
def new_callbacks_run_an_iteration_later(loop, say):
    def first():
        say("a")
        loop.call_soon(say, "a-next")

    loop.call_soon(first)
    loop.call_soon(say, "b")
    run_for_one_stop(loop, say)
    run_for_one_stop(loop, say)


@scenario
def a_stop_ends_after_its_iteration(loop, say):
    loop.call_soon(say, "a")
    loop.call_soon(loop.stop)
    loop.call_soon(say, "b")
    loop.run_forever()
    say("end")


@scenario
def an_early_stop_allows_one_iteration(loop, say):
    loop.stop()
    loop.call_soon(lambda: (say("a"), loop.call_soon(say, "b")))
    loop.run_forever()
    say("end")
    run_for_one_stop(loop, say)


@scenario
def an_early_stop_does_not_wait(loop, say):
    loop.stop()
    loop.stop()
    loop.run_forever()
    say("end")
    # The second stop was not kept for this run.
    loop.call_soon(lambda: loop.call_soon(lambda: (say("second-turn"), loop.stop())))
    loop.run_forever()
    say("end")


@scenario
def queued_callbacks_run_when_main_returns(loop, say):
    async def main():
        loop.call_soon(lambda: (say("a"), loop.call_soon(say, "b")))
        say("main")

    loop.run_until_complete(main())
    say("end")
    loop.run_until_complete(asyncio.sleep(0))
    say("end")


@scenario
def a_task_as_main_runs_fewer_iterations(loop, say):
    async def work():
        await asyncio.sleep(0)
        loop.call_soon(lambda: (say("a"), loop.call_soon(say, "b")))
        say("work")

    loop.run_until_complete(loop.create_task(work()))
    say("end")


@scenario
def tasks_go_on_in_the_next_run(loop, say):
    async def work():
        for number in range(4):
            say("work", number)
            await asyncio.sleep(0)

    async def main():
        await asyncio.sleep(0)

    task = loop.create_task(work())
    loop.run_until_complete(main())
    say("end")
    loop.run_until_complete(task)
    say("end")


@scenario
def stop_before_main_is_done(loop, say):
    async def main():
        loop.stop()
        await loop.create_future()

    async def again():
        say("again")

    try:
        loop.run_until_complete(main())
    except RuntimeError:
        say("stopped")
    loop.run_until_complete(again())


@scenario
def a_stopped_main_continues(loop, say):
    async def main():
        loop.stop()
        await asyncio.sleep(0)
        say("main")

    try:
        loop.run_until_complete(main())
    except RuntimeError:
        say("stopped")
    run_for_one_stop(loop, say)


@scenario
def an_error_in_a_callback_ends_nothing_else(loop, say):
    def bad():
        say("bad")
        raise ValueError

    loop.call_soon(bad)
    loop.call_soon(say, "b")
    run_for_one_stop(loop, say)


@scenario
def an_error_of_main_propagates(loop, say):
    async def main():
        loop.call_soon(say, "queued")
        raise ValueError

    try:
        loop.run_until_complete(main())
    except ValueError:
        say("error")
    run_for_one_stop(loop, say)


@scenario
def a_callback_cancels_the_next(loop, say):
    handles = []
    loop.call_soon(lambda: (say("a"), handles[0].cancel()))
    handles.append(loop.call_soon(say, "b"))
    loop.call_soon(say, "c")
    run_for_one_stop(loop, say)
    say(handles[0].cancelled())


@scenario
def cancelling_a_callback_that_ran(loop, say):
    handle = loop.call_soon(say, "a")
    run_for_one_stop(loop, say)
    say(handle.cancelled())
    handle.cancel()
    say(handle.cancelled())


@scenario
def callbacks_and_tasks_share_one_queue(loop, say):
    async def work(word):
        say(word)

    loop.call_soon(say, "a")
    one = loop.create_task(work("task1"))
    loop.call_soon(say, "b")
    two = loop.create_task(work("task2"))
    run_for_one_stop(loop, say)
    say(one.done() and two.done())


@scenario
def threadsafe_from_the_loops_thread_keeps_the_order(loop, say):
    def first():
        say("a")
        loop.call_soon(say, "d")
        loop.call_soon_threadsafe(say, "e")
        loop.call_soon(say, "f")

    loop.call_soon(first)
    loop.call_soon_threadsafe(say, "b")
    loop.call_soon(say, "c")
    run_for_one_stop(loop, say)
    run_for_one_stop(loop, say)


@scenario
def threadsafe_from_another_thread(loop, say):
    loop.call_soon(say, "a")
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(say, "thread"))
    thread.start()
    thread.join()
    loop.call_soon(say, "b")
    run_for_one_stop(loop, say)
    run_for_one_stop(loop, say)


@scenario
def stop_from_a_callback_of_another_thread(loop, say):
    def both():
        loop.call_soon_threadsafe(say, "thread")
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=both)
    thread.start()
    loop.run_forever()
    thread.join()
    say("end")
