"""What schemathesis has to be told of this API: names that there are, and what JSON Schema cannot say.

Cases that are meant to be wrong stay as they are; of those that are meant to be right, most are given
names of pointsman.toml, and all of them shares that sum to 100, steps that rise and texts that are
configs.
"""

import json
import pathlib
import zlib

import schemathesis

CONFIG = pathlib.Path("pointsman.toml").read_text()
POOLS = {
    "shop": {"blue": ["127.0.0.1:9", "127.0.0.2:9"], "green": ["127.0.0.3:9", "127.0.0.4:9"]},
    "cart": {"blue": ["127.0.0.5:9", "127.0.0.6:9"], "green": ["127.0.0.7:9", "127.0.0.8:9"],
             "red": ["127.0.0.9:9"]},
    "till": {"only": ["unix:/run/nobody.sock", "srv:_http._tcp.till.test"]},
}
FLAGS = ["new_checkout", "dark"]


@schemathesis.serializer("application/toml")
def toml(ctx, value):
    """A config is a text, whatever it says."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Gives a case names that there are, and what belongs together."""
    # Nobody watches for ever.
    if case.operation.path == "/v1/live" and "lines" not in (case.query or {}):
        case.query = {**(case.query or {}), "lines": 1}
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    draw = zlib.crc32(repr((case.operation.label, case.path_parameters, case.body)).encode())
    path = case.path_parameters or {}
    if draw % 8:
        name_what_there_is(path, draw)
    # Nobody waits half a minute for an event.
    query = case.query or {}
    if isinstance(query.get("wait"), int) and query["wait"] > 1:
        query["wait"] = 1
    if case.operation.path == "/v1/live":
        case.query["lines"] = 1
        if "service" in query:
            case.query["service"] = pick(list(POOLS), draw)
    if case.operation.path == "/v1/config/explain" and isinstance(case.body, dict):
        case.body["config"] = {"path": "next.toml", "text": CONFIG}
    if isinstance(case.body, dict):
        make_sense(case.operation.label, case.body, POOLS.get(path.get("service")), draw)
    if case.operation.path == "/v1/config/diff" and isinstance(case.body, str):
        case.body = f"{CONFIG}\n# {json.dumps(case.body)}\n"


def name_what_there_is(path, draw):
    """Parts of a path that are names of the config, the same for the same case."""
    if "service" in path:
        path["service"] = pick(list(POOLS), draw)
        pools = POOLS[path["service"]]
        if "pool" in path:
            path["pool"] = pick(list(pools), draw >> 4)
            if "address" in path:
                path["address"] = pick(pools[path["pool"]], draw >> 8)
    if "flag" in path:
        path["flag"] = pick(FLAGS, draw)
    if isinstance(path.get("id"), int):
        path["id"] = 1 + draw % 3


def make_sense(label, body, pools, draw):
    """What a body says that hangs together."""
    names = list(pools or {"blue": []})
    if label == "PUT /v1/services/{service}/split":
        first = draw % 101
        body["weights"] = {names[0]: 100 if len(names) == 1 else first}
        if len(names) > 1:
            body["weights"][names[1]] = 100 - first
    if label == "POST /v1/services/{service}/flip" and draw % 8:
        body["to"] = pick(names, draw)
    if label == "POST /v1/services/{service}/deploy" and draw % 8:
        body["pool"] = pick(names, draw)
    if label in ("POST /v1/services/{service}/rollout", "POST /v1/services/{service}/deploy"):
        if label.endswith("rollout"):
            body["to"] = pick(names, draw)
        if isinstance(body.get("steps"), list):
            body["steps"] = sorted({step for step in body["steps"] if 0 < step < 100}) + [100]


def pick(values, draw):
    return values[draw % len(values)]
