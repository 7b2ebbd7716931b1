#!/usr/bin/env python3
"""Whether each panel of conf/grafana has something to show: a real Prometheus, with the rules of conf/prometheus,
reads a real edge under load during a rollout, and is asked what each panel and annotation asks, and for exemplars. Both
formats of metrics are read by strict parsers.

usage: check.py BINARY      (needs the Debian packages `prometheus` and `python3-prometheus-client`)
"""

import contextlib
import json
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

from real import ROOT, Processes, Prometheus, ask, free_port, origin, until

PATIENCE = 180  # seconds until every query has an answer
VARIABLES = {"$job": ".*", "$instance": ".*", "$service": ".*", "$pool": ".*", "$__rate_interval": "30s"}
DURATIONS = ("pointsman_request_duration_seconds_bucket", "pointsman_upstream_request_duration_seconds_bucket")


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


def fails_sometimes(_, path):
    """One request in fifty."""
    return 500 if path != "/healthz" and random.random() < 0.02 else 200


def exemplars(prometheus, admin):
    """What is wrong with the exemplars that Prometheus has taken: each leads to a request that is remembered."""
    now = time.time()
    for name in DURATIONS:
        found = prometheus.ask("query_exemplars", query=name, start=now - 600, end=now + 60)
        traces = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
        print(f"{len(traces)} traces by exemplars of {name}")
        if not traces:
            yield f"{name} has no exemplars"
        for trace in traces:
            if len(trace) != 32 or int(trace, 16) == 0:
                yield f"{name}: {trace} is no trace"
    for of in ("prometheus_target_scrapes_exemplar_out_of_order_total", "prometheus_target_scrapes_sample_out_of_order_total",
               "prometheus_target_scrapes_sample_duplicate_timestamp_total"):
        text = ask(f"http://127.0.0.1:{prometheus.port}/metrics").decode()
        count = next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{of} "))
        print(f"{of} {count:.0f}")
        if count > 0 and "sample" in of:
            yield f"{of} is {count}"


def parsed(admin):
    """What promtool and the strict parser of Python's client library have against both formats."""
    url = f"http://127.0.0.1:{admin}/metrics"
    text = ask(url)
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    said = (checked.stdout + checked.stderr).decode()
    # 3 is advice on names, of which some are older than it; what cannot be read is 1.
    if checked.returncode not in (0, 3) or "no help text" in said:
        yield f"promtool: {said}"
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    families = list(text_string_to_metric_families(
        ask(url, fields={"accept": "application/openmetrics-text; version=1.0.0"}).decode()))
    lacking = [family.name for family in families if not family.documentation]
    traced = sum(1 for family in families for sample in family.samples if sample.exemplar)
    print(f"{len(families)} families of OpenMetrics, {traced} exemplars")
    if lacking or not traced:
        yield f"OpenMetrics: {lacking} without help, {traced} exemplars"


def main(binary):
    served = origin(fails_sometimes)
    edge, admin = free_port(), free_port()
    upstream = f"localhost:{served}"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
        folder = pathlib.Path(folder)
        processes = Processes(folder, at_end)
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
green.upstreams = ["127.0.0.1:{served}"]
""")
        processes.start("edge", binary, "run", "pointsman.toml")
        until("the edge lives", lambda: ask(f"http://127.0.0.1:{admin}/livez") is not None, 60)
        prometheus = Prometheus(processes, f"""
global: {{ scrape_interval: 2s, evaluation_interval: 2s }}
rule_files: ["{ROOT}/conf/prometheus/recording.yml", "{ROOT}/conf/prometheus/alerts.yml"]
scrape_configs:
  - job_name: pointsman
    static_configs: [{{ targets: ["127.0.0.1:{admin}"] }}]
""")

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
            return bool(prometheus.query(query))

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
        wrong = [*exemplars(prometheus, admin), *parsed(admin)]
        for what in wrong:
            print(what, file=sys.stderr)
        return 1 if lacking or wrong else 0


if __name__ == "__main__":
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve())))
