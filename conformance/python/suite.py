"""Runs one module of CPython's test.test_asyncio on one variant of the loop.

    suite.py MODULE plain|embed|full OUTPUT [--skip TEST]...

It appends one line of JSON to OUTPUT when a test begins, and one when it ends.
"""

import argparse
import faulthandler
import json
import os
import sys
import unittest

SECONDS_PER_TEST = 60


class Result(unittest.TextTestResult):
    """Writes the outcome of each test, and whether sendloop did any work for it."""

    test = None

    def startTest(self, test):
        super().startTest(test)
        self.test, self.outcome, self.why = test.id(), "passed", ""
        self.counts = counts()
        write(begin=self.test)
        faulthandler.dump_traceback_later(SECONDS_PER_TEST, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        used = counts() != self.counts
        write(test=self.test, outcome=self.outcome, why=self.why, on_sendloop=used)
        self.test = None
        super().stopTest(test)

    def note(self, test, outcome, why):
        if self.test is None:
            # The setup of a class or module failed, or a decorator skips a whole class.
            write(test=test.id(), outcome=outcome, why=why, on_sendloop=False)
        elif self.outcome != "failed":
            # One failed subtest fails the test.
            self.outcome, self.why = outcome, why

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "failed", self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failed", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failed", self._exc_info_to_string(err, test))

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "failed", "unexpected success")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)


def without(suite, skipped):
    """Returns the suite without some tests. The order stays, as class fixtures depend on it."""
    kept = unittest.TestSuite()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            kept.addTest(without(item, skipped))
        elif item.id() not in skipped:
            kept.addTest(item)
    return kept


def write(**fields):
    output.write(json.dumps(fields) + "\n")


# Some tests spawn processes that import this file.
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("variant")
    parser.add_argument("output")
    parser.add_argument("--skip", action="append", default=[])
    args = parser.parse_args()
    output = open(args.output, "a", buffering=1)
    counts = dict
    if args.variant != "plain":
        import sendloop_python
        import variants

        counts = sendloop_python.counts
        variants.install(args.variant)
    tests = unittest.defaultTestLoader.loadTestsFromName("test.test_asyncio." + args.module)
    runner = unittest.TextTestRunner(resultclass=Result, verbosity=0, warnings="default")
    runner.run(without(tests, args.skip))
    write(counts=counts())
    # A thread that a test left must not keep the process.
    os._exit(0)
