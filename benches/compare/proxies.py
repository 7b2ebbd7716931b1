"""The proxies that are compared: what each is told, and how it is started.

Each is a function of a Place (folder and ports) that writes a config and gives a command. All do
HTTP/1.1 to the same origin, with 64 kept connections to it where that can be said, and no log.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field

BIN = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
BARE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "benches/bare_pingora/target")) / "release"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@dataclass
class Place:
    """Where one proxy runs."""

    folder: pathlib.Path
    origin: int
    workers: int = 1
    port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    secure: int = field(default_factory=free_port)

    def certificate(self):
        """A certificate, its key, and both in one file; made once."""
        own = [self.folder / name for name in ("own.pem", "own.key", "own.both")]
        if not own[2].exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "30", "-keyout", own[1], "-out", own[0], "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
            own[1].chmod(0o600)
            own[2].write_bytes(own[0].read_bytes() + own[1].read_bytes())
        return own

    def write(self, name, text):
        path = self.folder / f"{self.port}-{name}"
        path.write_text(text)
        return str(path)


def tool(name):
    """A command of PATH, or of the Python environment this runs in (where wheels put theirs)."""
    beside = pathlib.Path(sys.executable).parent / name
    return shutil.which(name) or (str(beside) if beside.exists() else None)


def nginx_config(place, http, location):
    certificate, key, _ = place.certificate()
    processes = "master_process off;" if place.workers == 1 else f"worker_processes {place.workers};"
    temps = " ".join(
        f"{kind}_temp_path {place.folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return place.write(
        "nginx.conf",
        f"""daemon off; {processes} pid {place.folder}/{place.port}.pid; error_log {place.folder}/nginx.log crit;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0; {temps}
  {http}
  server {{
    listen 127.0.0.1:{place.port} backlog=4096; listen 127.0.0.1:{place.secure} ssl http2 backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on;
    http2_max_requests 100000000; server_name 127.0.0.1 shop.test *.shop.test;
    location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; {location} }}
  }}
}}
""",
    )


def nginx_upstream(name, place):
    return f"upstream {name} {{ server 127.0.0.1:{place.origin}; keepalive 64; keepalive_requests 100000000; }}"


def nginx(place):
    config = nginx_config(
        place,
        nginx_upstream("app", place),
        "proxy_pass http://app; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;",
    )
    return ["nginx", "-c", config]


def nginx_same(place):
    """nginx that does what Pointsman does: forwarded fields, an id, trace context, a split."""
    config = nginx_config(
        place,
        """split_clients "${remote_addr}AA" $pool { 50% blue; * green; }
  map $http_x_request_id $rid { "" $request_id; default $http_x_request_id; }
  """
        + nginx_upstream("blue", place)
        + nginx_upstream("green", place),
        """proxy_pass http://$pool; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Request-Id $rid;
      proxy_set_header traceparent "00-$request_id-0123456789abcdef-02"; add_header X-Request-Id $rid;""",
    )
    return ["nginx", "-c", config]


def haproxy_config(place, frontend, backends):
    return place.write(
        "haproxy.cfg",
        f"""global
  nbthread {place.workers}
  maxconn 6000
defaults
  mode http
  timeout connect 1s
  timeout client 300s
  timeout server 300s
  http-reuse always
frontend in
  bind 127.0.0.1:{place.port} backlog 4096
  bind 127.0.0.1:{place.secure} ssl crt {place.certificate()[2]} alpn h2,http/1.1 backlog 4096
  {frontend}
{backends}
""",
    )


def haproxy_backend(name, place):
    return f"backend {name}\n  server a 127.0.0.1:{place.origin} pool-max-conn 64\n"


def haproxy(place):
    config = haproxy_config(place, "option forwardfor\n  default_backend app", haproxy_backend("app", place))
    return ["haproxy", "-db", "-f", config]


def haproxy_same(place):
    frontend = """option forwardfor
  unique-id-format %{+X}o\\ %ci%cp%fi%fp%Ts%rt%pid
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header traceparent 00-%[uuid,regsub(-,,g)]-0123456789abcdef-02
  http-response set-header X-Request-Id %[unique-id]
  use_backend blue if { rand(100) lt 50 }
  default_backend green"""
    backends = haproxy_backend("blue", place) + haproxy_backend("green", place)
    return ["haproxy", "-db", "-f", haproxy_config(place, frontend, backends)]


def envoy(place):
    config = place.write(
        "envoy.yaml",
        f"""static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {place.port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: app, timeout: 0s }} }} ] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: app
    type: STATIC
    load_assignment:
      cluster_name: app
      endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {place.origin} }} }} }} }} ] }} ]
