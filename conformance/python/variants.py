"""The variants of asyncio's loop that the tests run on."""

import asyncio
from asyncio import base_events, unix_events

from embedding import EmbedEventLoop
from scheduling import FullBaseEventLoop, FullEventLoop


def install(variant):
    """Makes asyncio and its tests create loops of the variant `embed` or `full`."""
    loop = {"embed": EmbedEventLoop, "full": FullEventLoop}[variant]
    for module in (asyncio, unix_events):
        module.SelectorEventLoop = loop
        if hasattr(module, "EventLoop"):
            module.EventLoop = loop
    unix_events._UnixDefaultEventLoopPolicy._loop_factory = loop
    if variant == "full":
        install_bases()


def install_bases():
    """Replaces the base class that tests use by itself, and the loop whose time they move."""
    base_events.BaseEventLoop = FullBaseEventLoop
    from test.test_asyncio import utils

    class TestLoop(utils.TestLoop):
        _manual_clock = True

        def advance_time(self, advance):
            super().advance_time(advance)
            self._sendloop.advance_clock(advance or 0.0)

    utils.TestLoop = TestLoop
