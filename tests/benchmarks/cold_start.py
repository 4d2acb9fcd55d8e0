"""Cold starts, measured: `python -m tests.benchmarks.cold_start [--runs 7] [FUNCTION ...]`.

Each function is started in a process of its own, on SQLite and a folder with a test key, and asked
one thing; one function after the other, round by round, so that what else the machine does falls on
all alike. Printed as JSON: the medians, and what the import costs by package; then as a table.

Bytecode is read from a folder of its own, filled before anything is measured. Left out is the
server around the function (gunicorn, the container), and Google's clients, whose import is listed
apart: a function pays for each when it first uses it. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

TEST_KEY = "dk_test_of_the_benchmarks"
KEY = {"authorization": f"Bearer {TEST_KEY}"}
CUP = {"model": "nano-banana-2-lite", "resolution": "512", "prompt": "a cup"}
Request = Mapping[str, object]
Figures = Mapping[str, Mapping[str, float]]
FIRST: Mapping[str, Request] = {
    "models": {"method": "GET", "url": "/models"},
    "account": {"method": "GET", "url": "/account", "headers": KEY},
    "generate": {"method": "POST", "url": "/generate", "headers": KEY, "json": CUP},
    "openai": {"method": "GET", "url": "/openai/v1/models", "headers": KEY},
    "gemini": {"method": "GET", "url": "/gemini/v1beta/models", "headers": KEY},
    "batch": {"method": "GET", "url": "/batch", "headers": KEY},
    "edit": {"method": "POST", "url": "/edit", "headers": KEY, "json": CUP},
    "three_d": {"method": "POST", "url": "/three_d", "headers": KEY, "json": CUP},
    "provider_webhook": {"method": "POST", "url": "/provider_webhook/google", "json": {}},
    "on_upload": {"method": "POST", "url": "/", "json": {}},
    "run_request": {"method": "POST", "url": "/", "json": {"message": {}}},
    "batch_callback": {"method": "POST", "url": "/", "json": {"message": {}}},
    "sweep": {"method": "POST", "url": "/", "json": {"message": {}}},
}
"""What each function is asked first. Where that needs a picture or a message, it is refused."""
CLIENTS = ("google.cloud.firestore", "google.cloud.storage", "google.cloud.pubsub_v1")
FIGURES = ("python_ms", "loaded_ms", "answered_ms", "cpu_ms", "memory_mb", "modules")
_IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


class Broken(Exception):
    """A function did not start or did not answer; the message says how."""


def run(env: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own. Raises Broken."""
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Broken(done.stderr.strip().splitlines()[-1])
    return done


def start(env: Mapping[str, str], function: str) -> dict[str, float]:
    """The figures of one start. Raises Broken."""
    asked = json.dumps(FIRST[function])
    begun = str(time.monotonic())
    done = run(env, "-m", "tests.benchmarks.first_answer", function, asked, begun)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if told["status"] >= 500:
        raise Broken(f"{function} answered {told['status']}")
    return told


def medians(env: Mapping[str, str], functions: Sequence[str], runs: int) -> Figures:
    """By function: the median of each figure, its least and its most first answer."""
    told: dict[str, list[dict[str, float]]] = {function: [] for function in functions}
    for _ in range(runs):
        for function in functions:
            told[function].append(start(env, function))
    return {
        function: {
            **{name: statistics.median(one[name] for one in starts) for name in FIGURES},
            "answered_least_ms": min(one["answered_ms"] for one in starts),
            "answered_most_ms": max(one["answered_ms"] for one in starts),
            "status": starts[0]["status"],
        }
        for function, starts in told.items()
    }


def imports(env: Mapping[str, str], runs: int, most: int = 15) -> dict[str, float]:
    """What importing main costs by package, each without what it imports, in milliseconds and the
    dearest first; of several runs the quickest. Being timed makes it half as dear again."""
    spent = min((imported(env) for _ in range(runs)), key=Counter.total)
    dearest = {package: round(micros / 1000, 1) for package, micros in spent.most_common(most)}
    return {"all": round(spent.total() / 1000, 1), **dearest}


def imported(env: Mapping[str, str]) -> Counter[str]:
    """Microseconds by package, of one import."""
    spent: Counter[str] = Counter()
    timed = run(env, "-X", "importtime", "-c", "import main").stderr
    for micros, module in _IMPORTED.findall(timed):
        parts = module.split(".")
        spent[".".join(parts[:2] if parts[0] == "shared" else parts[:1])] += int(micros)
    return spent


def clients(env: Mapping[str, str], runs: int) -> dict[str, float]:
    """What each of Google's clients adds to a process that has loaded main, in milliseconds."""
    timed = (
        "import time, sys, importlib, main; begun = time.monotonic();"
        "importlib.import_module(sys.argv[1]); print((time.monotonic() - begun) * 1000)"
    )
    return {
        client: round(
            statistics.median(float(run(env, "-c", timed, client).stdout) for _ in range(runs)), 1
        )
        for client in CLIENTS
    }


def table(functions: Figures) -> str:
    """The figures of all functions, one line each."""
    lines = [f"{'function':18}" + "".join(f"{name:>13}" for name in FIGURES)]
    for function, told in functions.items():
        lines.append(f"{function:18}" + "".join(f"{told[name]:13.0f}" for name in FIGURES))
    return "\n".join(lines)


def main() -> None:
    """Measure the functions that the command line names, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help=", ".join(FIRST))
    parser.add_argument("--runs", type=int, default=7, help="starts of each function")
    given = parser.parse_args()
    functions = given.functions or list(FIRST)
    if unknown := set(functions) - set(FIRST):
        parser.error(f"there is no function {unknown.pop()!r}")
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "DARKROOM_DATA": str(Path(folder) / "data"),
            "DARKROOM_TEST_KEY": TEST_KEY,
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        run(env, "-m", "tests.benchmarks.first_answer", "introduce")
        for function in functions:
            start(env, function)
        run(env, "-c", ";".join(f"import {client}" for client in CLIENTS))
        measured = medians(env, functions, given.runs)
        told = {
            "functions": measured,
            "import_ms": imports(env, given.runs),
            "clients_ms": clients(env, given.runs),
        }
    sys.stdout.write(f"{json.dumps(told, indent=2)}\n\n{table(measured)}\n")


if __name__ == "__main__":
    main()
