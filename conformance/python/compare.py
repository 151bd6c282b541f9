"""Compares CPython's tests of asyncio on sendloop with the same tests on plain asyncio.

    compare.py OUTPUT_FOLDER [--modules a,b]

It ends with 1 if `known.py` does not explain a difference, or if sendloop's path did not run.
"""

import argparse
import collections
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import known

MODULES = (
    "test_sock_lowlevel,test_sendfile,test_events,test_base_events,test_unix_events,"
    "test_tasks,test_futures,test_queues,test_locks"
)
OPERATIONS = (
    "sock_accept sock_connect sock_recv sock_recv_into sock_recvfrom sock_recvfrom_into "
    "sock_sendall sock_sendfile sock_sendto sendfile(2)"
).split()
# What sendloop must have done in the tests of all modules together.
NEEDED = {
    "embed": OPERATIONS + ["iterations of the embedded loop"],
    "full": OPERATIONS + ["handles", "run_in_executor", "shutdown_default_executor"],
}
SUITE = Path(__file__).with_name("suite.py")
# Each test that hangs or ends the process costs one more run of its module.
MAX_RUNS = 12


class Run:
    """The outcomes of one module on one variant."""

    def __init__(self, module, variant, folder):
        self.tests = {}
        self.counts = collections.Counter()
        self._command = [sys.executable, str(SUITE), module, variant]
        self._log = folder / f"{module}.{variant}.log"
        skipped = []
        for _ in range(MAX_RUNS):
            ended_in = self._run_without(skipped)
            if ended_in is None:
                return
            skipped.append(ended_in)

    def _run_without(self, skipped):
        """Runs the module once. Returns the test that hung or ended the process, if any."""
        begun, complete = None, False
        for entry in self._entries(skipped):
            if "begin" in entry:
                begun = entry["begin"]
            elif "test" in entry:
                begun = None
                self.tests[entry["test"]] = entry
            else:
                complete = True
                self.counts.update(entry["counts"])
        if begun is not None:
            why = "it hung or ended the process"
            self.tests[begun] = {"outcome": "failed", "why": why, "on_sendloop": False}
        elif not complete:
            sys.exit(f"a run ended between two tests: {self._log}")
        return begun

    def _entries(self, skipped):
        with tempfile.TemporaryDirectory() as folder, open(self._log, "a") as log:
            output = Path(folder, "output")
            command = self._command + [str(output)]
            for test in skipped:
                command += ["--skip", test]
            # Its own session: workers that a test forked and left are killed with it.
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )
            process.wait()
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            lines = output.read_text().splitlines() if output.exists() else []
            return [json.loads(line) for line in lines]

    def number(self, outcome):
        return sum(test["outcome"] == outcome for test in self.tests.values())

    def passing(self):
        return {name for name, test in self.tests.items() if test["outcome"] == "passed"}

    def number_on_sendloop(self):
        return sum(test["on_sendloop"] for test in self.tests.values())

    def summary(self):
        names = ("passed", "failed", "skipped")
        return ", ".join(f"{self.number(name)} {name}" for name in names)


def differences(plain, here):
    """Yields the name, both outcomes and the reason of each test that differs."""
    missing = {"outcome": "missing", "why": ""}
    for test in sorted(plain.tests | here.tests):
        there, this = plain.tests.get(test, missing), here.tests.get(test, missing)
        if there["outcome"] != this["outcome"]:
            yield test, there["outcome"], this["outcome"], this["why"]


class Comparison:
    """The comparison of one variant with plain asyncio, over all modules."""

    def __init__(self, variant):
        self.variant = variant
        self.passed = self.passed_plain = 0
        self.counts = collections.Counter()
        self.explained = collections.defaultdict(list)
        self.failures = []

    def add(self, module, plain, here):
        on_sendloop = here.number_on_sendloop()
        print(f"{self.variant:5} {module}: {here.summary()} (plain: {plain.summary()}); "
              f"sendloop ran in {on_sendloop} tests", flush=True)
        passing = plain.passing()
        if not passing:
            self.failures.append(f"{module}: no test passes on plain asyncio")
        self.passed += len(passing & here.passing())
        self.passed_plain += len(passing)
        self.counts.update(here.counts)
        if self.variant == "full" and on_sendloop == 0:
            self.failures.append(f"{module}: sendloop ran in no test")
        for test, there, this, why in differences(plain, here):
            found = known.explain(self.variant, test)
            if found:
                self.explained[found].append(test.rpartition(".")[2])
            else:
                last = why.strip().rpartition("\n")[2][:200]
                self.failures.append(f"not in known.py: {test}: {there} -> {this}: {last}")

    def report(self, version, needed):
        self.failures += [f"{name} never ran" for name in needed if not self.counts[name]]
        print(f"CPython {version}, {self.variant}: {self.passed} of {self.passed_plain} tests "
              f"pass; plain asyncio passes all of them")
        print(f"  counts: {dict(self.counts)}")
        for (kind, why), tests in sorted(self.explained.items()):
            print(f"  {kind}: {', '.join(dict.fromkeys(tests))}: {why}")
        for failure in self.failures:
            print(f"  {failure}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--modules", default=MODULES)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for old in args.folder.glob("*.log"):
        old.unlink()
    comparisons = [Comparison("embed"), Comparison("full")]
    for module in args.modules.split(","):
        plain = Run(module, "plain", args.folder)
        for comparison in comparisons:
            comparison.add(module, plain, Run(module, comparison.variant, args.folder))
    for comparison in comparisons:
        needed = NEEDED[comparison.variant] if args.modules == MODULES else []
        comparison.report(platform.python_version(), needed)
    return any(comparison.failures for comparison in comparisons)


if __name__ == "__main__":
    sys.exit(main())
