"""asyncio's callbacks, timers, descriptors, signals and executor on sendloop."""

import asyncio
import collections
import functools
import signal
import threading
import time
from asyncio import base_events, coroutines, events

import sendloop_python
from operations import OperationFuture, SocketOperations


class RunQueue(collections.deque):
    """Stands in for asyncio's `_ready`. It stays empty: sendloop queues what asyncio appends."""

    def __init__(self, event_loop):
        super().__init__()
        self._event_loop = event_loop
        self._remote = event_loop.remote()
        self._owner = threading.get_ident()

    def append(self, handle):
        if threading.get_ident() == self._owner:
            self._event_loop.call_soon(handle)
        else:
            self._remote.call_soon_threadsafe(handle)

    def __bool__(self):
        # Some tests run a loop until its queue is empty.
        return self._event_loop.is_due()


class Scheduling:
    """A mixin for a BaseEventLoop: sendloop runs its handles."""

    _manual_clock = False

    def __init__(self, *args, **kwargs):
        now = 0.0 if self._manual_clock else time.monotonic()
        self._sendloop = sendloop_python.EventLoop(now, self._manual_clock)
        self._owner = threading.get_ident()
        self._timer_entries = {}
        super().__init__(*args, **kwargs)
        self._ready = RunQueue(self._sendloop)

    def _run_handle(self, handle):
        """Runs a handle, as the end of asyncio's `_run_once` does. sendloop calls it."""
        self._timer_entries.pop(id(handle), None)
        if handle.cancelled():
            return
        if not self._debug:
            handle._run()
            return
        self._current_handle = handle
        try:
            start = self.time()
            handle._run()
            took = self.time() - start
        finally:
            self._current_handle = None
        if took >= self.slow_callback_duration:
            text = base_events._format_handle(handle)
            base_events.logger.warning("Executing %s took %.3f seconds", text, took)

    def _run_once(self):
        # The bound is for tests that put a handle into asyncio's own queue: they fail soon.
        self._sendloop.run_once(0.0 if self._manual_clock else 0.05)

    def call_at(self, when, callback, *args, context=None):
        handle = super().call_at(when, callback, *args, context=context)
        self._scheduled.pop()
        if handle._source_traceback:
            # The frame of this method.
            del handle._source_traceback[-1]
        # asyncio lets other threads call this if debug mode is off.
        self._call_on_own_thread(self._start_timer, handle)
        return handle

    def _start_timer(self, handle):
        if not handle.cancelled():
            self._timer_entries[id(handle)] = self._sendloop.call_at(handle.when(), handle)

    def _timer_handle_cancelled(self, handle):
        self._call_on_own_thread(self._cancel_timer, id(handle))

    def _cancel_timer(self, key):
        timer = self._timer_entries.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _call_on_own_thread(self, function, argument):
        if threading.get_ident() == self._owner:
            function(argument)
        else:
            self._ready.append(events.Handle(function, (argument,), self))

    def run_in_executor(self, executor, func, *args):
        if executor is not None or self._default_executor is not None:
            return super().run_in_executor(executor, func, *args)
        self._check_closed()
        if self._debug:
            self._check_callback(func, "run_in_executor")
        self._check_default_executor()
        future = OperationFuture(loop=self)
        work = functools.partial(func, *args)
        future.operation = self._sendloop.run_in_executor(future, work)
        return future

    async def shutdown_default_executor(self, *args, **kwargs):
        await super().shutdown_default_executor(*args, **kwargs)
        future = OperationFuture(loop=self)
        future.operation = self._sendloop.shutdown_default_executor(future)
        await future

    def close(self):
        super().close()
        self._sendloop.close()


class FullBaseEventLoop(Scheduling, base_events.BaseEventLoop):
    """The loop for the tests of `BaseEventLoop`, which run iterations one by one."""


class FullEventLoop(Scheduling, SocketOperations, asyncio.SelectorEventLoop):
    """asyncio's loop with all operations and all scheduling on sendloop."""

    def _run_once(self):
        """Runs until `stop`. `BaseEventLoop.run_forever` calls this once, as it ends stopped."""
        old_wakeup = None
        if threading.current_thread() is threading.main_thread():
            # Python's handler of SIGINT runs only if the descriptor wakes sendloop's wait.
            wakeup = self._csock.fileno()
            old_wakeup = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        try:
            self._sendloop.run_forever()
        finally:
            if old_wakeup is not None:
                signal.set_wakeup_fd(old_wakeup)
        self._stopping = True

    def stop(self):
        super().stop()
        self._sendloop.stop()

    def _write_to_self(self):
        """Does nothing: a call from another thread wakes sendloop by itself."""

    def _add(self, add, fd, callback, args):
        self._check_closed()
        handle = events.Handle(callback, args, self, None)
        fd = fd.fileno() if hasattr(fd, "fileno") else fd
        if not isinstance(fd, int):
            raise ValueError(f"Invalid file object: {fd!r}")
        add(fd, handle)
        return handle

    def _remove(self, remove, fd):
        fd = fd.fileno() if hasattr(fd, "fileno") else fd
        # Some tests pass a mock.
        return not self.is_closed() and isinstance(fd, int) and remove(fd)

    def _add_reader(self, fd, callback, *args):
        return self._add(self._sendloop.add_reader, fd, callback, args)

    def _add_writer(self, fd, callback, *args):
        return self._add(self._sendloop.add_writer, fd, callback, args)

    def _remove_reader(self, fd):
        return self._remove(self._sendloop.remove_reader, fd)

    def _remove_writer(self, fd):
        return self._remove(self._sendloop.remove_writer, fd)

    def add_signal_handler(self, sig, callback, *args):
        if coroutines.iscoroutine(callback) or coroutines.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_closed()
        handle = events.Handle(callback, args, self, None)
        try:
            self._sendloop.add_signal_handler(sig, handle)
        except (ValueError, OSError) as error:
            raise RuntimeError(f"sig {sig} cannot be caught") from error
        # asyncio's `close` removes what it finds here.
        self._signal_handlers[sig] = handle

    def remove_signal_handler(self, sig):
        self._check_signal(sig)
        self._signal_handlers.pop(sig, None)
        return self._sendloop.remove_signal_handler(sig)
