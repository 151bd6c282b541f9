"""The expected effect of each injected error, as what the caller sees and as a text.

faults.py writes the texts to the table in docs/RELIABILITY.md.
"""

import dataclasses
import errno

ERRORS = "EINTR EAGAIN ENOMEM ENOBUFS EMFILE ENFILE EIO EINVAL ENOSYS EPERM".split()
# No error, but no byte was moved and no event arrived. A kernel returns this for some calls only.
NOTHING = "0"
NOT_AVAILABLE = ("EINVAL", "ENOSYS", "EPERM")

# What a step reports: the OS error, the OS error inside one of sendloop's, a short result, and a
# wrong position.
SILENT, REPORTED, UNAVAILABLE, WRITE_ZERO, SHORT, MISPLACED = "", "errno", "unavailable", "WriteZero", "short", "misplaced"


@dataclasses.dataclass
class Rule:
    call: str
    errors: tuple = ()  # Empty: all errors without a rule above.
    caller_sees: str = SILENT
    effect: str = ""
    steps: tuple = ()  # Empty: all steps.
    in_trace: str = ""  # A text in the line of the trace.
    title: str = ""  # The purpose of the call, for the table.

    def holds(self, step, call, error, line):
        return (
            self.call in ("", call)
            and (not self.errors or error in self.errors)
            and (not self.steps or step in self.steps)
            and self.in_trace in line
        )

    def note(self, error):
        if self.caller_sees in (REPORTED, UNAVAILABLE):
            return f"{self.caller_sees} {getattr(errno, error)}"
        return self.caller_sees


PREFETCHES = ("prefetch", "prefetch_by_reads")

