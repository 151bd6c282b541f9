"""asyncio's loop with a sendloop loop embedded in it."""

import asyncio
import time

import sendloop_python
from operations import SocketOperations


class EmbedEventLoop(SocketOperations, asyncio.SelectorEventLoop):
    """asyncio schedules, sendloop does the `sock_*` operations.

    sendloop's descriptor is readable when an iteration is due, so one reader is the whole glue.
    """

    _sendloop = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._sendloop = sendloop_python.EventLoop(time.monotonic())
        self._add_reader(self._sendloop.fileno(), self._sendloop.run_embedded)

    def close(self):
        if not self.is_running() and not self.is_closed():
            self._remove_reader(self._sendloop.fileno())
            self._sendloop.close()
        super().close()
