#!/usr/bin/env python3
"""Whether an alert that an edge opens in a real Alertmanager is there, reaches a receiver, and is closed by the edge: for
an upstream that fails its health checks and is well again. And that the next process closes what one before it has opened.

usage: on_call.py BINARY      (needs `prometheus-alertmanager` and `amtool`)
"""

import contextlib
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import urllib.request

from real import Processes, ask, free_port, stop, until


class Upstream(http.server.BaseHTTPRequestHandler):
    """Well or not, as it is told."""

    is_well = True

    def do_GET(self):
        self.send_response(200 if Upstream.is_well else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what Alertmanager posts."""

    told = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Receiver.told.append(json.loads(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes = Processes(folder, stack)
        upstream, receiver = serve(Upstream), serve(Receiver)
        port = free_port()
        config = folder / "alertmanager.yml"
        config.write_text(
            "route:\n  receiver: all\n  group_by: [alertname, service, instance]\n  group_wait: 1s\n  group_interval: 1s\n"
            "  repeat_interval: 1h\n"
            f"receivers:\n  - name: all\n    webhook_configs:\n      - url: http://127.0.0.1:{receiver}/\n")
        processes.start(
            "alertmanager", "prometheus-alertmanager", f"--config.file={config}",
            f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=")
        base = f"http://127.0.0.1:{port}"
        until("Alertmanager is ready", lambda: ask(f"{base}/-/ready"), 60)

        admin = free_port()
        file = folder / "pointsman.toml"
        file.write_text(
            f'[server]\nworkers = 1\nname = "edge-1"\n[[listeners]]\naddress = "127.0.0.1:{free_port()}"\n'
            f'[admin]\naddress = "127.0.0.1:{admin}"\n'
            f'[[notify]]\nname = "alerts"\nurl = "{base}"\nform = "alertmanager"\n'
            '[services.shop]\nhealth = { interval = "500ms", fall = 1, rise = 1, http.path = "/up" }\n'
            f'[services.shop.pools.blue]\nupstreams = ["127.0.0.1:{upstream}", "127.0.0.1:9"]\n')

        def start():
            edge = processes.start("edge", binary, "run", str(file))
            until("the edge lives", lambda: ask(f"http://127.0.0.1:{admin}/livez"), 60)
            return edge

        def active():
            with urllib.request.urlopen(f"{base}/api/v2/alerts?active=true", timeout=5) as answer:
                alerts = json.load(answer)
            return {(a["labels"]["alertname"], a["labels"].get("upstream", ""), a["labels"]["severity"]) for a in alerts}

        wanted = ("HealthCheckFails", f"127.0.0.1:{upstream}", "medium")
        edge = start()
        for again in (False, True):
            Receiver.told.clear()
            Upstream.is_well = False
            until("the alert is open", lambda: wanted in active(), 60)
            if again:
                stop(edge)
                Upstream.is_well = True
                assert wanted in active(), "a stop closes nothing"
                Upstream.is_well = False
                edge = start()
            until("a receiver is told", lambda: of_upstream("firing", wanted), 60)
            shown = subprocess.run(
                ["amtool", f"--alertmanager.url={base}", "alert", "query", "alertname=HealthCheckFails", "service=shop"],
                capture_output=True, text=True, check=True).stdout
            assert "HealthCheckFails" in shown, shown
            alert = of_upstream("firing", wanted)[0]
            assert alert["annotations"]["runbook"] == "docs/runbooks/upstreams-out.md", alert
            Upstream.is_well = True
            until("the alert is closed", lambda: wanted not in active(), 60)
            until("a receiver is told of that", lambda: of_upstream("resolved", wanted), 60)
            print(f"an alert was opened and closed by the edge{', over a restart' if again else ''}")

        environment = {"POINTSMAN_ADMIN": f"127.0.0.1:{admin}", "PATH": "/usr/bin:/bin"}
        for words, is_open in ((["--severity", "high"], True), (["--over"], False)):
            done = subprocess.run(
                [binary, "notify", "test", "alerts", *words], env=environment, capture_output=True, text=True, check=True)
            assert "200 OK" in done.stdout, done.stdout
            until("the test is seen", lambda: (("PointsmanTest", "", "high") in active()) == is_open, 60)
        print("a test was opened and closed:", done.stdout.splitlines()[-1].strip())


def of_upstream(status, wanted):
    name, upstream, severity = wanted
    alerts = [alert for group in list(Receiver.told) for alert in group["alerts"]]
    labels = {"alertname": name, "upstream": upstream, "severity": severity}
    return [a for a in alerts if a["status"] == status and labels.items() <= a["labels"].items()]


if __name__ == "__main__":
    main()