# The first rule that holds applies.
RULES = [
    Rule("", ("EINTR",), effect="the library repeats the call; no caller sees it", title="every call below"),
    Rule("accept4", ("EAGAIN",), effect="`sock_accept` waits for the next connection"),
    Rule("accept4", caller_sees=REPORTED, effect="`sock_accept` reports it; the next one takes the connection"),
    Rule("connect", ("EAGAIN",), effect="`sock_connect` retries every 5 ms: a full Unix listener causes no event"),
    Rule("connect", caller_sees=REPORTED, effect="`sock_connect` reports it"),
    Rule("recvfrom", steps=("signals",), effect="the loop reads it again in its next iteration; no signal is lost", title="of the signal pipe"),
    Rule("recvfrom", ("EAGAIN",), effect="the operation waits for data"),
    Rule("recvfrom", caller_sees=REPORTED, effect="the operation reports it; the next one gets the data"),
    Rule("sendto", ("EAGAIN",), effect="the operation waits for room"),
    Rule("sendto", (NOTHING,), WRITE_ZERO, "an error of kind `WriteZero`, without a retry"),
    Rule("sendto", caller_sees=REPORTED, effect="the operation reports it; a transfer leaves an exact position"),
    Rule("sendfile", effect="the thread reads the range by pread64", in_trace="/dev/null", title="of a prefetch"),
    Rule("sendfile", ("EAGAIN",), effect="the transfer waits for room"),
    Rule("sendfile", NOT_AVAILABLE, UNAVAILABLE, "`Unsupported`, with a `SendfileNotAvailableError`",
         steps=("no_fallback",), title="with `.fallback(false)`"),
    Rule("sendfile", NOT_AVAILABLE, effect="the fallback, from the current offset"),
    Rule("sendfile", (NOTHING,), SHORT, "the end of the file", steps=("no_fallback",), title="with `.fallback(false)`"),
    Rule("sendfile", (NOTHING,), effect="one read: the end of the file, or a file that sendfile cannot see"),
    Rule("sendfile", caller_sees=REPORTED, effect="the transfer reports it, with an exact position"),
    Rule("pread64", steps=PREFETCHES, effect="no effect: the send meets the same error", title="of a prefetch"),
    Rule("pread64", ("EINVAL",), effect="one more read, aligned for O_DIRECT", title="of the fallback"),
    Rule("pread64", (NOTHING,), SHORT, "the end of the file", title="of the fallback"),
    Rule("pread64", caller_sees=REPORTED, effect="the transfer reports it, with an exact position", title="of the fallback"),
    Rule("preadv2", ("EAGAIN",), effect="a miss: the executor prefetches the pages that mincore reports as missing"),
    Rule("preadv2", NOT_AVAILABLE, effect="no probe: the executor finds the file system, and another probe follows"),
    Rule("preadv2", effect="no effect: sendfile reports it"),
    Rule("cachestat", ("EPERM",), effect="no probe of this file: preadv2 or mincore follows"),
    Rule("cachestat", ("ENOSYS",), effect="no probe on this kernel: preadv2 or mincore follows"),
    Rule("cachestat", effect="no probe in this transfer: preadv2 or mincore follows"),
    Rule("mincore", effect="no probe: the executor prefetches everything first"),
    Rule("mmap", effect="no probe: the executor prefetches everything first", in_trace="MAP_SHARED", title="of a file, for mincore"),
    Rule("munmap", effect="no effect: the mapping stays until the process ends", title="after mincore"),
    Rule("lseek", caller_sees=MISPLACED, effect="the result stands; the position stays as it was"),
    Rule("statx", effect="the library calls fstat"),
    Rule("fcntl", caller_sees=REPORTED, effect="`Loop::new` reports it and leaves nothing open", in_trace="F_DUPFD", steps=("create_loops", "executor_of_two_threads"),
         title="a duplicate of the poller"),
    Rule("fcntl", effect="the transfer prefetches nothing more", in_trace="F_DUPFD", steps=PREFETCHES, title="a duplicate for a prefetch"),
    Rule("fcntl", effect="the executor finds the file system", in_trace="F_GET_SEALS",
         title="the seals of a file without a probe"),
    Rule("fcntl", effect="the fallback; sendfile if that gets no descriptor either", in_trace="F_DUPFD",
         steps=("probe", "no_probe"), title="a duplicate of such a file"),
    Rule("fcntl", caller_sees=REPORTED, effect="the transfer reports it, with an exact position", in_trace="F_DUPFD",
         title="a duplicate for the fallback"),
    Rule("fcntl", effect="the transfer makes the socket non-blocking", in_trace="<socket:", title="the flags of the socket"),
    Rule("fcntl", caller_sees=REPORTED, effect="the transfer reports it, with an exact position", title="the flags of the file"),
    Rule("epoll_wait", (NOTHING,), effect="an iteration without events"),
    Rule("epoll_wait", caller_sees=REPORTED, effect="`run_once` returns it, after the work that needs no event", steps=("iterations", "embedded", "embedded_timers"),
         title="in `run_once`"),
    Rule("epoll_wait", effect="logged; timers and messages are served; the next iteration comes 10 ms later", title="in a loop that runs"),
    Rule("epoll_ctl", effect="logged; the next iteration retries", in_trace="[timerfd]", title="to add the embedding timer"),
    Rule("timerfd_create", effect="logged; the loop's descriptor stays readable while timers wait, until a retry succeeds"),
    Rule("timerfd_settime", effect="the loop's descriptor stays readable until a retry succeeds"),
    Rule("epoll_ctl", caller_sees=REPORTED, effect="the operation that would wait reports it", in_trace="EPOLL_CTL_ADD",
         title="to add a descriptor"),
    Rule("epoll_ctl", effect="logged, and retried every 10 ms", in_trace="EPOLL_CTL_MOD", title="to re-arm a descriptor"),
    Rule("epoll_ctl", effect="logged; closing the descriptor removes it", in_trace="EPOLL_CTL_DEL", title="to remove a descriptor"),
    Rule("write", effect="logged; the next iteration reads the inbox", title="of a notification"),
    Rule("clone3", ("ENOSYS",), effect="the C library uses an older call", title="a thread of the executor"),
    Rule("clone3", effect="the loop retries until it succeeds", steps=("executor_of_two_threads",),
         title="one more thread of the executor"),
    Rule("clone3", caller_sees=REPORTED, effect="the job fails with a `TaskError` whose source it is; the next job retries",
         title="the executor's first thread"),
    Rule("getsockopt", effect="the socket counts as a stream socket other than TCP", in_trace="SO_PROTOCOL", title="the protocol of the socket"),
    Rule("getsockopt", caller_sees=REPORTED, effect="`Socket::new` reports it", title="the kind of the socket"),
    Rule("epoll_create1", caller_sees=REPORTED, effect="`Loop::new` reports it and leaves nothing open"),
    Rule("socketpair", caller_sees=REPORTED, effect="`add_signal_handler` reports it"),
    Rule("rt_sigaction", caller_sees=REPORTED, effect="`add_signal_handler` reports it", in_trace="sa_handler=0x",
         title="to install the handler"),
    Rule("rt_sigaction", effect="logged; the next signal restores the former disposition", title="to restore the former one"),
    Rule("eventfd2", caller_sees=REPORTED, effect="`Loop::new` reports it and leaves nothing open"),
]


def rule_for(step, call, error, line):
    """Returns the rule for the injected error in this line of the trace."""
    return next((rule for rule in RULES if rule.holds(step, call, error, line)), Rule(call, caller_sees="a rule is missing"))


def table():
    lines = ["| system call | injected | effect |", "|---|---|---|"]
    for rule in RULES:
        call = f"`{rule.call}`" if rule.call else ""
        title = ", ".join(filter(None, (call, rule.title)))
        errors = ", ".join(rule.errors) if rule.errors else "any other" if others(rule) else "any"
        lines.append(f"| {title} | {'nothing moved' if rule.errors == (NOTHING,) else errors} | {rule.effect} |")
    return "\n".join(lines) + "\n"


def others(rule):
    """Returns whether a rule above names errors of the same call."""
    above = RULES[1 : RULES.index(rule)]
    return any(other.call == rule.call and other.errors and other.title in ("", rule.title) for other in above)
