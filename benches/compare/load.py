"""Loads: each is bounded in count or time, and says how many requests were answered well."""

import re
import socket
import subprocess
import time
import select

ANSWER = b"hello from the origin\n"
REQUEST = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: compare\r\nAccept: */*\r\n\r\n"


def connect(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask(s, path=b"/"):
    """One request on a connection; its answer must be the origin's."""
    s.sendall(REQUEST % path)
    got = b""
    while not got.endswith(ANSWER) and b"\r\n0\r\n\r\n" not in got:
        part = s.recv(65536)
        assert part, "the connection ended: %r" % got
        got += part
    assert got.startswith(b"HTTP/1.1 200"), got


def in_turn(port, count, connections=1):
    """Exactly so many requests, one after the other on each connection."""
    if connections == 1:
        s = connect(port)
        for _ in range(count):
            ask(s)
        return
    run = subprocess.run(
        ["h2load", "--h1", "-n", str(count), "-c", str(connections), "-t1", f"http://127.0.0.1:{port}/"],
        capture_output=True, text=True, check=True,
    )
    assert f"{count} succeeded" in run.stdout, run.stdout


def length(port, path, coding):
    """How many bytes of body one answer has in this coding; it must be in that."""
    with connect(port) as s:
        s.sendall(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAccept-Encoding: %b\r\n\r\n"
                  % (path.encode(), coding.encode()))
        got = b"".join(iter(lambda: s.recv(65536), b""))
    head, body = got.split(b"\r\n\r\n", 1)
    said = head.lower()
    assert coding == "identity" or b"content-encoding: " + coding.encode() in said, head
    if b"transfer-encoding: chunked" not in said:
        return len(body)
    total = 0
    while (size := int(body[:body.index(b"\r\n")].split(b";")[0], 16)) > 0:
        total, body = total + size, body[body.index(b"\r\n") + 2 + size + 2:]
    return total


def http2(port, count, connections, streams, cpu=0):
    """Exactly so many requests over TLS, so many at once on each connection."""
    run = subprocess.run(
        ["taskset", "-c", str(cpu), "h2load", "-n", str(count), "-c", str(connections), "-m", str(streams), "-t1",
         f"https://127.0.0.1:{port}/"],
        capture_output=True, text=True, check=True,
    )
    assert f"{count} succeeded" in run.stdout and "protocol: h2" in run.stdout, run.stdout
    return count


def wrk(port, connections, seconds, path="/", script=None, fields=(), cpu=0, scheme="http"):
    """As fast as it goes; the number of requests and its output."""
    command = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s",
               "--latency"]
    for one in fields:
        command += ["-H", one]
    command += ["-s", script] if script else []
    out = subprocess.run(command + [f"{scheme}://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True)
    bad = re.findall("Non-2xx.*|Socket errors.*", out.stdout)
    if bad and "timeout" not in bad[0]:
        raise AssertionError(out.stdout)
    return int(re.search(r"(\d+) requests in", out.stdout).group(1)), out.stdout


def at_a_rate(port, rate, seconds, connections):
    """Requests at fixed times, whatever became of those before: latencies from the time that each
    was to be sent, in µs and rising. Who waits for an answer before sending hides what is slow."""
    poll = select.epoll()
    sockets, free, due_of = {}, [], {}
    for _ in range(connections):
        s = connect(port)
        ask(s)
        s.setblocking(False)
        poll.register(s.fileno(), select.EPOLLIN)
        sockets[s.fileno()] = s
        free.append(s)
    count, step = int(rate * seconds), 1 / rate
    begun = time.perf_counter() + 0.05
    latencies, sent = [], 0
    request = REQUEST % b"/"
    while len(latencies) < count and time.perf_counter() < begun + seconds + 5:
        while sent < count and free and begun + sent * step <= time.perf_counter():
            s = free.pop()
            due_of[s.fileno()] = begun + sent * step
            s.send(request)
            sent += 1
        for fd, _ in poll.poll(0):
            if sockets[fd].recv(65536).endswith(ANSWER):
                latencies.append((time.perf_counter() - due_of.pop(fd)) * 1e6)
                free.append(sockets[fd])
    assert len(latencies) == count, f"{len(latencies)} of {count} were answered"
    return sorted(latencies)
