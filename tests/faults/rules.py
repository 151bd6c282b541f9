"""The expected effect of each injected error: what the caller sees, and the same in words.

faults.py writes the words to the table in docs/RELIABILITY.md.
"""

import dataclasses
import errno

ERRORS = "EINTR EAGAIN ENOMEM ENOBUFS EMFILE ENFILE EIO EINVAL ENOSYS EPERM".split()
# No error, but no byte moved and no event came. For other calls this would misstate what the kernel did.
NOTHING = "0"
NOT_AVAILABLE = ("EINVAL", "ENOSYS", "EPERM")

# The notes of a step: the error, the error inside one of sendloop's, a result that is too short.
SILENT, REPORTED, UNAVAILABLE, WRITE_ZERO, SHORT, MISPLACED = "", "errno", "unavailable", "WriteZero", "short", "misplaced"


@dataclasses.dataclass
class Rule:
    call: str
    errors: tuple = ()  # Empty: all that no rule above names.
    meets: str = SILENT
    says: str = ""
    steps: tuple = ()  # Empty: all.
    like: str = ""  # A part of the line of the trace.
    title: str = ""  # The purpose of the call, for the table.

    def holds(self, step, call, error, line):
        return (
            self.call in ("", call)
            and (not self.errors or error in self.errors)
            and (not self.steps or step in self.steps)
            and self.like in line
        )

    def note(self, error):
        if self.meets in (REPORTED, UNAVAILABLE):
            return f"{self.meets} {getattr(errno, error)}"
        return self.meets


READS_IN = ("cold", "copied")

