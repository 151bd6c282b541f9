"""Measures the memory and CPU time of thousands of stalled downloads, and what they leave behind.

Usage: stalled_downloads.py FILE_SERVER FILE COUNT ROUNDS. FILE must be larger than the buffers of a
connection. Called by load.sh.
"""

import os
import pathlib
import resource
import select
import socket
import subprocess
import sys
import time
import urllib.parse

# Per download, in user space. It does not include the kernel's memory.
MAX_BYTES = 4096
MEASURED_SECONDS = 5
# Less than 1 %. A server that polls, or has a timer per connection and second, needs more.
MAX_CPU_SECONDS = 0.05
TIMEOUT = 30


class Server:
    """A server that ends with its `with` block. Its time limits exceed the downloads."""

    def __init__(self, program, root):
        limits = ["--limit-connections", "20000", "--stall-timeout", "600"]
        command = [program, root, "--addr", "127.0.0.1:0", "--log", "off", *limits]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.proc = pathlib.Path("/proc", str(self.process.pid))
        self.url = self.process.stdout.readline().removeprefix("listening on ").strip()
        self.idle_descriptors = self.descriptors()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def descriptors(self):
        return len(list((self.proc / "fd").iterdir()))

    def anonymous_bytes(self):
        for line in (self.proc / "status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        sys.exit("/proc/PID/status has no RssAnon")

    def cpu_seconds(self):
        # The program name may contain spaces. User and system time are the 14th and 15th field.
        fields = (self.proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def max_downloads(self):
        """Returns the limit of connections: the server reserves two descriptors each, and 72 more."""
        lines = (self.proc / "limits").read_text().splitlines()
        limit = next(line for line in lines if line.startswith("Max open files")).split()[3]
        return (int(limit) - 72) // 2


def wait_until(condition, problem):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"stalled downloads: {problem} for {TIMEOUT} seconds")
        time.sleep(0.05)


class Client:
    def __init__(self, server, path):
        url = urllib.parse.urlsplit(f"{server.url}/{path.name}")
        self.address = (url.hostname, url.port)
        self.request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode()
        self.content = path.read_bytes()

    def begin(self, buffer):
        connection = socket.socket()
        # The buffer limits the TCP window, so its size is set before the connect.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(TIMEOUT)
        connection.connect(self.address)
        connection.sendall(self.request)
        return connection

    def finish(self, connection):
        received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        head, _, body = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or body != self.content:
            sys.exit(f"stalled downloads: received {len(body)} bytes, expected the {len(self.content)} of the file, after {head!r}")

    def fetch(self):
        with self.begin(1 << 20) as connection:
            self.finish(connection)


def wait_for_responses(connections):
    poll = select.epoll()
    for connection in connections:
        poll.register(connection, select.EPOLLIN | select.EPOLLONESHOT)
    answered = 0
    deadline = time.monotonic() + TIMEOUT
    while answered < len(connections):
        answered += len(poll.poll(max(0, deadline - time.monotonic())))
        if time.monotonic() > deadline:
            sys.exit(f"stalled downloads: {len(connections) - answered} of {len(connections)} got no response in {TIMEOUT} seconds")
    poll.close()


def wait_for_full_buffers(server):
    """Waits until the buffers of all started responses are full."""
    seen = [server.cpu_seconds()]

    def is_at_rest():
        time.sleep(0.5)
        seen.append(server.cpu_seconds())
        return seen[-1] == seen[-2]

    wait_until(is_at_rest, "the server uses CPU time")


def wait_for_closed_connections(server):
    """Waits until the server closes its cached descriptor, which it keeps for a second."""
    wait_until(lambda: server.descriptors() <= server.idle_descriptors, "the server keeps descriptors of closed connections")


def measure_stalled(server, client, count):
    """Returns the memory per download, the CPU time of all downloads, and the total memory."""
    wait_for_closed_connections(server)
    memory = server.anonymous_bytes()
    connections = [client.begin(4096) for _ in range(count)]
    wait_for_responses(connections)
    wait_for_full_buffers(server)
    taken = server.anonymous_bytes()
    # The downloads share one open file.
    if server.descriptors() < server.idle_descriptors + count:
        sys.exit(f"stalled downloads: the server has {server.descriptors()} descriptors, expected {count} more than when idle")

    cpu = server.cpu_seconds()
    time.sleep(MEASURED_SECONDS)
    cpu = server.cpu_seconds() - cpu

    # Some downloads continue while the others wait.
    for connection in connections[:: count // 4]:
        client.finish(connection)
    client.fetch()
    for connection in connections:
        connection.close()
    wait_for_closed_connections(server)
    client.fetch()
    return (taken - memory) / count, cpu, taken


def measure(server, client, wanted, rounds):
    # One-time costs such as the executor's threads do not count.
    for connection in [client.begin(1 << 20) for _ in range(64)]:
        client.finish(connection)
        connection.close()
    count = min(wanted, server.max_downloads(), resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64)
    each, cpu, first = measure_stalled(server, client, count)
    for _ in range(rounds - 1):
        _, cpu_again, again = measure_stalled(server, client, count)
        cpu = max(cpu, cpu_again)
        if again > first * 1.1:
            sys.exit(f"stalled downloads: memory grew from {first} to {again} bytes when the same number connected again")
    summary = f"{count} stalled downloads: {each:.0f} bytes each, {cpu * 1000:.0f} ms of CPU time in {MEASURED_SECONDS} s"
    if each >= MAX_BYTES or cpu > MAX_CPU_SECONDS:
        sys.exit(f"{summary}; allowed are {MAX_BYTES} bytes and {MAX_CPU_SECONDS * 1000:.0f} ms")
    print(summary)


def main(program, path, wanted, rounds):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    path = pathlib.Path(path)
    with Server(program, path.parent) as server:
        measure(server, Client(server, path), int(wanted), int(rounds))


main(*sys.argv[1:])
