"""Sends back what comes: CPython's asyncio or uvloop, with a Protocol, which is the fastest that either has."""

import asyncio
import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


class Echo(asyncio.Protocol):
    __slots__ = ("transport",)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


def end_with_stdin():
    while os.read(0, 1024):
        pass
    os._exit(0)


async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def run(peer):
    if peer == "uvloop":
        import uvloop

        return uvloop.run(main())
    return asyncio.run(main())


# The runner stops this process at times, and a stopped one does not see the end of its standard input.
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
threading.Thread(target=end_with_stdin, daemon=True).start()
run(sys.argv[1])
