"""What a check needs to have a real Prometheus read real edges: origins, processes, and questions."""

import contextlib
import http.server
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url, data=None, fields=None):
    fields = {"content-type": "application/json", **(fields or {})}
    with urllib.request.urlopen(urllib.request.Request(url, data, fields), timeout=10) as answer:
        return answer.read()


def until(what, holds, patience=180):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if holds():
                return
        time.sleep(0.5)
    sys.exit(f"waited in vain until {what}")


def origin(answer):
    """A server on a free port that answers each request as `answer(nth, path)` says: a status."""
    lock, count = threading.Lock(), [0]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            with lock:
                count[0] += 1
                nth = count[0]
            status = answer(nth, self.path)
            body = b"hello\n"
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.do_GET()

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_):
            pass  # whoever left has left

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class Processes:
    """Those that a check has started; all end with it."""

    def __init__(self, folder, at_end):
        self.folder, self.at_end, self.started = folder, at_end, []
        at_end.callback(lambda: [stop(process) for process in self.started])

    def start(self, name, *words, **more):
        log = self.at_end.enter_context((self.folder / f"{name}.log").open("a"))
        process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log, **more)
        self.started.append(process)
        return process


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Prometheus:
    """A real one, with a file of its own."""

    def __init__(self, processes, config):
        self.port = free_port()
        (processes.folder / "prometheus.yml").write_text(config)
        processes.start(
            "prometheus", "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            "--enable-feature=exemplar-storage", f"--web.listen-address=127.0.0.1:{self.port}")
        until("Prometheus is ready", lambda: ask(f"http://127.0.0.1:{self.port}/-/ready"), 60)

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?" + urllib.parse.urlencode(parameters)
        return json.loads(ask(url))["data"]

    def query(self, query):
        return self.ask("query", query=query)["result"]
