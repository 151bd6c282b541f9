#!/usr/bin/env python3
"""Runs the steps of tests/faults.rs under strace, which fails chosen system calls.

Usage: faults.py [--all] [--only TEXT] [--write]

A case is a step, a system call, an error, and a time: the first such call of a thread, the second,
or every third. A case fails if the step hangs, spins, crashes, moves wrong bytes, or leaks
descriptors or memory. It also fails if the step meets other errors than faults/rules.py allows.

Without --all the script runs a part of the cases. --only runs the cases whose names contain TEXT.
--write updates the table in docs/RELIABILITY.md; otherwise the script compares the table.

A step runs once before strace attaches, so the counts cover only the second run.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent / "faults"))
import rules  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "RELIABILITY.md"
MARKS = "<!-- faults -->\n", "<!-- /faults -->\n"

WHENS = ["1", "2", "3+3"]
CALLS = """accept4 recvfrom sendto sendfile pread64 preadv2 cachestat mincore lseek statx fcntl
    epoll_wait epoll_pwait epoll_pwait2 epoll_ctl eventfd2""".split()
# An error that no caller sees, one that the caller sees, one that can mean "not available", and
# none.
SAMPLE_ERRORS = ["EINTR", "ENOMEM", "EINVAL", rules.NOTHING]
# After an EAGAIN of these calls the kernel owes an edge. It does not know of an EAGAIN by strace.
EDGE_CALLS = ["accept4", "recvfrom", "sendto", "sendfile"]

SECONDS = 30
# The time limit of a traced step, which takes about 20 ms without faults.
CPU_SECONDS = 2
# A step without errors makes fewer than 300 traced calls.
MAX_CALLS = 500
# The calls of a retry after an error. A retry of a cold file takes 35.
RETRY_CALLS = 35
# The growth of the memory. Without faults it is 0 to 120 bytes. No error added more than 24 bytes.
MAX_BYTES = 256


@dataclasses.dataclass
class Step:
    test: str
    # Faults of all calls of one kind, so that the step takes another path.
    always: tuple = ()
    more: dict = dataclasses.field(default_factory=dict)
    # Calls of the test itself, which prepare the step.
    own: tuple = ()
    # The only kind of descriptor on which a call fails.
    of: dict = dataclasses.field(default_factory=dict)
    # Calls whose first fault would end the test itself.
    not_first: tuple = ()
    # Replaces "every third call" if the step would never pass then.
    thirds: dict = dataclasses.field(default_factory=dict)


ERRORS_AND_NOTHING = [*rules.ERRORS, rules.NOTHING]
# These calls never wait.
MAPPING_ERRORS = [error for error in rules.ERRORS if error != "EINTR"]
TCP = ("accept4",)
# The fallback queries the flags of socket and file, and then duplicates the file.
FALLBACK_THIRDS = {"fcntl": "3+4"}
# After the flags, the transfer queries the seals, and duplicates the file for statfs and for reads.
# All of these calls fail.
NO_PROBE_THIRDS = {"fcntl": "3+1"}
PROBE = "files::sendfile_that_probes_the_page_cache"
STEPS = {
    "create_loops": Step("iterations::create_and_drop_loops", more={"epoll_create1": rules.ERRORS}),
    "timers": Step("iterations::timers"),
    "iterations": Step("iterations::single_iterations"),
    "threads": Step("iterations::threads", more={"write": ["EINTR"]}),
    "executor": Step("iterations::executor", more={"clone3": [e for e in rules.ERRORS if e != "ENOMEM"]}),
    "executor_of_two_threads": Step("iterations::executor_of_two_threads", more={"clone3": rules.ERRORS}),
    # Prints are writes, too.
    "threads_beside_a_timer": Step("iterations::threads_beside_a_timer", more={"write": rules.ERRORS}, of={"write": "anon_inode:[eventfd]"}),
    "signals": Step("iterations::signals", more={"write": ["EINTR"], "socketpair": rules.ERRORS, "rt_sigaction": ["EINVAL"]}),
    "fd_callbacks": Step("iterations::fd_callbacks"),
    # A poll without its event would be a run without its callback.
    "fd_callbacks_until_idle": Step("iterations::fd_callbacks_in_runs_until_idle", own=("epoll_wait",)),
    "embedded": Step("iterations::fd_callbacks_in_a_foreign_loop"),
    "embedded_timers": Step("iterations::timers_in_a_foreign_loop",
                            more={"timerfd_create": rules.ERRORS, "timerfd_settime": rules.ERRORS}),
    "accept": Step("streams::accept"),
    "connect": Step("streams::connect", more={"connect": rules.ERRORS}),
    "recv": Step("streams::recv", own=TCP),
    "sendall_in_pieces": Step("streams::sendall_in_pieces", own=TCP),
    "small_buffer": Step("streams::sendall_through_a_small_buffer"),
    "datagrams": Step("streams::datagrams"),
    "sendfile": Step("files::sendfile"),
    "no_fallback": Step("files::sendfile_without_the_fallback"),
    "small": Step("files::sendfile_of_small_parts", own=TCP, more={"getsockopt": rules.ERRORS}),
    "header": Step("files::sendfile_with_a_header", own=(*TCP, "sendfile")),
    # If the file system supports no probe, this is the same as "no_probe".
    "probe": Step(PROBE, thirds=NO_PROBE_THIRDS),
    "fallback": Step("files::sendfile", always=("sendfile:error=ENOSYS",), thirds=FALLBACK_THIRDS),
    # The thread of the peer maps its signal stack first, and needs it.
    "probe_miss": Step(PROBE, always=("preadv2:error=EAGAIN",), not_first=("mmap",),
                       more={"mmap": MAPPING_ERRORS, "munmap": MAPPING_ERRORS}),
    # Without mincore, the transfer prefetches everything. Without /dev/null, it copies.
    "prefetch": Step(PROBE, always=("preadv2:error=EAGAIN", "mincore:error=ENOMEM")),
    "prefetch_by_reads": Step(PROBE, always=("preadv2:error=EAGAIN", "mincore:error=ENOMEM", "openat:error=EACCES")),
    "no_probe": Step(PROBE, always=("preadv2:error=EOPNOTSUPP",), thirds=NO_PROBE_THIRDS),
}


@dataclasses.dataclass(frozen=True)
class Case:
    step: str
    call: str = ""
    error: str = ""
    when: str = ""

    def __str__(self):
        return "/".join(filter(None, (self.step, self.call, self.error, self.when)))

    def injections(self):
        for always in STEPS[self.step].always:
            if always.split(":")[0] != self.call:
                yield always
        if self.call:
            answer = "retval=0" if self.error == rules.NOTHING else f"error={self.error}"
            yield f"{self.call}:{answer}:when={self.when}"


@dataclasses.dataclass
class Played:
    """What one run of a step printed and which calls it made."""

    ended: str = ""
    output: str = ""
    errors: str = ""
    trace: list = dataclasses.field(default_factory=list)

    def notes(self, word):
        return [line.removeprefix(word + " ") for line in self.output.splitlines() if line.startswith(word + " ")]

    def number(self, word):
        return int(next(iter(self.notes(word)), 0))

    def calls(self):
        names = (re.match(r"\d+ +(\w+)\(", line) for line in self.trace)
        # An old strace shows unknown calls by number, and cannot fail them.
        known = (name[1] for name in names if name and not name[1].startswith("syscall_"))
        return collections.Counter(known)


class Player:
    def __init__(self, binary):
        self.binary = binary
        self.calls = known_calls()

    def play(self, case):
        with tempfile.TemporaryDirectory() as folder:
            return self.play_in(case, pathlib.Path(folder))

    def play_in(self, case, folder):
        environment = dict(os.environ, SENDLOOP_FAULTS="1", RUST_BACKTRACE="0")
        if case.error == "EAGAIN" and case.call in EDGE_CALLS:
            environment["SENDLOOP_FAULTS_OWED"] = "1"
        name = f"faults::{STEPS[case.step].test}"
        command = [self.binary, "--exact", name, "--nocapture", "--test-threads=1"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with open(folder / "errors", "w") as errors, subprocess.Popen(
            command, env=environment, stderr=errors, **pipes
        ) as process:
            ended = self.attach_and_wait(case, process, folder)
            output = process.stdout.read()
        trace = folder / "trace"
        lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
        return Played(ended, output, (folder / "errors").read_text(), list(joined(lines)))

    def attach_and_wait(self, case, process, folder):
        """Returns how the step failed, or an empty text."""
        killed = []

        def kill():
            killed.append(cpu_seconds(process.pid))
            process.kill()

        timer = threading.Timer(SECONDS, kill)
        timer.start()
        try:
            ready = any(line == "ready\n" for line in iter(process.stdout.readline, ""))
            if not ready:
                return "fails before any fault"
            with self.strace(case, process.pid, folder) as strace:
                attached = strace.stderr.readline()
                if " attached" not in attached:
                    process.kill()
                    sys.exit(f"strace: {attached}{strace.stderr.read()}")
                process.stdin.write("go\n")
                process.stdin.flush()
                process.wait()
                strace.stderr.read()
        finally:
            timer.cancel()
        if killed:
            return f"{'spins' if killed[0] > CPU_SECONDS else 'hangs'}: {SECONDS} s, {killed[0]:.1f} s of CPU time"
        return "" if process.returncode == 0 else f"ends with {process.returncode}"

    def strace(self, case, pid, folder):
        step = STEPS[case.step]
        # strace fails only calls that it traces.
        traced = {*self.calls, *step.more, *(always.split(":")[0] for always in step.always)}
        command = ["strace", "-f", "-y", "-o", folder / "trace", "-e", "trace=" + ",".join(sorted(traced))]
        for injection in case.injections():
            command += ["-e", f"inject={injection}"]
        if of := step.of.get(case.call):
            command += ["-P", of]
        return subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)


def joined(lines):
    """Joins the two lines of a call that another thread interrupted."""
    begun = {}
    for line in lines:
        thread, _, text = line.partition(" ")
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
        else:
            resumed = re.match(r" *<\.\.\. \w+ resumed>", text)
            yield f"{thread} {begun.pop(thread, '') + text[resumed.end():] if resumed else text}"


def cpu_seconds(pid):
    """Returns the CPU time in seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def known_calls():
    """Returns the calls that this strace knows. Old versions lack cachestat and some epoll_wait."""
    answers = [subprocess.run(["strace", "-e", f"trace={call}", "true"], capture_output=True) for call in CALLS]
    return [call for call, answer in zip(CALLS, answers) if answer.returncode == 0]


