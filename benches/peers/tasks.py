"""Runs empty jobs with asyncio's run_in_executor, as benches/src/sides/tasks does: tasks.py."""

import asyncio
import sys

BATCH = 1000


async def one_by_one(count):
    loop = asyncio.get_running_loop()
    for number in range(count):
        assert await loop.run_in_executor(None, lambda: number) == number


async def in_batches(count):
    loop = asyncio.get_running_loop()
    numbers = list(range(BATCH))
    for _ in range(count // BATCH):
        jobs = [loop.run_in_executor(None, lambda n=n: n) for n in numbers]
        assert await asyncio.gather(*jobs) == numbers


SCENARIOS = {"executor": one_by_one, "executor_many": in_batches}

print("ready 0", flush=True)
with asyncio.Runner() as runner:
    for line in sys.stdin:
        name, count = line.split()
        runner.run(SCENARIOS[name](int(count)))
        print("done", flush=True)
