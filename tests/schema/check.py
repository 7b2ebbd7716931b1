"""What `pointsman check` takes the schema takes; what is known to be bad neither of them does.

The files are those of `conf/` and many that are made of the reference: each key that it shows in a comment
is set, and each value is replaced by others, good and bad ones.
"""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import jsonschema

program, schema_file, root = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], pathlib.Path(sys.argv[3])
schema = json.loads(pathlib.Path(schema_file).read_text())
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)

# What the reference names.
folder = tempfile.TemporaryDirectory()
(pathlib.Path(folder.name) / "gate.key").write_text("a key")

KEY = re.compile(r'^(# )?([A-Za-z0-9_".-]+) = (.+?)(\s+# .*)?$')
OTHERS = [
    '""', '"x"', '"${NAME}"', '"${NAME:-5s}"', "-1", "0", "1", "7", "100000000000", "1.5", "true", "false", "[]",
    '["x"]', "[1]", "{ x = 1 }", '{ x = "y" }', '"5s"', '"0s"', '"never"', '"5"', '"1KiB"', '"1 kB"', '"50%"',
    '"200-399"', "[503, \"5xx\"]",
]


def says_schema(text):
    """What is wrong with it; none if nothing is."""
    return next((error for error in validator.iter_errors(tomllib.loads(text))), None)


def says_check(text):
    ran = subprocess.run(
        [program, "check", "--json", "-"], input=text.encode(), capture_output=True, cwd=folder.name,
        env={"NAME": "x"}, check=False,
    )
    return json.loads(ran.stdout)["valid"]


def variants(text):
    """The file with one line set that was a comment, or with another value in it."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        found = KEY.match(line)
        if not found:
            continue
        mark, key, value, _ = found.groups()
        others = OTHERS if not mark else [value, *OTHERS]
        for other in others:
            made = "\n".join([*lines[:at], f"{key} = {other}", *lines[at + 1:]])
            try:
                tomllib.loads(made)
            except tomllib.TOMLDecodeError:
                continue
            yield f"line {at + 1}: {key} = {other}", made


wrong = []
for file in sorted(root.glob("conf/*.toml")):
    error = says_schema(file.read_text())
    if error:
        wrong.append(f"{file.name}: {error.json_path}: {error.message}")
for file in sorted(root.glob("tests/schema/bad/*.toml")):
    if says_schema(file.read_text()) is None:
        wrong.append(f"{file.name}: the schema takes it")
    if says_check(file.read_text()):
        wrong.append(f"{file.name}: `check` takes it")

made = list(variants((root / "conf/reference.toml").read_text()))
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    taken = list(pool.map(says_check, (text for _, text in made)))
both = neither = only_schema = 0
for (what, text), is_taken in zip(made, taken):
    error = says_schema(text)
    if is_taken and error:
        wrong.append(f"{what}: only `check` takes it: {error.json_path}: {error.message[:200]}")
    both += is_taken and not error
    neither += not is_taken and error is not None
    only_schema += not is_taken and error is None
refused = neither / (neither + only_schema)
print(f"{len(made)} files: both take {both}, neither {neither}; {only_schema} only `check` finds")
if both < 500 or refused < 0.7:
    wrong.append("the schema says too little, or the files are too few")
if wrong:
    sys.exit(f"{len(wrong)} wrong:\n" + "\n".join(wrong[:60]))