""",
    )
    return [tool("envoy"), "-c", config, "--concurrency", str(place.workers), "--log-level", "off",
            "--disable-hot-restart"]


def caddy(place):
    config = place.write(
        "Caddyfile",
        f"""{{
  admin off
  auto_https off
  persist_config off
}}
http://127.0.0.1:{place.port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{place.origin} {{
    transport http {{
      keepalive_idle_conns_per_host 64
    }}
  }}
}}
""",
    )
    return ["env", f"GOMAXPROCS={place.workers}", f"HOME={place.folder}", tool("caddy"), "run", "--config", config,
            "--adapter", "caddyfile"]


def bare_pingora(place):
    return [str(BARE / "bare_pingora"), f"127.0.0.1:{place.port}", f"127.0.0.1:{place.origin}"]


def nginx_smaller(place):
    """With answers of JSON made smaller, at the level that Pointsman has."""
    gzip = "gzip on; gzip_comp_level 5; gzip_types application/json; gzip_min_length 1024; gzip_proxied any;"
    return ["nginx", "-c", nginx_config(place, gzip + nginx_upstream("app", place), "proxy_pass http://app;")]


def pointsman_smaller(coding):
    return lambda place: pointsman(place, service=f'compression = {{ codings = ["{coding}"] }}')


def pointsman(place, service="", pools="", extra=""):
    """Everything on that a request can meet: a route table, a sticky split, an override, trusted
    proxies, metrics; breakers, ejection and retries are on by default."""
    certificate, key, _ = place.certificate()
    config = place.write(
        "pointsman.toml",
        f"""[server]
workers = {place.workers}
trusted_proxies = ["10.0.0.0/8"]
state_dir = "{place.folder}/{place.port}-state"
[[listeners]]
address = "127.0.0.1:{place.port}"
[[listeners]]
address = "127.0.0.1:{place.secure}"
tls.certificates = [{{ certificate = "{certificate}", key = "{key}", default = true }}]
[admin]
address = "127.0.0.1:{place.admin}"
[[routes]]
hosts = ["127.0.0.1", "shop.test", "*.shop.test"]
service = "shop"
[[routes]]
hosts = ["api.test"]
path_prefix = "/v1"
service = "shop"
{extra.replace("ORIGIN", str(place.origin))}
[services.shop]
split = {{ blue = 50, green = 50 }}
sticky = {{ cookie = "sid", client_ip = true }}
override = {{ header = "x-pointsman-pool" }}
{service}
[services.shop.pools]
blue.upstreams = ["127.0.0.1:{place.origin}"]
green.upstreams = ["127.0.0.1:{place.origin}"]
{pools}
""",
    )
    return [str(BIN / "pointsman"), "run", "--no-watch", config]


PROXIES = {
    "nginx": nginx,
    "nginx, same work": nginx_same,
    "HAProxy": haproxy,
    "HAProxy, same work": haproxy_same,
    "Envoy": envoy,
    "Caddy": caddy,
    "bare pingora": bare_pingora,
    "Pointsman": pointsman,
}

# Those that make answers smaller, with the coding that a client names.
SMALLER = {
    "as it is": (pointsman, "identity"),
    "gzip": (pointsman_smaller("gzip"), "gzip"),
    "gzip by nginx": (nginx_smaller, "gzip"),
    "br": (pointsman_smaller("br"), "br"),
    "zstd": (pointsman_smaller("zstd"), "zstd"),
}


def is_here(name):
    needs = {"Envoy": "envoy", "Caddy": "caddy", "nginx": "nginx", "HAProxy": "haproxy"}
    need = needs.get(name.split(",")[0])
    return need is None or tool(need) is not None

# What a service may have on beside the above. The judge needs a target that gets a share.
VARIANTS = {
    "health checks": {"service": 'health = { http = { path = "/" } }'},
    "an SLO": {"service": "slo = {}"},
    "a flag": {"extra": "[flags.new]\nservices = [\"shop\"]\npercent = 50"},
    "stale answers": {"service": "fallback = { stale = {} }"},
    "a mirror of 10 %": {
        "service": 'mirror = { to = "black", percent = 10 }',
        "pools": 'black.upstreams = ["127.0.0.1:1"]',
    },
    "an access log": {"extra": '[server.access_log]\nto = "/dev/null"'},
    "traces of 1 %": {"extra": '[traces]\nendpoint = "http://127.0.0.1:ORIGIN"'},
}
