#!/usr/bin/env python3
"""Whether traces look right to receivers that other people wrote: a canary fails requests, the stable pool answers
them, and what a receiver has of them is compared with what the upstreams were told.

usage: check.py BINARY mock NODE_MODULES     Elastic's mock server, which prints what it gets
       check.py BINARY grpc NODE_MODULES     the same, by gRPC (a build with the feature traces-grpc)
       check.py BINARY phoenix PYTHON        Arize Phoenix, which stores spans and is asked for them

Both bind fixed or all addresses: run it in a network namespace of its own (tests/traces/run does).
"""

import contextlib
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PATIENCE = 240  # seconds: Phoenix takes a minute to start on a busy machine


class Upstream(http.server.BaseHTTPRequestHandler):
    """Says what its server is told to, and remembers the trace that it was told of."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.told.append(self.headers["traceparent"].split("-"))
        self.send_response(self.server.status)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"hi\n")

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # a kept connection that ends with the edge is no error


def upstream(status):
    server = Quiet(("127.0.0.1", 0), Upstream)
    server.status, server.told = status, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = holds()
            if found:
                return found
        time.sleep(0.5)
    sys.exit(f"waited in vain until {what}")


class Mock:
    """What it prints: one line of JSON for each call."""

    endpoint, protocol = "http://127.0.0.1:4318", "http"

    def __init__(self, modules):
        self.words = ["node", f"{modules}/@elastic/mockotlpserver/lib/cli.js", "--hostname=127.0.0.1", "-o", "json"]
        self.environment = {}

    def is_ready(self):
        with socket.create_connection(("127.0.0.1", 4318), 1):
            return True

    def spans(self, log):
        """Each as (trace, span, parent, name, attributes)."""
        found = []
        for line in log.read_text().splitlines():
            if not line.startswith('{"resourceSpans"'):
                continue
            for of in json.loads(line)["resourceSpans"]:
                for span in (span for scope in of["scopeSpans"] for span in scope["spans"]):
                    # It makes an object of the list of attributes, and leaves the ids of the root's parent empty.
                    found.append((span["traceId"], span["spanId"], span.get("parentSpanId") or "", span["attributes"]))
        return found


class MockByGrpc(Mock):
    """The same on its other port."""

    endpoint, protocol = "http://127.0.0.1:4317", "grpc"


class Phoenix:
    """What it stores, as it is asked for."""

    protocol = "http"

    def __init__(self, python):
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.words = [python, "-m", "phoenix.server.main", "serve"]
        self.environment = {
            "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(self.port),
            "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false",
        }

    def is_ready(self):
        return ask(f"{self.endpoint}/v1/projects")

    def spans(self, _):
        answer = json.loads(ask(f"{self.endpoint}/v1/projects/default/spans?limit=1000"))
        found = []
        for span in answer["data"]:
            said = dict(span["attributes"])
            ids = span["context"]
            found.append((ids["trace_id"], ids["span_id"], span.get("parent_id") or "", said))
        return found


def main(binary, kind, where):
    receiver = {"mock": Mock, "grpc": MockByGrpc, "phoenix": Phoenix}[kind](where)
    stable, canary = upstream(200), upstream(500)
    edge, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
        folder = pathlib.Path(folder)
        (folder / "pointsman.toml").write_text(f"""
[server]
workers = 2
[[listeners]]
address = "127.0.0.1:{edge}"
[admin]
address = "127.0.0.1:{admin}"
[traces]
endpoint = "{receiver.endpoint}"
protocol = "{receiver.protocol}"
share = 100
compression = "{'none' if kind == 'mock' else 'gzip'}"
[services.shop]
split = {{ blue = 60, green = 40 }}
breaker = false
ejection = false
[services.shop.pools]
blue.upstreams = ["127.0.0.1:{stable.server_port}"]
green.upstreams = ["127.0.0.1:{canary.server_port}"]
""")
        log = folder / "receiver.log"

        def start(words, log, environment):
            log = at_end.enter_context(log.open("w"))
            process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, env=os.environ | environment)
            at_end.callback(lambda: (process.terminate(), process.wait(30)))

        start(receiver.words, log, receiver.environment | {"HOME": str(folder)})
        start([binary, "run", "pointsman.toml"], folder / "pointsman.log", {})
        until("the receiver is there", receiver.is_ready)
        until("the edge is ready", lambda: ask(f"http://127.0.0.1:{admin}/readyz"))
        for nth in range(40):
            assert ask(f"http://127.0.0.1:{edge}/cart/{nth}?token=hush&page=2") == b"hi\n"
        assert canary.told, "the canary has two of five"

        def sent():
            text = ask(f"http://127.0.0.1:{admin}/metrics").decode()
            sent = next(line for line in text.splitlines() if line.startswith("pointsman_spans_sent_total"))
            return float(sent.split()[1]) >= 40 + len(stable.told) + len(canary.told)

        until("the receiver has taken all spans", sent)
        told = {(trace, span) for _, trace, span, _ in stable.told + canary.told}
        spans = until("the receiver has all spans",
                      lambda: (found := receiver.spans(log)) and len(found) >= 40 + len(told) and found)
        by_trace = {}
        for trace, span, parent, said in spans:
            by_trace.setdefault(trace, []).append((span, parent, said))
        retried = 0
        for trace, of in by_trace.items():
            roots = [it for it in of if not it[1]]
            assert len(roots) == 1, of
            clients = [it for it in of if it[1] == roots[0][0]]
            assert len(clients) == len(of) - 1, of
            for span, _, said in clients:
                assert (trace, span) in told, f"no upstream was told of {trace}-{span}"
                told.discard((trace, span))
            if len(clients) == 2:
                retried += 1
        assert not told, f"the receiver lacks {told}"
        assert retried == len(canary.told), (retried, len(canary.told))
        text = json.dumps([said for *_, said in spans])
        assert "hush" not in text and "page=2" in text
        print(f"{kind}: {len(spans)} spans of {len(by_trace)} traces, {retried} of them of a canary that failed; "
              "all ids are those that the upstreams were told")


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()), *sys.argv[2:])
