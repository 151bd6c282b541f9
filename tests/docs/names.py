"""Prints asyncio's public names, one a line:

    python3 tests/docs/names.py > tests/docs/names.txt

The methods of the classes that a user of a loop holds come first, then all exports of the module.
CPython 3.11 made the present file.
"""

import asyncio

CLASSES = [
    ("loop", asyncio.AbstractEventLoop),
    ("Handle", asyncio.Handle),
    ("TimerHandle", asyncio.TimerHandle),
    ("Future", asyncio.Future),
    ("Task", asyncio.Task),
]

for short, cls in CLASSES:
    for name in dir(cls):
        if not name.startswith("_"):
            print(f"{short}.{name}")

# TaskGroup is missing from __all__ in 3.11.
for name in sorted({*asyncio.__all__, "TaskGroup"}):
    if not name.startswith("_"):
        print(f"asyncio.{name}")
