#!/usr/bin/env python3
"""Whether each alert of conf/prometheus fires for its symptom and stays silent for its neighbours': a real Prometheus
reads real edges that misbehave, each in one way.

usage: alerts.py BINARY      (needs `prometheus` and `openssl`, and root for a disk that is full)

The rules are those of conf/prometheus but for their times, which nobody would wait for: a minute becomes three seconds
and an hour thirty, in `for` and in ranges. What the edges measure themselves (burn rates, latencies, what is retried) is
as it is. Every alert that fires must be one that is expected of its edge and service, at any time until all have.
"""

import contextlib
import http.client
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from real import ROOT, Processes, Prometheus, ask, free_port, origin, stop, until

PATIENCE = 420  # seconds until all have fired
DEAD = "127.0.0.1:9"  # nobody listens there

# What is expected of each edge and service, and nothing else.
EXPECTED = {
    ("shop", "burns-fast"): {"ErrorBudgetBurnsFast"},
    ("shop", "burns"): {"ErrorBudgetBurns"},
    ("shop", "burns-slowly"): {"ErrorBudgetBurnsSlowly"},
    ("shop", "fails"): {"ManyRequestsFail"},
    ("shop", "slow"): {"AnswersAreSlow"},
    ("shop", "nobody"): {"NoUpstreamAvailable"},
    ("shop", "fallback"): {"FallbackAnswers"},
    ("shop", "closed"): {"MaintenanceGoesOn"},
    ("shop", "full"): {"RequestsTurnedAway"},
    ("shop", "half"): {"HalfOfUpstreamsOut"},
    ("shop", "breaker"): {"UpstreamBreakerOpen"},
    ("shop", "taken-back"): {"RolloutTakenBack"},
    ("shop", "waits"): {"RolloutWaits"},
    ("shop", "well"): set(),
    ("shop", ""): {"NameDoesNotResolve"},
    ("down", ""): {"EdgeDown"},
    ("crashes", ""): {"CrashLoop"},
    ("crowded", ""): {"ConnectionsRefused"},
    ("few-fds", ""): {"DescriptorsRunOut"},
    ("little-memory", ""): {"MemoryRunsOut"},
    ("starved", ""): {"WorkersLag"},
    ("refused", ""): {"ConfigReloadRefused"},
    ("unsure", ""): {"ConfigWaitsForReload"},
    ("certificates", "soon.test"): {"CertificateEndsSoon"},
    ("certificates", "today.test"): {"CertificateEndsToday"},
    ("certificates", "ordered.test"): {"CertificateOrdersFail"},
    ("full-disk", ""): {"StoreNotWritable"},
    ("unheard", ""): {"NotificationsLost"},
    ("forgets", ""): {"AccessLogLosesLines"},
    ("untraced", ""): {"SpansLost"},
}

# What may fire as well. A minute without an answer is three seconds here, and a start takes about as long. Who is turned
# away gets a 503, which is a failure too: conf/alertmanager tells of the first alone.
ALLOWED = {("crashes", ""): {"EdgeDown"}, ("shop", "full"): {"ManyRequestsFail"}}


def shortened(rules):
    seconds = {"m": 3, "h": 30}
    short = lambda found: f"{found[1]}{int(found[2]) * seconds[found[3]]}s{found[4]}"
    rules = re.sub(r"(for: )(\d+)([mh])()$", short, rules, flags=re.MULTILINE)
    return re.sub(r"(\[)(\d+)([mh])(\])", short, rules)


def alerts_of(rules):
    return set(re.findall(r"- alert: (\w+)", rules))