def errors_for(step, call):
    """Returns the errors to inject. "Nothing moved" is one if a kernel can return it for the call."""
    if call in STEPS[step].more:
        return STEPS[step].more[call]
    # An empty read of the first block is the end of the file. The reader repeats a later one, which
    # it made ahead.
    if call == "pread64" and step in ("probe", "no_probe"):
        return rules.ERRORS
    may_move_nothing = {"epoll_wait", "sendfile", "sendto", "pread64", "preadv2"} - ({"sendto"} if step == "datagrams" else set())
    return ERRORS_AND_NOTHING if call in may_move_nothing else rules.ERRORS


def cases_of(step, calls):
    """Returns all cases of a step that makes `counts` calls without faults."""
    for call, count in sorted(calls.items()):
        if call in STEPS[step].own or any(always.startswith(call + ":") for always in STEPS[step].always):
            continue
        for when in WHENS[: min(count, 3)]:
            if when == "1" and call in STEPS[step].not_first:
                continue
            for error in errors_for(step, call):
                if when == "3+3":
                    when = STEPS[step].thirds.get(call, when)
                # A call that always fails with EINTR would never end.
                if (error, when) != ("EINTR", "3+1"):
                    yield Case(step, call, error, when)


def rules_met(case, played):
    """Returns the rule for each injected error."""
    injected = [line for line in played.trace if line.endswith("(INJECTED)") and f" {case.call}(" in line]
    return [rules.rule_for(case.step, case.call, case.error, line) for line in injected]


