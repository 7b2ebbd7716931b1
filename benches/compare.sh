#!/usr/bin/env bash
# nginx, HAProxy, a bare pingora and Pointsman before the same origin, one worker each, in one table.
#
#   benches/compare.sh [SECONDS] [CONNECTIONS]      default: 5 seconds, 32 connections
#
# Requests/s, CPU and latency come from wrk and /proc and are noisy: compare rows of one run only.
# Instructions come from callgrind and repeat to within a per cent: the difference of two runs with
# different numbers of requests, so that starting up cancels out, with system calls not counted.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-5}
connections=${2:-32}
few=500 # requests of the two callgrind runs
many=2500

need() { command -v "$1" >/dev/null || missing+=("$2"); }
missing=()
need nginx nginx-light
need haproxy haproxy
need wrk wrk
need valgrind valgrind
need python3 python3
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq && apt-get install -y -qq "${missing[@]}" >/dev/null
fi

cargo build --release --bin pointsman --example bare_pingora
bin=${CARGO_TARGET_DIR:-target}/release

dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
origin=$(free_port)
nginx_port=$(free_port)
haproxy_port=$(free_port)
bare_port=$(free_port)
our_port=$(free_port)
admin_port=$(free_port)

cat >"$dir/origin.conf" <<CONF
daemon off; worker_processes 1; pid $dir/origin.pid; error_log $dir/origin.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  server { listen 127.0.0.1:$origin; location / { default_type text/plain; return 200 "hello from the origin\n"; } }
}
CONF
cat >"$dir/nginx.conf" <<CONF
daemon off; master_process off; pid $dir/nginx.pid; error_log $dir/nginx.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
  upstream app { server 127.0.0.1:$origin; keepalive 64; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:$nginx_port;
    location / {
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host \$host; proxy_set_header X-Forwarded-For \$remote_addr;
    }
  }
}
CONF
cat >"$dir/haproxy.cfg" <<CONF
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:$haproxy_port
  default_backend app
backend app
  server a 127.0.0.1:$origin pool-max-conn 64
CONF
# Everything on that a request can meet: a route table, a sticky split, an override, trusted
# proxies, headers, metrics.
cat >"$dir/pointsman.toml" <<CONF
[server]
workers = 1
trusted_proxies = ["10.0.0.0/8"]
[[listeners]]
address = "127.0.0.1:$our_port"
[admin]
address = "127.0.0.1:$admin_port"
[[routes]]
hosts = ["127.0.0.1", "shop.test", "*.shop.test"]
service = "shop"
[[routes]]
hosts = ["api.test"]
path_prefix = "/v1"
service = "shop"
[services.shop]
split = { blue = 50, green = 50 }
sticky = { cookie = "sid", client_ip = true }
override = { header = "x-pointsman-pool" }
[services.shop.pools]
blue.upstreams = ["127.0.0.1:$origin"]
green.upstreams = ["127.0.0.1:$origin"]
CONF

wait_port() {
  for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  echo "nothing listens on port $1" >&2
  exit 1
}
command_of() {
  case $1 in
    nginx) echo "nginx -c $dir/nginx.conf" ;;
    haproxy) echo "haproxy -db -f $dir/haproxy.cfg" ;;
    "bare pingora") echo "$bin/examples/bare_pingora 127.0.0.1:$bare_port 127.0.0.1:$origin" ;;
    pointsman) echo "$bin/pointsman run --no-watch $dir/pointsman.toml" ;;
  esac
}
port_of() {
  case $1 in
    nginx) echo "$nginx_port" ;;
    haproxy) echo "$haproxy_port" ;;
    "bare pingora") echo "$bare_port" ;;
    pointsman) echo "$our_port" ;;
  esac
}
start() { # command…; sets $pid
  "$@" >"$dir/out" 2>&1 &
  pid=$!
  pids+=("$pid")
}
stop() {
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }

# Exactly $2 requests, one after the other, on one connection to port $1.
requests() {
  python3 - "$1" "$2" <<'PY'
import socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
s = socket.create_connection(("127.0.0.1", port))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: compare\r\nAccept: */*\r\n\r\n"
buffer = b""
for _ in range(count):
    s.sendall(request)
    while b"origin\n" not in buffer:
        part = s.recv(65536)
        assert part, "the connection ended"
        buffer += part
    assert buffer.startswith(b"HTTP/1.1 200"), buffer
    buffer = b""
PY
}
instructions() { # name, count
  start valgrind --tool=callgrind --callgrind-out-file=/dev/null $(command_of "$1")
  wait_port "$(port_of "$1")"
  requests "$(port_of "$1")" "$2"
  kill -TERM "$pid"
  wait "$pid" 2>/dev/null || true
  grep -oE 'Collected : [0-9]+' "$dir/out" | awk '{print $3}'
}

start nginx -c "$dir/origin.conf"
wait_port "$origin"
hertz=$(getconf CLK_TCK)

rows=()
for name in nginx haproxy "bare pingora" pointsman; do
  port=$(port_of "$name")
  start $(command_of "$name")
  proxy=$pid
  wait_port "$port"
  wrk -t1 -c"$connections" -d1s "http://127.0.0.1:$port/" >/dev/null # warm up
  before=$(ticks "$proxy")
  wrk -t1 -c"$connections" -d"${seconds}s" --latency "http://127.0.0.1:$port/" >"$dir/wrk"
  after=$(ticks "$proxy")
  if grep -qE 'Non-2xx|Socket errors' "$dir/wrk"; then
    cat "$dir/wrk" >&2
    exit 1
  fi
  rss=$(awk '/VmRSS/ {print $2}' "/proc/$proxy/status")
  stop "$proxy"
  total=$(awk '/requests in/ {print $1}' "$dir/wrk")
  rate=$(awk '/Requests\/sec/ {printf "%.0f", $2}' "$dir/wrk")
  p50=$(awk '$1=="50%" {print $2}' "$dir/wrk")
  p99=$(awk '$1=="99%" {print $2}' "$dir/wrk")
  cpu=$(awk -v t=$((after - before)) -v h="$hertz" -v n="$total" 'BEGIN {printf "%.1f", t / h * 1e6 / n}')
  one=$(instructions "$name" "$few")
  two=$(instructions "$name" "$many")
  per=$(awk -v a="$one" -v b="$two" -v n=$((many - few)) 'BEGIN {printf "%.1f", (b - a) / n / 1000}')
  rows+=("$name|$rate|$cpu|$p50|$p99|$per|$((rss / 1024))")
  echo "measured $name" >&2
done

printf '\n| proxy | requests/s | CPU µs/request | p50 | p99 | k instructions/request | RSS MiB | CPU to nginx | CPU to haproxy |\n'
printf '|---|---|---|---|---|---|---|---|---|\n'
cpu_of() { printf '%s\n' "${rows[@]}" | awk -F'|' -v name="$1" '$1 == name {print $3}'; }
nginx_cpu=$(cpu_of nginx)
haproxy_cpu=$(cpu_of haproxy)
for row in "${rows[@]}"; do
  IFS='|' read -r name rate cpu p50 p99 per rss <<<"$row"
  ratio() { awk -v a="$cpu" -v b="$1" 'BEGIN {printf "%.2f", a / b}'; }
  echo "| $name | $rate | $cpu | $p50 | $p99 | $per | $rss | $(ratio "$nginx_cpu") | $(ratio "$haproxy_cpu") |"
done
