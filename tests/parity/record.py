"""Records the order of events in CPython's asyncio, with which `cargo test --test parity` compares.

    python3 tests/parity/record.py             runs every scenario and writes tests/parity/traces.txt
    python3 tests/parity/record.py --check     prints the differences from that file; fails if any
    python3 tests/parity/record.py WORD ...    prints the traces of scenarios whose names contain WORD

It needs Python 3.11 or later on a Unix system, and its standard library only.

A scenario is a function `name(loop, record)`, plain or `async`, with the decorator `@scenario`. It
is in the file of its group: order.py, tasks.py and so on. Each scenario gets a fresh loop, and
records short words. Its Rust twin has the same name, in the .rs file of the same name. To add a
scenario, write both, run this script, and run the test.

The words must be the same in every run: no times, no addresses, and nothing that depends on the
load.
A callback must not race with a sleeping task, which resumes one iteration after its timer.
"""

import sys

sys.dont_write_bytecode = True

import pathlib

# Importing a group registers its scenarios, in the order of the written file.
import order, tasks, waits, cancel, timers, sockets, connections, sendfile, fd_callbacks, signals, datagrams, events  # noqa: E401, F401
from registry import SCENARIOS, run

TRACES = pathlib.Path(__file__).with_name("traces.txt")


def record(wanted=("",)):
    names = [name for name in SCENARIOS if any(word in name for word in wanted)]
    return {name: " ".join(run(SCENARIOS[name])) for name in names}


def recorded():
    lines = TRACES.read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def check():
    now, before = record(), recorded()
    differing = [name for name in {**before, **now} if now.get(name) != before.get(name)]
    for name in differing:
        print(f"{name}\n  recorded: {before.get(name, '(nothing)')}\n  now:      {now.get(name, '(nothing)')}")
    print(f"{len(now)} scenarios, {len(differing)} differ")
    return 1 if differing else 0


def main(arguments):
    if arguments == ["--check"]:
        return check()
    traces = record(arguments or ("",))
    lines = "".join(f"{name}: {words}\n" for name, words in traces.items())
    if arguments:
        print(lines, end="")
    else:
        TRACES.write_text(lines)
        print(f"{len(traces)} scenarios recorded in {TRACES}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