def faults_of(case, played, undisturbed):
    """Yields what is wrong with a run of a case."""
    if played.ended:
        yield played.ended
        return
    expected = sorted(filter(None, (rule.note(case.error) for rule in rules_met(case, played))))
    met = sorted(played.notes("met"))
    if met != expected:
        yield f"the caller saw {met or 'nothing'}, expected {expected or 'nothing'}"
    if played.number("memory") > undisturbed.number("memory") + MAX_BYTES:
        yield f"{played.number('memory')} bytes leaked"
    if played.number("descriptors"):
        yield f"{played.number('descriptors')} descriptors leaked"
    if played.number("cpu") > CPU_SECONDS * 1000:
        yield f"it used {played.number('cpu')} ms of CPU time, at most {CPU_SECONDS * 1000} are allowed"
    allowed = MAX_CALLS + RETRY_CALLS * len(played.notes("met"))
    if len(played.trace) > allowed:
        yield f"it made {len(played.trace)} calls, at most {allowed} are allowed"


def sample(cases):
    """Yields a sample of the cases.

    It has the last `when` of each step and call with the sample errors, each call with each error
    at least once, and the first `when` with ENOMEM.
    """
    groups = collections.defaultdict(list)
    for case in cases:
        groups[case.step, case.call].append(case)
    seen = set()
    for group in groups.values():
        for case in group:
            new = (case.call, case.error) not in seen
            if case.when == group[-1].when and (new or case.error in SAMPLE_ERRORS):
                seen.add((case.call, case.error))
                yield case
            elif (case.when, case.error) == ("1", "ENOMEM"):
                yield case