class Edge:
    """A process of its own, with a folder of its own."""

    def __init__(self, check, name, lines, server="", **more):
        self.check, self.name, self.more = check, name, more
        self.folder = check.folder / name
        self.folder.mkdir(exist_ok=True)
        self.port, self.admin = free_port(), free_port()
        self.head = (f'[server]\nworkers = 1\n{server}\n[[listeners]]\naddress = "127.0.0.1:{self.port}"\n'
                     f'[admin]\naddress = "127.0.0.1:{self.admin}"\n')
        self.file = self.folder / "pointsman.toml"
        self.write(lines)
        self.start()

    def write(self, lines):
        new = self.file.with_suffix(".new")
        new.write_text(self.head + lines)
        new.rename(self.file)

    def start(self):
        self.process = self.check.processes.start(
            self.name, self.check.binary, "run", str(self.file), **self.more)
        until(f"{self.name} lives", lambda: ask(f"http://127.0.0.1:{self.admin}/livez"), 60)

    def run(self, *words):
        """A command of ours, as a runbook has it."""
        environment = {**os.environ, "POINTSMAN_ADMIN": f"127.0.0.1:{self.admin}"}
        done = subprocess.run([self.check.binary, *words], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def must(self, *words):
        code, said = self.run(*words)
        assert code == 0, (self.name, words, said)

    def metric(self, name):
        text = ask(f"http://127.0.0.1:{self.admin}/metrics").decode()
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name)))


class Check:
    def __init__(self, binary, folder, at_end):
        self.binary, self.folder, self.at_end = binary, folder, at_end
        self.processes = Processes(folder, at_end)
        self.over = threading.Event()
        self.threads, self.edges = [], {}
        at_end.callback(self.end)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)

    def edge(self, name, lines, server="", **more):
        self.edges[name] = Edge(self, name, lines, server, **more)
        return self.edges[name]

    def again(self, work, pause):
        """Does this again and again."""

        def loop():
            while not self.over.wait(pause):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    work()

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.threads.append(thread)

    def load(self, edge, host, clients=3, pause=0.1, patience=15):
        """Requests of so many clients, each from an address of its own and on one connection."""
        for nth in range(clients):
            kept = {}

            def one(nth=nth, kept=kept):
                if "connection" not in kept:
                    kept["connection"] = http.client.HTTPConnection(
                        "127.0.0.1", edge.port, timeout=patience, source_address=(f"127.0.0.{nth + 10}", 0))
                try:
                    kept["connection"].request("GET", "/", headers={"host": host})
                    kept["connection"].getresponse().read()
                except (OSError, http.client.HTTPException):
                    kept.pop("connection").close()
                    raise

            self.again(one, pause)


def service(name, upstreams, lines="", green=None):
    listed = lambda all: ", ".join(f'"{one}"' for one in all)
    text = f'[[routes]]\nhosts = ["{name}.test"]\nservice = "{name}"\n[services.{name}]\n'
    if green is not None:
        text += "split = { blue = 100, green = 0 }\n"
    text += f"{lines}\n[services.{name}.pools]\nblue.upstreams = [{listed(upstreams)}]\n"
    if green is not None:
        text += f"green.upstreams = [{listed(green)}]\n"
    return text


def every(nth, status=500):
    return lambda count, _: status if count % nth == 0 else 200


def after(seconds):
    def answer(_, __):
        time.sleep(seconds)
        return 200

    return answer


def shop(check):
    """One edge whose services misbehave, each in one way."""
    at = lambda answer: f"127.0.0.1:{origin(answer)}"
    good = [at(lambda *_: 200) for _ in range(4)]
    health = "health = { tcp = true, interval = \"1s\" }"
    slo = 'slo = { availability = "99%" }'
    edge = check.edge("shop", "".join([
        service("well", good[:2], f"{health}\n{slo}"),
        service("burns-fast", [at(every(4))], slo),
        service("burns", [at(every(10))], slo),
        service("burns-slowly", [at(every(35))], slo),
        service("fails", [at(every(5))]),
        service("slow", [at(after(2.5))]),
        service("nobody", [DEAD], health),
        service("fallback", good[:2], 'fallback = { answer = { status = 200, body = "later" } }'),
        service("closed", good[:2]),
        service("full", [at(after(0.03))], "limits = { in_flight = 2, queue = 0 }"),
        service("half", [good[0], DEAD], health),
        service("breaker", [*good, at(lambda *_: 500)], 'ejection = false\nbalance = { by = "round-robin" }'),
        service("name", [*good, "nowhere.invalid:80"]),
        service("taken-back", good[:1], 'rollout = { steps = [5, 50], hold = "1m" }', [at(every(3))]),
        service("waits", good[:1], "", good[1:2]),
    ]))
    for host in ("well", "burns-fast", "burns", "burns-slowly", "fails", "fallback", "name"):
        check.load(edge, f"{host}.test")
    check.load(edge, "slow.test", clients=6)
    check.load(edge, "full.test", clients=2, pause=0.008)
    check.load(edge, "full.test", clients=1, pause=0.5)
    check.load(edge, "breaker.test", clients=4, pause=0.05)
    check.load(edge, "taken-back.test", clients=6, pause=0.05)
    edge.must("breaker", "fallback/blue", "open", "--reason", "restoring the database")
    edge.must("maintenance", "closed", "--message", "back soon", "--reason", "nobody ends it")
    edge.must("rollout", "start", "waits", "--to", "green", "--reason", "v2")
    edge.must("rollout", "pause", "waits", "--reason", "somebody looks at it")
    # What it did before has to be known, and Prometheus has to have seen the counter at 0.
    edge.must("rollout", "start", "taken-back", "--to", "green", "--reason", "v1")
    edge.must("rollout", "abort", "taken-back", "--reason", "so that there is a counter")
    begin = threading.Timer(20, lambda: edge.run("rollout", "start", "taken-back", "--to", "green", "--reason", "v2"))
    begin.start()
    check.at_end.callback(begin.cancel)


