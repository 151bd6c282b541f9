"""Does the work of benches/src/sides/send with asyncio's sock_sendfile: send.py FOLDER."""

import asyncio
import os
import socket
import struct
import sys
import threading

ORDER = struct.Struct("<QQ")


class Folder:
    """A folder and its open files."""

    def __init__(self, path):
        self.path = path
        self.files = {}

    def open(self, size):
        if size not in self.files:
            self.files[size] = open(os.path.join(self.path, str(size)), "rb", buffering=0)
        return self.files[size]


async def order(loop, client):
    data = b""
    while len(data) < ORDER.size:
        part = await loop.sock_recv(client, ORDER.size - len(data))
        if not part:
            return None
        data += part
    return ORDER.unpack(data)


async def serve(loop, client, folder):
    with client:
        while wanted := await order(loop, client):
            size, times = wanted
            file = folder.open(size)
            for _ in range(times):
                await loop.sock_sendfile(client, file, 0, size, fallback=False)


async def main(folder):
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    print("ready", listener.getsockname()[1], flush=True)
    tasks = set()
    while True:
        client, _ = await loop.sock_accept(listener)
        task = loop.create_task(serve(loop, client, folder))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def end_with_stdin():
    while os.read(0, 4096):
        pass
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
asyncio.run(main(Folder(sys.argv[1])))