def build():
    # A release build: with debug assertions, the standard library checks each close by a call.
    command = "cargo test --locked --release --no-run --test faults --message-format=json".split()
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    messages = map(json.loads, built.stdout.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "faults")


def show(case, played, wrong):
    print(f"{case}: {'; '.join(wrong)}", flush=True)
    for line in [*played.errors.splitlines()[-8:], *played.trace[-12:]]:
        print(f"    {line[:160]}")


def run(pool, player, only, everything):
    undisturbed = dict(zip(STEPS, pool.map(player.play, map(Case, STEPS))))
    for step, played in undisturbed.items():
        if played.ended or played.notes("met"):
            show(Case(step), played, [played.ended or "the caller saw errors without a fault"])
            return 1
    cases = [case for step, played in undisturbed.items() for case in cases_of(step, played.calls())]
    chosen = cases if everything else list(sample(cases))
    chosen = [case for case in (cases if only else chosen) if only in str(case)]
    failed, idle, injected, met = 0, 0, collections.Counter(), []
    for case, played in zip(chosen, pool.map(player.play, chosen)):
        wrong = list(faults_of(case, played, undisturbed[case.step]))
        rules_hit = rules_met(case, played)
        injected[case.call] += len(rules_hit)
        met += rules_hit
        idle += not rules_hit
        if wrong:
            show(case, played, wrong)
            failed += 1
    print(f"{len(chosen)} cases of {len(cases)}, {failed} failed; {len(met)} errors were injected; "
          f"{idle} cases made no such call this time")
    # A rule without a case proves nothing.
    untried = [call for call, count in injected.items() if not count]
    if everything:
        unknown = set(CALLS) - set(player.calls)
        tried = [rule for rule in rules.RULES if rule.call not in unknown]
        untried += [f"{rule.call} {rule.title} {rule.errors}" for rule in tried if rule not in met]
    for what in untried:
        print(f"no case injected: {what}")
    return int(failed > 0 or bool(untried) or not chosen)


def table_is_right(write):
    before, begin, rest = PAGE.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    text = before + begin + rules.table() + end + after
    if write:
        PAGE.write_text(text)
    return text == PAGE.read_text()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if not table_is_right(options.write):
        sys.exit("the table in docs/RELIABILITY.md differs from tests/faults/rules.py; run tests/faults.py --write")
    player = Player(build())
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = run(pool, player, options.only, options.all)
        pool.shutdown(cancel_futures=True)
    print(f"in {time.monotonic() - start:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
