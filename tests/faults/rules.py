"""What must come of an error that the kernel answers a system call with: what the caller of the loop is told, and in words.

The words are the table in docs/RELIABILITY.md, which faults.py writes.
"""

import dataclasses
import errno

ERRORS = "EINTR EAGAIN ENOMEM ENOBUFS EMFILE ENFILE EIO EINVAL ENOSYS EPERM".split()
# No error, but no byte moved, no event come. Of other calls it would be a lie about what the kernel did.
NOTHING = "0"
NOT_AVAILABLE = ("EINVAL", "ENOSYS", "EPERM")

# What a step notes. The error itself; the same wrapped in an error of sendloop's; an end that came too early.
SILENT, REPORTED, UNAVAILABLE, WRITE_ZERO, SHORT, MISPLACED = "", "errno", "unavailable", "WriteZero", "short", "misplaced"


@dataclasses.dataclass
class Rule:
    call: str
    errors: tuple = ()  # None named: all that no rule above names.
    meets: str = SILENT
    says: str = ""
    steps: tuple = ()  # None named: all.
    like: str = ""  # What the line of the trace has.
    title: str = ""  # What the call is about, for the table.

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

# The first that holds counts.
RULES = [
    Rule("", ("EINTR",), says="the call is made again; nobody hears of it", title="every call below"),
    Rule("accept4", ("EAGAIN",), says="`sock_accept` waits for the next connection"),
    Rule("accept4", meets=REPORTED, says="`sock_accept` reports it; the connection stays in the queue, and the next one takes it"),
    Rule("connect", ("EAGAIN",), says="asked again every 5 ms: a Unix listener whose queue is full gives no event"),
    Rule("connect", meets=REPORTED, says="`sock_connect` reports it"),
    Rule("recvfrom", steps=("signals",), says="the loop reads it again in its next iteration; all signals are delivered", title="of the pipe that signals come by"),
    Rule("recvfrom", ("EAGAIN",), says="the operation waits for more"),
    Rule("recvfrom", meets=REPORTED, says="the operation reports it; the next one has what came"),
    Rule("sendto", ("EAGAIN",), says="the operation waits until there is room"),
    Rule("sendto", (NOTHING,), WRITE_ZERO, "an error of kind `WriteZero`: nothing is tried for ever"),
    Rule("sendto", meets=REPORTED, says="the operation reports it; of a transfer the file's position says what was sent"),
    Rule("sendfile", says="the thread reads the range by pread64", like="/dev/null", title="of a prefetch, to `/dev/null`"),
    Rule("sendfile", ("EAGAIN",), says="the transfer waits until there is room"),
    Rule("sendfile", NOT_AVAILABLE, UNAVAILABLE, "`Unsupported`, with a `SendfileNotAvailableError` that says how much was sent",
         steps=("no_fallback",), title="with `.fallback(false)`"),
    Rule("sendfile", NOT_AVAILABLE, says="the transfer goes on by reading, from where it is"),
    Rule("sendfile", (NOTHING,), SHORT, "the file's end: the result is what was sent", steps=("no_fallback",), title="with `.fallback(false)`"),
    Rule("sendfile", (NOTHING,), says="one read decides between the file's end and a file that sendfile cannot see"),
    Rule("sendfile", meets=REPORTED, says="the transfer reports it, its position exact, and never reads instead"),
    Rule("pread64", steps=READS_IN, says="none: who sends the bytes will meet it", title="of a prefetch"),
    Rule("pread64", ("EINVAL",), says="read once more, aligned, as O_DIRECT wants it", title="of the fallback"),
    Rule("pread64", (NOTHING,), SHORT, "the file's end: the result is what was sent", title="of the fallback"),
    Rule("pread64", meets=REPORTED, says="the transfer reports it, its position exact", title="of the fallback"),
    Rule("preadv2", ("EAGAIN",), says="a miss: mincore says which pages are missing, and the executor prefetches them"),
    Rule("preadv2", NOT_AVAILABLE, says="no answer: the executor asks for the file system, and another question follows"),
    Rule("preadv2", says="none: sendfile will report it"),
    Rule("cachestat", ("EPERM",), says="no answer for this file: preadv2 or mincore is asked"),
    Rule("cachestat", ("ENOSYS",), says="no answer on this kernel: preadv2 or mincore is asked"),
    Rule("cachestat", says="no answer for this transfer: preadv2 or mincore is asked"),
    Rule("mincore", says="no answer: all is prefetched before it is sent"),
    Rule("lseek", meets=MISPLACED, says="the transfer's result stands; the file's position is where it was"),
    Rule("statx", says="fstat is called"),
    Rule("fcntl", meets=REPORTED, says="`Loop::new` reports it; nothing is left open", like="F_DUPFD", steps=("making_loops", "meeting"),
         title="a duplicate, of the poller"),
    Rule("fcntl", says="nothing is prefetched from then on", like="F_DUPFD", steps=READS_IN, title="a duplicate, to prefetch"),
    Rule("fcntl", says="it is no file in memory, for all that is known: the executor asks where it lives", like="F_GET_SEALS",
         title="the seals of a file whose system has no answer"),
    Rule("fcntl", says="the transfer takes the fallback, or sends by sendfile if that has no descriptor either", like="F_DUPFD",
         steps=("looking", "unanswered"), title="a duplicate, of such a file"),
    Rule("fcntl", meets=REPORTED, says="the transfer reports it, its position exact", like="F_DUPFD",
         title="a duplicate, for the fallback"),
    Rule("fcntl", says="the socket is made non-blocking once more", like="<socket:", title="the flags of the socket"),
    Rule("fcntl", meets=REPORTED, says="the transfer reports it, its position exact", title="the flags of the file"),
    Rule("epoll_wait", (NOTHING,), says="a turn in which nothing came"),
    Rule("epoll_wait", meets=REPORTED, says="`run_once` returns it, and has done what needs no event", steps=("single_turns", "embedded", "embedded_timers"),
         title="in `run_once`"),
    Rule("epoll_wait", says="logged; timers and other threads are served; the next turn comes 10 ms later", title="in a loop that runs"),
    Rule("epoll_ctl", says="logged; the next iteration tries again", like="[timerfd]", title="the timer of the loop's descriptor is added"),
    Rule("timerfd_create", says="logged; the loop's descriptor stays readable while the loop has timers, until a later try succeeds"),
    Rule("timerfd_settime", says="the loop's descriptor stays readable until a later try succeeds"),
    Rule("epoll_ctl", meets=REPORTED, says="who would have to wait reports it; it may be tried again", like="EPOLL_CTL_ADD",
         title="a descriptor is added"),
    Rule("epoll_ctl", says="logged, and done again every 10 ms until it succeeds", like="EPOLL_CTL_MOD", title="a descriptor is armed again"),
    Rule("epoll_ctl", says="logged; closing the descriptor takes it out", like="EPOLL_CTL_DEL", title="a descriptor is taken out"),
    Rule("write", says="logged; the next turn finds what the thread left", title="that wakes the loop from another thread"),
    Rule("clone3", ("ENOSYS",), says="the C library starts the thread in the older way", title="a thread of the executor"),
    Rule("clone3", says="the other threads go on; the loop tries again until it succeeds", steps=("meeting",),
         title="a thread of the executor beside others"),
    Rule("clone3", meets=REPORTED, says="the work fails with a `TaskError` whose source it is; the next work tries again",
         title="the executor's only thread"),
    Rule("getsockopt", says="the socket counts as a stream socket other than TCP", like="SO_PROTOCOL", title="the protocol of the socket"),
    Rule("getsockopt", meets=REPORTED, says="`Socket::new` reports it", title="the kind of the socket"),
    Rule("epoll_create1", meets=REPORTED, says="`Loop::new` reports it; nothing is left open"),
    Rule("socketpair", meets=REPORTED, says="`add_signal_handler` reports it; it may be tried again"),
    Rule("rt_sigaction", meets=REPORTED, says="`add_signal_handler` reports it; it may be tried again", like="sa_handler=0x",
         title="that installs the handler"),
    Rule("rt_sigaction", says="logged; the next signal restores the former disposition", title="that restores the former one"),
    Rule("eventfd2", meets=REPORTED, says="`Loop::new` reports it; nothing is left open"),
]


def rule_for(step, call, error, line):
    """The rule for an answer that was made up, which this line of the trace shows."""
    return next((rule for rule in RULES if rule.holds(step, call, error, line)), Rule(call, meets="a rule is missing"))


def table():
    lines = ["| system call | answer | what happens |", "|---|---|---|"]
    for rule in RULES:
        call = f"`{rule.call}`" if rule.call else ""
        title = ", ".join(filter(None, (call, rule.title)))
        errors = ", ".join(rule.errors) if rule.errors else "any other" if others(rule) else "any"
        lines.append(f"| {title} | {'nothing moved' if rule.errors == (NOTHING,) else errors} | {rule.says} |")
    return "\n".join(lines) + "\n"


def others(rule):
    """Whether rules above name errors for the same."""
    above = RULES[1 : RULES.index(rule)]
    return any(other.call == rule.call and other.errors and other.title in ("", rule.title) for other in above)
