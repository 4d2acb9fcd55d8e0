"""Cold starts, measured: `python -m tests.benchmarks.cold_start [--runs 7] [--python PATH]
[FUNCTION ...]`.

Each function is started in a process of its own, on SQLite and a folder with a test key, and asked
one thing; one function after the other, round by round, so that what else the machine does falls on
all alike. Printed as JSON: the medians, and what the image path imports by package; then as a
table. From the start to the first picture, as served and beside other gateways, it is measured by
`tests.benchmarks.first_picture`, which this runs afterwards.

`--python` is what our processes run on: one that has requirements.txt alone is what is deployed,
while httpx imports rich where that is installed. Bytecode is read from a folder of its own, filled
before anything is measured. Left out of the first table is the server around the function
(gunicorn, the container), and Google's clients, whose import is listed apart: a function pays for
each when it first uses it. Linux only.
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
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import first_picture

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
IMAGE_PATH = (
    "import functions_framework.aio, main; main.{function};"
    "import aiohttp, PIL.Image, shared.providers.openai_images, "
)
IMPORTS: Mapping[str, str] = {
    "framework": "import functions_framework.aio",
    "load": "import functions_framework.aio, main; main.{function}",
    "local": IMAGE_PATH + "shared.records.sqlite, shared.storage.disk",
    "cloud": IMAGE_PATH + "shared.records.firestore, shared.storage.gcs",
}
"""What is imported by when: by the framework, before it listens, and up to a picture."""
FIGURES = ("python_ms", "loaded_ms", "answered_ms", "cpu_ms", "memory_mb", "modules")
_IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


class Broken(Exception):
    """A function did not start or did not answer; the message says how."""


@dataclass(frozen=True)
class Python:
    """What is measured: an interpreter, and the environment of its processes."""

    path: str
    env: Mapping[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A process of its own. Raises Broken."""
        done = subprocess.run(
            [self.path, *command],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Broken(done.stderr.strip().splitlines()[-1])
        return done


def start(python: Python, function: str) -> dict[str, float]:
    """The figures of one start. Raises Broken."""
    asked = json.dumps(FIRST[function])
    begun = str(time.monotonic())
    done = python.run("-m", "tests.benchmarks.first_answer", function, asked, begun)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if told["status"] >= 500:
        raise Broken(f"{function} answered {told['status']}")
    return told


def medians(python: Python, functions: Sequence[str], runs: int) -> Figures:
    """By function: the median of each figure, its least and its most first answer."""
    told: dict[str, list[dict[str, float]]] = {function: [] for function in functions}
    for _ in range(runs):
        for function in functions:
            told[function].append(start(python, function))
    return {
        function: {
            **{name: statistics.median(one[name] for one in starts) for name in FIGURES},
            "answered_least_ms": min(one["answered_ms"] for one in starts),
            "answered_most_ms": max(one["answered_ms"] for one in starts),
            "status": starts[0]["status"],
        }
        for function, starts in told.items()
    }


def imports(python: Python, function: str, runs: int) -> dict[str, float]:
    """The milliseconds of IMPORTS for a function, medians, one after the other in each round."""
    told: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(runs):
        for name, statement in IMPORTS.items():
            told[name].append(took_ms(python, statement.format(function=function)))
    return {name: round(statistics.median(values), 1) for name, values in told.items()}


def took_ms(python: Python, statement: str, before: str = "pass") -> float:
    """The milliseconds of a statement in a new process, after another."""
    timed = (
        f"import time; {before}; begun = time.monotonic(); {statement};"
        "print((time.monotonic() - begun) * 1000)"
    )
    return float(python.run("-c", timed).stdout)


def packages(python: Python, statement: str, runs: int, most: int = 15) -> dict[str, float]:
    """What a statement imports by package, each without what it imports, in milliseconds and the
    dearest first; of several runs the quickest. Being timed makes it half as dear again."""
    spent = min((imported(python, statement) for _ in range(runs)), key=Counter.total)
    dearest = {package: round(micros / 1000, 1) for package, micros in spent.most_common(most)}
    return {"all": round(spent.total() / 1000, 1), **dearest}


def imported(python: Python, statement: str) -> Counter[str]:
    """Microseconds by package, of one import."""
    spent: Counter[str] = Counter()
    timed = python.run("-X", "importtime", "-c", statement).stderr
    for micros, module in _IMPORTED.findall(timed):
        parts = module.split(".")
        spent[".".join(parts[:2] if parts[0] in ("shared", "google") else parts[:1])] += int(micros)
    return spent


def clients(python: Python, runs: int) -> dict[str, float]:
    """What each of Google's clients adds to a process that has loaded a function, in
    milliseconds."""
    loaded = IMPORTS["load"].format(function="generate")
    return {
        client: round(
            statistics.median(took_ms(python, f"import {client}", loaded) for _ in range(runs)), 1
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
    parser.add_argument("--python", default=sys.executable, help="what is measured runs on it")
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
        python = Python(given.python, env)
        python.run("-m", "tests.benchmarks.first_answer", "introduce")
        for function in functions:
            start(python, function)
        python.run("-c", ";".join(f"import {client}" for client in CLIENTS))
        images = [name for name in first_picture.PATHS if name in functions]
        for name in images:
            imports(python, name, 1)
        measured = medians(python, functions, given.runs)
        told: dict[str, object] = {
            "functions": measured,
            "import_ms": {name: imports(python, name, given.runs) for name in images},
            "packages_ms": {
                where: packages(python, IMPORTS[where].format(function="openai"), given.runs)
                for where in ("local", "cloud")
            },
            "clients_ms": clients(python, given.runs),
        }
    pictures, shown = first_picture.measure(given.python, given.runs, given.functions and images)
    sys.stdout.write(f"{json.dumps({**told, **pictures}, indent=2)}\n\n{table(measured)}\n")
    sys.stdout.write(f"\n{shown}\n")


if __name__ == "__main__":
    main()
