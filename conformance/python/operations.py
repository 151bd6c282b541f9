"""asyncio's `sock_*` operations on sendloop."""

import asyncio
import os
import socket
import weakref
from asyncio import base_events, futures

import sendloop_python


class OperationFuture(asyncio.Future):
    """A future that an operation of sendloop completes. Its cancellation drops the operation."""

    operation = None

    def cancel(self, msg=None):
        cancelled = super().cancel(msg)
        if cancelled and self.operation is not None:
            self.operation.cancel()
        return cancelled

    def set_exception(self, error):
        # As asyncio does for an executor: exceptions of concurrent.futures become its own.
        super().set_exception(futures._convert_future_exc(error))


def view_bytes(data):
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


class SocketOperations:
    """A mixin for a loop that has a `sendloop_python.EventLoop` in `_sendloop`."""

    def __init__(self, *args, **kwargs):
        self._shared_sockets = weakref.WeakKeyDictionary()
        super().__init__(*args, **kwargs)

    async def _on_sendloop(self, method, *args):
        self._check_closed()
        future = OperationFuture(loop=self)
        future.operation = method(future, *args)
        try:
            return await future
        finally:
            # An exception refers to this frame: without this line they form a cycle.
            future = None

    def _shared(self, sock):
        return self._shared_sockets.setdefault(sock, sendloop_python.SharedSocket())

    async def _operate(self, method, sock, *args):
        base_events._check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        fd = sock.fileno()
        if fd >= 0:
            self._ensure_fd_no_transport(fd)
        return await self._on_sendloop(method, self._shared(sock), fd, *args)

    async def sock_recv(self, sock, n):
        return await self._operate(self._sendloop.sock_recv, sock, n)

    async def sock_recv_into(self, sock, buf):
        return await self._operate(self._sendloop.sock_recv_into, sock, view_bytes(buf))

    async def sock_recvfrom(self, sock, bufsize):
        return await self._operate(self._sendloop.sock_recvfrom, sock, bufsize)

    async def sock_recvfrom_into(self, sock, buf, nbytes=0):
        view = view_bytes(buf)[: nbytes or None]
        return await self._operate(self._sendloop.sock_recvfrom_into, sock, view)

    async def sock_sendall(self, sock, data):
        return await self._operate(self._sendloop.sock_sendall, sock, view_bytes(data))

    async def sock_sendto(self, sock, data, address):
        address = await self._resolve(sock, address)
        return await self._operate(self._sendloop.sock_sendto, sock, view_bytes(data), address)

    async def sock_connect(self, sock, address):
        if not isinstance(sock.fileno(), int):
            # Some tests pass a mock.
            return await super().sock_connect(sock, address)
        address = await self._resolve(sock, address)
        return await self._operate(self._sendloop.sock_connect, sock, address)

    async def sock_accept(self, sock):
        return await self._operate(self._sendloop.sock_accept, sock)

    async def _resolve(self, sock, address):
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return address
        resolved = await self._ensure_resolved(
            address, family=sock.family, type=sock.type, proto=sock.proto, loop=self
        )
        return resolved[0][4]

    async def _sock_sendfile_native(self, sock, file, offset, count):
        """Sends for `sock_sendfile`, and for `sendfile` on the socket of a transport."""
        try:
            fileno = file.fileno()
            os.fstat(fileno)
        except (AttributeError, OSError) as error:
            raise asyncio.SendfileNotAvailableError("not a regular file") from error
        arguments = self._shared(sock), sock.fileno(), fileno, offset, count
        return await self._on_sendloop(self._sendloop.sock_sendfile, *arguments)
