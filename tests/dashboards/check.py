#!/usr/bin/env python3
"""Whether each panel of conf/grafana has something to show: a real Prometheus, with the rules of conf/prometheus,
reads a real edge under load during a rollout, and is asked what each panel and annotation asks.

usage: check.py BINARY      (needs `prometheus`, of the Debian package of that name)
"""

import contextlib
import http.server
import json
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 180  # seconds until every query has an answer
VARIABLES = {"$job": ".*", "$instance": ".*", "$service": ".*", "$pool": ".*", "$__rate_interval": "30s"}


class Origin(http.server.BaseHTTPRequestHandler):
    """Answers, but for one request in fifty."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        fails = self.path != "/healthz" and random.random() < 0.02
        body = b"hello\n"
        self.send_response(500 if fails else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url, data=None):
    fields = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, fields), timeout=10) as answer:
        return answer.read()


def until(what, holds, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if holds():
                return
        time.sleep(0.5)
    sys.exit(f"waited in vain until {what}")


def questions():
    """Board, panel and query; and what makes a board one that can be shared."""
    found = []
    for file in sorted((ROOT / "conf/grafana").glob("*.json")):
        board = json.loads(file.read_text())
        assert board["id"] is None and board["uid"] == f"pointsman-{file.stem}", file
        assert board["schemaVersion"] == 41, file
        sources = [v for v in board["templating"]["list"] if v["type"] == "datasource"]
        assert len(sources) == 1, file
        for panel in board["panels"]:
            assert panel["title"] and panel["description"], (file, panel["id"])
            assert panel["datasource"]["uid"] == "${datasource}", (file, panel["title"])
            found += [(file.stem, panel["title"], target["expr"]) for target in panel["targets"]]
        for note in board["annotations"]["list"]:
            found.append((file.stem, note["name"], note["expr"]))
    return found


def main(binary):
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    edge, admin, metrics = free_port(), free_port(), free_port()
    upstream = f"localhost:{origin.server_port}"
    started = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
        folder = pathlib.Path(folder)
        (folder / "pointsman.toml").write_text(f"""
[server]
workers = 2
[[listeners]]
address = "127.0.0.1:{edge}"
[admin]
address = "127.0.0.1:{admin}"
[services.shop]
split = {{ blue = 100, green = 0 }}
health = {{ http = {{ path = "/healthz" }} }}
slo = {{ availability = "99.9%", latency = {{ p99 = "500ms" }} }}
limits = {{ in_flight = 100, queue = 10 }}
[services.shop.pools]
blue.upstreams = ["{upstream}"]
green.upstreams = ["127.0.0.1:{origin.server_port}"]
""")
        (folder / "prometheus.yml").write_text(f"""
global: {{ scrape_interval: 2s, evaluation_interval: 2s }}
rule_files: ["{ROOT}/conf/prometheus/recording.yml", "{ROOT}/conf/prometheus/alerts.yml"]
scrape_configs:
  - job_name: pointsman
    static_configs: [{{ targets: ["127.0.0.1:{admin}"] }}]
""")

        def start(*words):
            log = at_end.enter_context((folder / f"{pathlib.Path(words[0]).name}.log").open("w"))
            process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
            started.append(process)

        at_end.callback(lambda: [(process.terminate(), process.wait(30)) for process in started])
        start(binary, "run", "pointsman.toml")
        start("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
              f"--web.listen-address=127.0.0.1:{metrics}")
        until("the edge lives", lambda: ask(f"http://127.0.0.1:{admin}/livez") is not None, 60)
        until("Prometheus is ready", lambda: ask(f"http://127.0.0.1:{metrics}/-/ready"), 60)

        over = threading.Event()

        def load():
            while not over.wait(0.02):
                with contextlib.suppress(OSError):
                    ask(f"http://127.0.0.1:{edge}/")

        worker = threading.Thread(target=load)
        worker.start()
        at_end.callback(lambda: (over.set(), worker.join()))
        # A request of ours alone: a host that no HTTP has.
        with socket.create_connection(("127.0.0.1", edge)) as rude:
            rude.sendall(b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n")
            rude.recv(1024)
        service = f"http://127.0.0.1:{admin}/v1/services/shop"
        until("a rollout begins", lambda: ask(f"{service}/rollout", b'{"to": "green"}'), 60)

        lacking = questions()
        asked = len(lacking)
        boards = len({board for board, _, _ in lacking})

        def has_answer(question):
            query = question[2]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            url = f"http://127.0.0.1:{metrics}/api/v1/query?" + urllib.parse.urlencode({"query": query})
            return bool(json.loads(ask(url))["data"]["result"])

        end = time.monotonic() + PATIENCE
        step = 0
        while lacking and time.monotonic() < end:
            # Another split, for the annotation: a revision that changes while it is looked at.
            if step % 10 == 9:
                with contextlib.suppress(OSError):
                    ask(f"{service}/rollout/step", b"{}")
            step += 1
            time.sleep(1)
            lacking = [question for question in lacking if not has_answer(question)]
        for board, panel, query in lacking:
            print(f"{board}: {panel}: no data: {query}", file=sys.stderr)
        print(f"{asked - len(lacking)} of {asked} queries of {boards} boards have data")
        return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve())))
