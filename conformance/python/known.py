"""The known differences from plain asyncio, with their reasons.

Kinds: `library` is a difference that no document states. `documented` is one that
docs/ASYNCIO.md states. `internals` is a test of asyncio's private parts.
"""

import re

KNOWN = []


def explain(variant, test):
    """Returns the kind and the reason of a difference, or None."""
    for variants, pattern, kind, why in KNOWN:
        if variant in variants.split("|") and re.search(pattern, test):
            return kind, why
    return None