def processes(check):
    """Edges that misbehave as a whole."""
    good = f"127.0.0.1:{origin(lambda *_: 200)}"
    plain = service("a", [good])

    check.edge("down", plain)
    crashes = check.edge("crashes", plain)

    def crash():
        crashes.process.kill()
        crashes.process.wait()
        crashes.start()

    check.again(crash, 6)

    crowded = check.edge("crowded", plain, "client = { connections = 10 }")
    held = []

    def crowd():
        held.append(socket.create_connection(("127.0.0.1", crowded.port), 5))
        while len(held) > 20:
            held.pop(0).close()

    check.again(crowd, 0.1)

    # The soft limit is raised to the hard one, so both are low; requests hold two descriptors each.
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
    fds = check.edge("few-fds", service("a", [f"127.0.0.1:{origin(after(600))}"],
                                        'timeouts = { response = "10m" }'), preexec_fn=few)
    room = int(fds.metric("pointsman_connections_limit "))

    def hold():
        if len(waiting) < room:
            one = socket.create_connection(("127.0.0.1", fds.port), 5)
            one.sendall(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            waiting.append(one)

    waiting = []
    check.again(hold, 0.05)

    memory = check.edge("little-memory", plain, 'memory = { limit = "4GiB" }')
    until("memory is measured", lambda: memory.metric("pointsman_memory_used_bytes ") > 0, 30)
    used = memory.metric("pointsman_memory_used_bytes ")
    memory.head = memory.head.replace("4GiB", f"{int(used / 0.925 / 1024)}KiB")
    memory.write(plain)

    starved = check.edge("starved", plain)

    def starve():
        # As a quota does it: so long it may not run.
        starved.process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        starved.process.send_signal(signal.SIGCONT)

    check.again(starve, 0.8)

    refused = check.edge("refused", plain)
    refused.write(plain + "\nnonsense = 1\n")
    unsure = check.edge("unsure", plain + service("b", [good]))
    check.load(unsure, "b.test", clients=2, pause=0.3)
    until("b has had requests", lambda: unsure.metric('pointsman_requests_total{service="b",pool="blue",code="2xx"}') > 0, 60)
    unsure.write(plain)

    heard = origin(lambda *_: 404)
    unheard = check.edge("unheard", service("a", [good, good.replace("127.0.0.1", "localhost")])
                         + f'[[notify]]\nname = "pager"\nurl = "http://127.0.0.1:{heard}/"\nseverity = "low"\n')
    turn = [0]

    def tell():
        # Each is news of another topic.
        turn[0] += 1
        unheard.run("upstream", "add", "a/blue", f"192.0.2.1:{turn[0] + 1000}", "--reason", "more room")
        unheard.run("upstream", "remove", "a/blue", f"192.0.2.1:{turn[0] + 1000}", "--reason", "not needed")

    check.again(tell, 5)

    forgets = check.edge("forgets", plain, 'access_log = { to = "/dev/full" }')
    check.load(forgets, "a.test", clients=2, pause=0.2)

    collector = origin(lambda *_: 400)
    untraced = check.edge("untraced", f'{plain}[traces]\nendpoint = "http://127.0.0.1:{collector}"\nshare = 100\n')
    check.load(untraced, "a.test", clients=2, pause=0.2)


def certificates(check):
    folder = check.folder / "certificates"
    folder.mkdir()
    listed = []
    for name, days in (("soon.test", 10), ("today.test", 1)):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                        "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=folder, check=True, capture_output=True)
        listed.append(f'{{ certificate = "{name}.pem", key = "{name}.key" }}')
    good = f"127.0.0.1:{origin(lambda *_: 200)}"
    tls = (f'[[listeners]]\naddress = "127.0.0.1:{free_port()}"\n[listeners.tls]\ncertificates = [{", ".join(listed)}]\n'
           '[listeners.tls.acme]\nemail = "a@example.com"\nnames = ["ordered.test"]\n'
           f'directory = "https://{DEAD}/directory"\nchallenge = "tls-alpn-01"\n')
    edge = check.edge("certificates", service("a", [good]) + tls)
    # Somebody who believes that it is mended has it tried again at once.
    check.again(lambda: edge.run("reload"), 10)


def full_disk(check):
    state = check.folder / "small"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(state)], check=True)
    check.at_end.callback(lambda: subprocess.run(["umount", "-l", str(state)], check=False))
    good = [f"127.0.0.1:{origin(lambda *_: 200)}"]
    edge = check.edge("full-disk", service("a", good, "", good), f'state_dir = "{state}"')
    with contextlib.suppress(OSError), (state / "others").open("wb") as others:
        while True:
            others.write(bytes(4096))
            others.flush()
    check.again(lambda: edge.run("shift", "a", "blue=90", "green=10", "--reason", "no room for it"), 2)