# The first match counts.
RULES = [
    Rule("", ("EINTR",), says="the library repeats the call; no caller sees it", title="every call below"),
    Rule("accept4", ("EAGAIN",), says="`sock_accept` waits for the next connection"),
    Rule("accept4", meets=REPORTED, says="`sock_accept` reports it; the next one takes the connection"),
    Rule("connect", ("EAGAIN",), says="`sock_connect` retries every 5 ms: a full Unix listener causes no event"),
    Rule("connect", meets=REPORTED, says="`sock_connect` reports it"),
    Rule("recvfrom", steps=("signals",), says="the loop reads it again in its next iteration; no signal is lost", title="of the signal pipe"),
    Rule("recvfrom", ("EAGAIN",), says="the operation waits for data"),
    Rule("recvfrom", meets=REPORTED, says="the operation reports it; the next one gets the data"),
    Rule("sendto", ("EAGAIN",), says="the operation waits for room"),
    Rule("sendto", (NOTHING,), WRITE_ZERO, "an error of kind `WriteZero`, without a retry"),
    Rule("sendto", meets=REPORTED, says="the operation reports it; a transfer leaves an exact position"),
    Rule("sendfile", says="the thread reads the range by pread64", like="/dev/null", title="of a prefetch"),
    Rule("sendfile", ("EAGAIN",), says="the transfer waits for room"),
    Rule("sendfile", NOT_AVAILABLE, UNAVAILABLE, "`Unsupported`, with a `SendfileNotAvailableError`",
         steps=("no_fallback",), title="with `.fallback(false)`"),
    Rule("sendfile", NOT_AVAILABLE, says="the fallback, from the current offset"),
    Rule("sendfile", (NOTHING,), SHORT, "the end of the file", steps=("no_fallback",), title="with `.fallback(false)`"),
    Rule("sendfile", (NOTHING,), says="one read: the end of the file, or a file that sendfile cannot see"),
    Rule("sendfile", meets=REPORTED, says="the transfer reports it, with an exact position"),
    Rule("pread64", steps=READS_IN, says="no effect: the send meets the same error", title="of a prefetch"),
    Rule("pread64", ("EINVAL",), says="one more read, aligned for O_DIRECT", title="of the fallback"),
    Rule("pread64", (NOTHING,), SHORT, "the end of the file", title="of the fallback"),
    Rule("pread64", meets=REPORTED, says="the transfer reports it, with an exact position", title="of the fallback"),
    Rule("preadv2", ("EAGAIN",), says="a miss: the executor prefetches the pages that mincore reports as missing"),
    Rule("preadv2", NOT_AVAILABLE, says="no probe: the executor finds the file system, and another probe follows"),
    Rule("preadv2", says="no effect: sendfile reports it"),
    Rule("cachestat", ("EPERM",), says="no probe of this file: preadv2 or mincore follows"),
    Rule("cachestat", ("ENOSYS",), says="no probe on this kernel: preadv2 or mincore follows"),
    Rule("cachestat", says="no probe in this transfer: preadv2 or mincore follows"),
    Rule("mincore", says="no probe: the executor prefetches everything first"),
    Rule("lseek", meets=MISPLACED, says="the result stands; the position stays as it was"),
    Rule("statx", says="the library calls fstat"),
    Rule("fcntl", meets=REPORTED, says="`Loop::new` reports it and leaves nothing open", like="F_DUPFD", steps=("making_loops", "meeting"),
         title="a duplicate of the poller"),
    Rule("fcntl", says="the transfer prefetches nothing more", like="F_DUPFD", steps=READS_IN, title="a duplicate for a prefetch"),
    Rule("fcntl", says="the executor finds the file system", like="F_GET_SEALS",
         title="the seals of a file without a probe"),
    Rule("fcntl", says="the fallback; sendfile if that gets no descriptor either", like="F_DUPFD",
         steps=("looking", "unanswered"), title="a duplicate of such a file"),
    Rule("fcntl", meets=REPORTED, says="the transfer reports it, with an exact position", like="F_DUPFD",
         title="a duplicate for the fallback"),
    Rule("fcntl", says="the transfer makes the socket non-blocking", like="<socket:", title="the flags of the socket"),
    Rule("fcntl", meets=REPORTED, says="the transfer reports it, with an exact position", title="the flags of the file"),
    Rule("epoll_wait", (NOTHING,), says="an iteration without events"),
    Rule("epoll_wait", meets=REPORTED, says="`run_once` returns it, after the work that needs no event", steps=("single_turns", "embedded", "embedded_timers"),
         title="in `run_once`"),
    Rule("epoll_wait", says="logged; timers and messages are served; the next iteration comes 10 ms later", title="in a loop that runs"),
    Rule("epoll_ctl", says="logged; the next iteration retries", like="[timerfd]", title="to add the embedding timer"),
    Rule("timerfd_create", says="logged; the loop's descriptor stays readable while timers wait, until a retry succeeds"),
    Rule("timerfd_settime", says="the loop's descriptor stays readable until a retry succeeds"),
    Rule("epoll_ctl", meets=REPORTED, says="the operation that would wait reports it", like="EPOLL_CTL_ADD",
         title="to add a descriptor"),
    Rule("epoll_ctl", says="logged, and retried every 10 ms", like="EPOLL_CTL_MOD", title="to re-arm a descriptor"),
    Rule("epoll_ctl", says="logged; closing the descriptor removes it", like="EPOLL_CTL_DEL", title="to remove a descriptor"),
    Rule("write", says="logged; the next iteration reads the inbox", title="of a notification"),
    Rule("clone3", ("ENOSYS",), says="the C library uses an older call", title="a thread of the executor"),
    Rule("clone3", says="the loop retries until it succeeds", steps=("meeting",),
         title="one more thread of the executor"),
    Rule("clone3", meets=REPORTED, says="the job fails with a `TaskError` whose source it is; the next job retries",
         title="the executor's first thread"),
    Rule("getsockopt", says="the socket counts as a stream socket other than TCP", like="SO_PROTOCOL", title="the protocol of the socket"),
    Rule("getsockopt", meets=REPORTED, says="`Socket::new` reports it", title="the kind of the socket"),
    Rule("epoll_create1", meets=REPORTED, says="`Loop::new` reports it and leaves nothing open"),
    Rule("socketpair", meets=REPORTED, says="`add_signal_handler` reports it"),
    Rule("rt_sigaction", meets=REPORTED, says="`add_signal_handler` reports it", like="sa_handler=0x",
         title="to install the handler"),
    Rule("rt_sigaction", says="logged; the next signal restores the former disposition", title="to restore the former one"),
    Rule("eventfd2", meets=REPORTED, says="`Loop::new` reports it and leaves nothing open"),
]


def rule_for(step, call, error, line):
    """The rule for an injected error that this line of the trace shows."""
    return next((rule for rule in RULES if rule.holds(step, call, error, line)), Rule(call, meets="a rule is missing"))


def table():
    lines = ["| system call | injected | effect |", "|---|---|---|"]
    for rule in RULES:
        call = f"`{rule.call}`" if rule.call else ""
        title = ", ".join(filter(None, (call, rule.title)))
        errors = ", ".join(rule.errors) if rule.errors else "any other" if others(rule) else "any"
        lines.append(f"| {title} | {'nothing moved' if rule.errors == (NOTHING,) else errors} | {rule.says} |")
    return "\n".join(lines) + "\n"


def others(rule):
    """Whether rules above name errors of the same call."""
    above = RULES[1 : RULES.index(rule)]
    return any(other.call == rule.call and other.errors and other.title in ("", rule.title) for other in above)
