#!/usr/bin/env python3
"""Whether alerts of a real Alertmanager come in: it posts to a real edge by its webhook, with a token of the role
`alerts`; what fires opens one incident, what is repeated is known, and what is resolved is so here.

usage: alertmanager.py BINARY      (needs `prometheus-alertmanager` and `amtool`)
"""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile

from real import Processes, ask, free_port, origin, until

TOKENS = {"alertmanager": "alerts-0123456789abcdef", "ann": "admin-0123456789abcdef0"}


def main(binary):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
        folder = pathlib.Path(folder)
        processes = Processes(folder, at_end)
        listen, admin, port = free_port(), free_port(), free_port()
        upstream = origin(lambda *_: 200)
        tokens = folder / "tokens"
        tokens.write_text(f"alertmanager role=alerts: {TOKENS['alertmanager']}\nann: {TOKENS['ann']}\n")
        tokens.chmod(0o600)
        (folder / "am.token").write_text(TOKENS["alertmanager"])
        (folder / "pointsman.toml").write_text(f"""
[[listeners]]
address = "127.0.0.1:{listen}"
[admin]
address = "127.0.0.1:{admin}"
token_file = "tokens"
[incidents]
alerts = {{ severity = "critical" }}
[[routes]]
service = "shop"
[services.shop.pools]
blue.upstreams = ["127.0.0.1:{upstream}"]
""")
        (folder / "alertmanager.yml").write_text(f"""
route: {{ receiver: pointsman, group_wait: 1s, group_interval: 1s, repeat_interval: 2s }}
receivers:
  - name: pointsman
    webhook_configs:
      - url: http://127.0.0.1:{admin}/v1/alerts
        max_alerts: 100
        http_config: {{ authorization: {{ credentials_file: am.token }} }}
""")
        subprocess.run(["amtool", "check-config", "alertmanager.yml"], cwd=folder, check=True, capture_output=True)
        processes.start("pointsman", binary, "run", "pointsman.toml")
        until("the edge lives", lambda: ask(f"http://127.0.0.1:{admin}/livez"), 60)
        processes.start("alertmanager", "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=am",
                        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=")
        until("Alertmanager is ready", lambda: ask(f"http://127.0.0.1:{port}/-/ready"), 60)

        def tell(*words):
            subprocess.run(["amtool", "alert", "add", f"--alertmanager.url=http://127.0.0.1:{port}", *words], check=True,
                           capture_output=True)

        bearer = {"authorization": f"Bearer {TOKENS['ann']}"}
        known = lambda what: json.loads(ask(f"http://127.0.0.1:{admin}/v1/{what}", fields=bearer))
        heard = lambda: {alert["name"]: alert for alert in known("alerts")}
        down = ["alertname=CheckoutDown", "service=shop", "severity=critical"]
        tell(*down, "--annotation=summary=checkout answers <b>nothing</b>")
        tell("alertname=Slow", "service=shop", "severity=warning")
        until("both have come in", lambda: len(heard()) == 2, 60)
        first = heard()["CheckoutDown"]
        assert first["status"] == "firing" and first["service"] == "shop", first
        assert first["annotations"]["summary"] == "checkout answers <b>nothing</b>", first
        assert first["seen"]["upstreams"] == 1, first
        [incident] = known("incidents")
        assert (incident["opened_by"], incident["severity"]) == ("alert", "critical"), incident
        posted = f'alertmanager_notifications_total{{integration="webhook"'
        def count():
            text = ask(f"http://127.0.0.1:{port}/metrics").decode()
            return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(posted))
        begun = count()
        until("Alertmanager has repeated itself", lambda: count() >= begun + 2, 60)
        assert len(known("incidents")) == 1, known("incidents")
        tell(*down, "--end=2020-01-01T00:00:00Z", "--start=2019-01-01T00:00:00Z")
        until("it is resolved here", lambda: heard()["CheckoutDown"]["status"] == "resolved", 120)
        until("it is in the timeline", lambda: "alerts are resolved" in json.dumps(known("incidents/1")), 60)
        failed = f'alertmanager_notifications_failed_total{{integration="webhook"'
        text = ask(f"http://127.0.0.1:{port}/metrics").decode()
        lines = [line for line in text.splitlines() if line.startswith(failed)]
        assert all(float(line.split()[-1]) == 0 for line in lines), lines
        print("a real Alertmanager is heard: 2 alerts, 1 incident, repeated and resolved")
        return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve())))
