"""From the start of a process to its first picture, and what it has in memory when idle: each image
function as it is deployed, all functions as `make run` serves them, and the gateways of
`tests.benchmarks.targets`. `python -m tests.benchmarks.first_picture [--runs 5] [--python PATH]`.

One start of each after the other, round by round, so that what else the machine does falls on all
alike; a start of each goes before, which fills its bytecode, and does not count. Each is started
twice a round: asked for a picture as soon as it listens, and left alone. `cpu` is processor time
up to the picture, which a busy machine changes less. Memory is that of a process and its children:
`rss` added up, `pss` with what they share counted once. A gateway that does not start is named with
what it said. Prints JSON, then a table. Linux only.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from PIL import Image

from tests.benchmarks import targets
from tests.benchmarks.load import Ask, run
from tests.benchmarks.targets import NotStarted, Process, Target
from tests.functions.test_processes import free_port
from tests.wire.targets import cli

SETTLES_S = 2.0
"""From when it listens, or from its first picture, until memory is looked at."""
ANSWERS_S = 60.0
PATHS = {
    "generate": "/generate",
    "edit": "/edit",
    "openai": "/openai/v1/images/generations",
    "gemini": f"/gemini/v1beta/models/{targets.GEMINI_MODEL}:generateContent",
}
"""What is asked of each image function."""
ALL = "all functions"
FIGURES = (
    "listens_ms", "picture_ms", "cpu_ms",
    "idle_rss_mb", "idle_pss_mb", "used_rss_mb", "used_pss_mb",
)  # fmt: skip
Gateway = Callable[[], AbstractContextManager[Target]]
"""Starts one, which listens and was asked for nothing yet. Raises NotStarted."""
Values = Mapping[str, Sequence[float]]
"""By figure, a value a round."""


def ours(python: str, address: str, folder: Path) -> dict[str, Gateway]:
    """Each image function under the framework, and all functions in one process; with SQLite and a
    folder, and a live key of an account that was there before."""
    data = folder / "data"
    account = cli(data, "accounts", "create", "bench", "--credit-usd", targets.CREDIT_USD)["id"]
    auth = {"authorization": f"Bearer {cli(data, 'keys', 'create', account)['key']}"}
    env = {
        "DARKROOM_DATA": str(data),
        "HOST": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "",
        **{f"{vendor}_API_KEY": targets.LIVE_KEY for vendor in ("OPENAI", "GEMINI")},
        **{f"{vendor}_BASE_URL": address for vendor in ("OPENAI", "GEMINI")},
    }
    deployed = {**env, "FUNCTION_USE_ASGI": "true", "LOG_EXECUTION_ID": "true"}

    @contextmanager
    def started(command: Sequence[str], env: Mapping[str, str], path: str) -> Iterator[Target]:
        port = free_port()
        given = {**env, "PORT": str(port)}
        process = Process([python, "-m", *command], given, folder / "darkroom.txt")
        try:
            process.until_listening(port)
            body = json.dumps(_body(path)).encode()
            yield Target(path, Ask(f"http://127.0.0.1:{port}{path}", body, auth, 200), process)
        finally:
            process.end()

    def function(name: str) -> Gateway:
        command = ["functions_framework", "--target", name, "--source", "main.py"]
        return lambda: started(command, deployed, PATHS[name])

    return {
        **{name: function(name) for name in PATHS},
        ALL: lambda: started(["functions"], env, PATHS["openai"]),
    }


def _body(path: str) -> Mapping[str, object]:
    if path == PATHS["gemini"]:
        return {"contents": [{"role": "user", "parts": [{"text": targets.PROMPT}]}]}
    asked = {"model": targets.OPENAI_MODEL, "prompt": targets.PROMPT}
    return {**asked, "images": [{"b64_json": _square()}]} if path == PATHS["edit"] else asked


def _square() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (1024, 1024), "red").save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def theirs(address: str, folder: Path) -> dict[str, Gateway]:
    """Those that others would choose."""

    @contextmanager
    def alone(
        start: Callable[[str, Path, bool], AbstractContextManager[list[Target]]],
    ) -> Iterator[Target]:
        with start(address, folder, False) as (target,):
            yield target

    return {
        "litellm": lambda: alone(targets.litellm),
        "portkey": lambda: alone(targets.portkey),
    }


def once(gateway: Gateway) -> dict[str, float]:
    """The figures of two starts. Raises NotStarted."""
    told: dict[str, float] = {}
    with gateway() as target:
        process = _process(target)
        told["listens_ms"] = (time.monotonic() - process.begun) * 1000
        outcome = run(target.ask, 1, 1, ANSWERS_S)
        told["picture_ms"] = (time.monotonic() - process.begun) * 1000
        told["cpu_ms"] = process.cpu_s() * 1000
        if outcome.failures:
            raise NotStarted(f"{outcome.failures[0]}\n{process.said()}")
        told |= _memory(process, "used")
    with gateway() as target:
        told |= _memory(_process(target), "idle")
    return told


def _process(target: Target) -> Process:
    assert target.process is not None
    return target.process


def _memory(process: Process, when: str) -> dict[str, float]:
    time.sleep(SETTLES_S)
    return {
        f"{when}_rss_mb": process.memory_bytes() / 1e6,
        f"{when}_pss_mb": process.shared_out_bytes() / 1e6,
    }


def measured(
    gateways: Mapping[str, Gateway], runs: int
) -> tuple[dict[str, Values], dict[str, str]]:
    """What each took, round by round; and of those that do not start, what they said."""
    values: dict[str, dict[str, list[float]]] = {}
    missing: dict[str, str] = {}
    for turn in range(runs + 1):
        for name, gateway in gateways.items():
            if name in missing:
                continue
            try:
                told = once(gateway)
            except (NotStarted, OSError) as error:
                missing[name] = str(error).partition("\n")[0]
                continue
            # The first fills the bytecode.
            if turn:
                for figure, value in told.items():
                    values.setdefault(name, {}).setdefault(figure, []).append(value)
    return {name: told for name, told in values.items() if name not in missing}, missing


def summary(told: Mapping[str, Values]) -> dict[str, dict[str, float]]:
    """Medians, the least and the most time to a picture, and how many times as much as ours each
    other gateway takes, by its medians: of time our slowest function's, of memory our largest's."""
    found = {
        name: {
            **{figure: round(statistics.median(of[figure]), 1) for figure in FIGURES},
            "picture_least_ms": round(min(of["picture_ms"]), 1),
            "picture_most_ms": round(max(of["picture_ms"]), 1),
        }
        for name, of in told.items()
    }
    mine = [of for name, of in found.items() if name in PATHS]
    for name, of in found.items():
        if mine and name not in (*PATHS, ALL):
            for figure in ("picture_ms", "cpu_ms", "idle_rss_mb", "used_rss_mb"):
                of[f"{figure}_ratio"] = round(of[figure] / max(one[figure] for one in mine), 2)
    return found


def table(found: Mapping[str, Mapping[str, float]], missing: Mapping[str, str]) -> str:
    """A line each."""
    columns = [*FIGURES[:2], "picture_least_ms", "picture_most_ms", *FIGURES[2:]]
    lines = [f"{'gateway':14}" + "".join(f"{name:>17}" for name in columns)]
    for name, of in found.items():
        lines.append(f"{name:14}" + "".join(f"{of[column]:17.0f}" for column in columns))
    for name, of in found.items():
        ratios = [f"{figure} {value}" for figure, value in of.items() if figure.endswith("_ratio")]
        if ratios:
            lines.append(f"{name} to the worst of our functions: {', '.join(ratios)}")
    lines += [f"{name} was not measured: {why}" for name, why in missing.items()]
    return "\n".join(lines)


def measure(python: str, runs: int, names: Sequence[str] = ()) -> tuple[dict[str, object], str]:
    """What is printed, as JSON and as a table; of all, or of those named."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with targets.upstream(folder) as address:
            gateways = {**ours(python, address, folder), **theirs(address, folder)}
            chosen = {name: gateways[name] for name in names or gateways}
            told, missing = measured(chosen, runs)
    found = summary(told)
    return {"first_picture": found, "not_measured": missing}, table(found, missing)


def main() -> None:
    """Measure all, or what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("gateways", nargs="*", metavar="GATEWAY")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--python", default=sys.executable, help="what our functions run on")
    given = parser.parse_args()
    told, shown = measure(given.python, given.runs, given.gateways)
    sys.stdout.write(f"{json.dumps(told, indent=2)}\n\n{shown}\n")


if __name__ == "__main__":
    main()