def main(binary):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
        folder = pathlib.Path(folder)
        check = Check(binary, folder, at_end)
        rules = {name: (ROOT / "conf/prometheus" / name).read_text() for name in ("alerts.yml", "recording.yml")}
        expected = set().union(*EXPECTED.values())
        assert alerts_of(rules["alerts.yml"]) == expected, alerts_of(rules["alerts.yml"]) ^ expected
        for name, text in rules.items():
            (folder / name).write_text(shortened(text))
        for begin in (processes, certificates, full_disk, shop):
            begin(check)
        targets = "".join(f"""
      - targets: ["127.0.0.1:{edge.admin}"]
        labels: {{ edge: "{name}" }}""" for name, edge in check.edges.items())
        prometheus = Prometheus(check.processes, f"""
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [recording.yml, alerts.yml]
scrape_configs:
  - job_name: pointsman
    static_configs:{targets}
""")
        stop(check.edges["down"].process)
        lacking, wrong = {(place, name) for place, names in EXPECTED.items() for name in names}, set()
        begun, end = time.monotonic(), time.monotonic() + PATIENCE
        while lacking and time.monotonic() < end:
            time.sleep(0.5)
            for alert in prometheus.ask("alerts")["alerts"]:
                labels = alert["labels"]
                if alert["state"] != "firing":
                    continue
                # A certificate's name tells what of an edge it is about, as a service's does.
                about = labels.get("name", "") if "ertificate" in labels["alertname"] else labels.get("service", "")
                place, name = (labels["edge"], about), labels["alertname"]
                if (place, name) in lacking:
                    lacking.remove((place, name))
                    print(f"{time.monotonic() - begun:5.0f} s  {name} fires for {place[0]} {place[1]}", flush=True)
                elif name not in EXPECTED.get(place, set()) | ALLOWED.get(place, set()) and (place, name) not in wrong:
                    wrong.add((place, name))
                    print(f"{time.monotonic() - begun:5.0f} s  WRONG: {name} fires for {place}", flush=True)
        for place, name in sorted(lacking):
            print(f"{name} does not fire for {place}", file=sys.stderr)
        if (lacking or wrong) and "KEEP" in os.environ:
            shutil.copytree(folder, os.environ["KEEP"], dirs_exist_ok=True, ignore=shutil.ignore_patterns("data", "small"))
        print(f"{len(expected)} alerts: {len(lacking)} silent for their own symptom, {len(wrong)} fired for another's")
        return 1 if lacking or wrong else 0


if __name__ == "__main__":
    # Ended by `timeout`, it takes its processes and its disk with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve())))
