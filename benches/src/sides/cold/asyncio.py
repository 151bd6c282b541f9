"""Sends cold files by sock_sendfile, and prints the worst lateness of a ticker."""

import asyncio
import socket
import sys
import time

TICK = 0.001
AROUND = 0.005


def waited_for_core():
    with open("/proc/thread-self/schedstat") as schedstat:
        return int(schedstat.read().split()[1]) / 1e9


async def tick(late):
    while True:
        waited = waited_for_core()
        due = time.monotonic() + TICK
        await asyncio.sleep(TICK)
        by = time.monotonic() - due
        late.append((by, max(0, by - (waited_for_core() - waited))))


async def send(port, path):
    late = []
    with socket.create_connection(("127.0.0.1", port)) as sock, open(path, "rb") as file:
        sock.setblocking(False)
        ticker = asyncio.create_task(tick(late))
        await asyncio.sleep(AROUND)
        await asyncio.get_running_loop().sock_sendfile(sock, file)
        await asyncio.sleep(AROUND)
        ticker.cancel()
    return [max(times) for times in zip(*late)]


print("ready 0", flush=True)
for line in sys.stdin:
    port, path = line.rstrip("\n").split(" ", 1)
    print(*(int(time * 1e9) for time in asyncio.run(send(int(port), path))), flush=True)
