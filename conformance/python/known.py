"""The known differences from plain asyncio, with their reasons.

Kinds: `library` is a difference that no document states. `documented` is one that
docs/ASYNCIO.md states. `internals` is a test that depends on asyncio's implementation.
"""

import re

KNOWN = [
    (
        "full",
        r"test_events\..*\.test_call_soon_threadsafe$",
        "documented",
        "a call from another thread joins the queue when the next iteration begins, so a callback "
        "that the loop's thread queued after it runs first",
    ),
    (
        "embed|full",
        r"\.test_sock_sendfile_not_available$",
        "internals",
        "the test replaces asyncio.unix_events.os by a mock without sendfile",
    ),
    (
        "full",
        r"\.test_sock_sendfile_blocking_error$",
        "internals",
        "the test calls a private step of asyncio and looks into its selector",
    ),
    (
        "full",
        r"\.SelectorEventLoopSignalTests\.",
        "internals",
        "the test expects calls of a mock of asyncio.unix_events.signal",
    ),
    (
        "full",
        r"\.BaseEventLoopTests\.(test__add_callback_handle|test_call_soon|test_call_later)$",
        "internals",
        "the test looks for the handle in asyncio's own queues",
    ),
    (
        "full",
        r"\.BaseEventLoopTests\.test__run_once",
        "internals",
        "the test puts handles into asyncio's own queue of timers",
    ),
    (
        "full",
        r"\.BaseEventLoopTests\.(test_run_forever_pre_stopped"
        r"|test_single_selecter_event_callback_after_stopping"
        r"|test_custom_run_forever_integration)$",
        "internals",
        "the test expects calls of a mock of the selector or of _process_events",
    ),
]


def explain(variant, test):
    """Returns the kind and the reason of a difference, or None."""
    for variants, pattern, kind, why in KNOWN:
        if variant in variants.split("|") and re.search(pattern, test):
            return kind, why
    return None
