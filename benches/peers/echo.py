"""Echo servers on asyncio or uvloop: echo.py PEER [udp]. A Protocol is the fastest way in both."""

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


class EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        self.transport.sendto(data, sender)


def end_with_stdin():
    while os.read(0, 1024):
        pass
    os._exit(0)


async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def datagrams():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(EchoDatagrams, ("127.0.0.1", 0))
    print("ready", transport.get_extra_info("sockname")[1], flush=True)
    await loop.create_future()


def run(peer, kind="tcp"):
    server = {"tcp": main, "udp": datagrams}[kind]()
    if peer == "uvloop":
        import uvloop

        return uvloop.run(server)
    return asyncio.run(server)


# The runner stops this process at times. A stopped process cannot read the end of its standard
# input, so it also dies with its parent.
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
threading.Thread(target=end_with_stdin, daemon=True).start()
run(*sys.argv[1:])
