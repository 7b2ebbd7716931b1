"""Real peers before and behind Pointsman. Run by `run`, which installs them."""

import asyncio
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import websockets

BINARY = sys.argv[1]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Plain(BaseHTTPRequestHandler):
    """An origin that speaks HTTP/1.1."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    # All that h2load asks at once.
    request_queue_size = 512
    daemon_threads = True


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-sum", "7"), ("x-seen", metadata.get("x-own", "none"))))
    if request == b"fail":
        context.abort(grpc.StatusCode.UNAVAILABLE, "nope")
    return request


def up(requests, _):
    return b"".join(requests)


def down(request, _):
    for _ in range(5):
        yield request


def talk(requests, _):
    for request in requests:
        yield request


def grpc_server():
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
    }),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def check_grpc(channel):
    call = channel.unary_unary("/t.T/Unary")
    for body in (b"", b"x", b"y" * 3_000_000):
        answer, how = call.with_call(body, metadata=(("x-own", "1"),), timeout=60)
        assert answer == body
        assert dict(how.trailing_metadata())["x-sum"] == "7", how.trailing_metadata()
        assert dict(how.trailing_metadata())["x-seen"] == "1", how.trailing_metadata()
    try:
        call(b"fail", timeout=60)
        raise AssertionError("it did not fail")
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "nope"), error
    assert channel.stream_unary("/t.T/Up")(iter([b"a", b"b", b"c"]), timeout=60) == b"abc"
    assert list(channel.unary_stream("/t.T/Down")(b"d", timeout=60)) == [b"d"] * 5
    # Each word is sent when the answer to the one before it is here.
    words = []

    def sending():
        for word in (b"one", b"two", b"three"):
            yield word
            while len(words) == 0 or words[-1] != word:
                time.sleep(0.001)

    for word in channel.stream_stream("/t.T/Talk")(sending(), timeout=60):
        words.append(word)
    assert words == [b"one", b"two", b"three"], words
    try:
        channel.unary_unary("/none.T/Unary")(b"", timeout=60)
        raise AssertionError("there is no such service")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def check_resumption(edge):
    ticket = str(pathlib.Path(edge.folder.name, "ticket"))
    ask = "GET /plain HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{edge.secure}", "-servername", "localhost",
              "-CAfile", edge.certificate, "-ign_eof"]
    first = said(*client, "-sess_out", ticket, given=ask)
    assert "hello" in first and "Verify return code: 0 (ok)" in first, first
    again = said(*client, "-sess_in", ticket, given=ask)
    assert "hello" in again and "Reused, TLSv1.3" in again, again


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def check_websocket():
    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        origin = server.sockets[0].getsockname()[1]
        with pointsman({"ws": (origin, False)}) as edge:
            async with websockets.connect(f"ws://127.0.0.1:{edge.port}/ws", max_size=None) as client:
                for message in ("hello", b"\0\1", "x" * 1_000_000):
                    await client.send(message)
                    assert await client.recv() == message


class pointsman:
    """A process before these services, each at a path of its name."""

    def __init__(self, services):
        self.folder = tempfile.TemporaryDirectory()
        self.port, self.secure, self.admin = free_port(), free_port(), free_port()
        self.certificate = str(pathlib.Path(self.folder.name, "own.pem"))
        key = str(pathlib.Path(self.folder.name, "own.key"))
        said("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-keyout", key, "-out", self.certificate, "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        os.chmod(key, 0o600)
        text = f'''[[listeners]]
address = "127.0.0.1:{self.port}"
speaks = ["http1", "h2"]
[[listeners]]
address = "127.0.0.1:{self.secure}"
tls.certificates = [{{ certificate = "own.pem", key = "own.key", default = true }}]
[admin]
address = "127.0.0.1:{self.admin}"
'''
        for name, (port, http2) in services.items():
            text += f'''[[routes]]
path_prefix = "/{name}"
service = "{name.replace(".", "-")}"
[services.{name.replace(".", "-")}.pools.only]
http2 = {str(http2).lower()}
upstreams = ["127.0.0.1:{port}"]
'''
        file = pathlib.Path(self.folder.name, "pointsman.toml")
        file.write_text(text)
        self.process = subprocess.Popen([BINARY, "run", str(file)], stdout=subprocess.DEVNULL)
        for _ in range(3000):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, "it ended"
                time.sleep(0.01)
        raise AssertionError("nothing listens")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.folder.cleanup()


def said(*command, given=None):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, input=given).stdout


def main():
    origin = Server(("127.0.0.1", 0), Plain)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    server, port = grpc_server()
    with pointsman({"plain": (origin.server_port, False), "t.T": (port, True)}) as edge:
        url = f"http://127.0.0.1:{edge.port}/plain"
        for version in ("--http1.1", "--http2-prior-knowledge"):
            assert said("curl", "-sS", version, url) == "hello\n"
            body = "x" * 300_000
            assert said("curl", "-sS", version, "--data-binary", "@-", url, given=body) == body
        print("curl: both versions, GET and 300 kB up and down")
        if shutil.which("h2load"):
            out = said("h2load", "-n", "5000", "-c", "4", "-m", "50", url)
            assert "5000 succeeded, 0 failed, 0 errored" in out, out
            print("h2load: 5,000 of 5,000", re.findall(r"finished in .*", out)[0])
        secure = f"https://localhost:{edge.secure}/plain"
        for version, wanted in (("--http1.1", "1.1"), ("--http2", "2")):
            got = said("curl", "-sS", version, "--cacert", edge.certificate, "-w", "%{http_version}", secure)
            assert got == "hello\n" + wanted, got
        print("curl: both versions over TLS, as agreed in the handshake")
        if shutil.which("h2load"):
            out = said("h2load", "-n", "2000", "-c", "4", "-m", "20", secure)
            assert "2000 succeeded, 0 failed, 0 errored" in out, out
            print("h2load over TLS: 2,000 of 2,000,", re.findall(r"Application protocol: .*", out)[0])
        check_resumption(edge)
        print("openssl: a session is taken up again")
        with grpc.insecure_channel(f"127.0.0.1:{edge.port}") as channel:
            check_grpc(channel)
        trust = grpc.ssl_channel_credentials(pathlib.Path(edge.certificate).read_bytes())
        with grpc.secure_channel(f"localhost:{edge.secure}", trust) as channel:
            check_grpc(channel)
        print("grpc, plain and over TLS: calls of four kinds, metadata, trailers, 3 MB, a failure, an unknown service")
    server.stop(0)
    asyncio.run(check_websocket())
    print("websockets: text, bytes, 1 MB")


main()
