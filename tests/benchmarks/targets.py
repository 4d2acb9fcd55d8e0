"""The gateways that are measured, each as one process on loopback with the benchmarks' upstream
behind it: Darkroom, its rivals as they come from their registries, and floors."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.load import Ask, run
from tests.functions.test_processes import free_port
from tests.wire.targets import cli

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv" / "peers"
"""Where `make peers` installs them."""
STARTS_S = 120.0
PICTURE_BYTES = 1_700_000
"""What an answer with the picture in base64 has at least."""
CREDIT_USD = "1000000"
OPENAI_MODEL, GEMINI_MODEL = "gpt-image-2", "gemini-2.5-flash-image"
PROMPT = "a cup on a table"
LIVE_KEY = "the upstream takes any"


class NotStarted(Exception):
    """A target did not start or gives no picture; the message says what it said last."""


class Process:
    """A process and its children, whose output goes to a file; `end` kills them all."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], output: Path) -> None:
        self._output = output
        usual = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
        with output.open("w") as file:
            self._process = subprocess.Popen(
                command,
                env={**usual, **env},
                cwd=ROOT,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.begun = time.monotonic()

    @property
    def pid(self) -> int:
        """Of the process that was started, which leads its group."""
        return self._process.pid

    def said(self) -> str:
        """The end of all it has printed."""
        return self._output.read_text(errors="replace")[-3000:]

    def until_listening(self, port: int) -> None:
        """Wait for it. Raises NotStarted."""
        while time.monotonic() - self.begun < STARTS_S:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.005)
        raise NotStarted(self.said())

    def cpu_s(self) -> float:
        """Processor time used so far, with all that runs in its group. Linux only."""
        return sum(_cpu_s(pid) for pid in self._group())

    def memory_bytes(self) -> int:
        """What all of them have in memory now."""
        return sum(_status(pid, "VmRSS:") for pid in self._group())

    def peak_bytes(self) -> int:
        """The most that each has had, together."""
        return sum(_status(pid, "VmHWM:") for pid in self._group())

    def shared_out_bytes(self) -> int:
        """What they have in memory now, with what several of them share counted once."""
        return sum(_status(pid, "Pss:", "smaps_rollup") for pid in self._group())

    def forget_peak(self) -> None:
        """Measure the peak from here."""
        for pid in self._group():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def _group(self) -> list[int]:
        found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [pid for pid in found if _group_of(pid) == self.pid]

    def end(self) -> None:
        """Kill it."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _group_of(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[2]) if fields else -1


def _cpu_s(pid: int) -> float:
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _status(pid: int, name: str, file: str = "status") -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


@dataclass(frozen=True)
class Target:
    """One way to ask for the picture: what is sent, to which process. None for the upstream itself,
    asked directly."""

    name: str
    ask: Ask
    process: Process | None = None
    pictures: Path | None = None
    """Where it stores them, if it does."""
    waits: bool = False
    """Whether it is asked what hundreds of waits cost."""


@contextmanager
def upstream(folder: Path) -> Iterator[str]:
    """The address of an upstream, for the length of a block."""
    with upstream_process(folder) as (address, _):
        yield address


@contextmanager
def upstream_process(folder: Path) -> Iterator[tuple[str, Process]]:
    """The same, and its process."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.upstream", "--port", str(port)]
    with _serving("upstream", command, {}, port, folder) as process:
        yield f"http://127.0.0.1:{port}", process


def direct(address: str) -> list[Target]:
    """The upstream, asked as OpenAI and as Google."""
    return [
        Target("upstream", _openai(f"{address}/v1", "gpt-image-1", {}), waits=True),
        Target("upstream, as Google", _gemini(f"{address}/v1beta", {})),
    ]


@contextmanager
def darkroom(address: str, folder: Path) -> Iterator[list[Target]]:
    """Every function in one process, with SQLite and a folder, as `make run` serves them: by its
    own API, answered with links as usual and with the picture, and by both surfaces."""
    data, port = folder / "data", free_port()
    account = cli(data, "accounts", "create", "bench", "--credit-usd", CREDIT_USD)["id"]
    auth = {"authorization": f"Bearer {cli(data, 'keys', 'create', account)['key']}"}
    env = {
        "PORT": str(port),
        "DARKROOM_DATA": str(data),
        "OPENAI_API_KEY": LIVE_KEY,
        "OPENAI_BASE_URL": address,
        "GEMINI_API_KEY": LIVE_KEY,
        "GEMINI_BASE_URL": address,
    }
    url = f"http://127.0.0.1:{port}"
    body = {"model": OPENAI_MODEL, "prompt": PROMPT}
    inline = json.dumps({**body, "delivery": "b64_json"}).encode()
    with _serving("darkroom", [sys.executable, "-m", "functions"], env, port, folder) as process:
        asks = {
            "openai": _openai(f"{url}/openai/v1", OPENAI_MODEL, auth),
            "gemini": _gemini(f"{url}/gemini/v1beta", auth),
            "native": Ask(f"{url}/generate", json.dumps(body).encode(), auth, 200),
            "native b64": Ask(f"{url}/generate", inline, auth, PICTURE_BYTES),
        }
        pictures = data / "objects" / "images"
        targets = [
            Target(f"darkroom, {name}", ask, process, pictures, waits=name == "openai")
            for name, ask in asks.items()
        ]
        _check(targets)
        yield targets


@contextmanager
def litellm(address: str, folder: Path, asked: bool = True) -> Iterator[list[Target]]:
    """LiteLLM's proxy, one worker, no database, with a key; its images API to OpenAI. Unless it is
    `asked` for a picture at once, it may yet turn out to give none."""
    port, config = free_port(), folder / "litellm.yaml"
    upstream = {"model": "openai/gpt-image-1", "api_key": "any", "api_base": f"{address}/v1"}
    listed = [{"model_name": "gpt-image-1", "litellm_params": upstream}]
    # JSON is YAML.
    config.write_text(
        json.dumps({"model_list": listed, "general_settings": {"master_key": "sk-bench"}})
    )
    command = [
        str(PEERS / "litellm" / "bin" / "litellm"),
        *("--config", str(config), "--port", str(port), "--host", "127.0.0.1"),
        *("--num_workers", "1", "--telemetry", "False"),
    ]
    auth = {"authorization": "Bearer sk-bench"}
    # Prices as they are in the package: it would fetch others.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"}
    with _serving("litellm", command, env, port, folder) as process:
        url = f"http://127.0.0.1:{port}/v1"
        targets = [Target("litellm", _openai(url, "gpt-image-1", auth), process, waits=True)]
        _check(targets if asked else [])
        yield targets


@contextmanager
def portkey(address: str, folder: Path, asked: bool = True) -> Iterator[list[Target]]:
    """Portkey's gateway, to OpenAI: it has no keys of its own and stores nothing. `asked` as
    above."""
    port = free_port()
    start = PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build"
    command = ["node", str(start / "start-server.js"), f"--port={port}", "--headless"]
    headers = {
        "authorization": "Bearer any",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{address}/v1",
    }
    with _serving("portkey", command, {"NODE_ENV": "production"}, port, folder) as process:
        url = f"http://127.0.0.1:{port}/v1"
        targets = [Target("portkey", _openai(url, "gpt-image-1", headers), process, waits=True)]
        _check(targets if asked else [])
        yield targets


@contextmanager
def floor(address: str, folder: Path) -> Iterator[list[Target]]:
    """What decodes, hashes and writes each picture and answers with it, and does nothing else."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "functions_framework", "--target", "floor"),
        *("--source", str(Path(__file__).with_name("floor.py")), "--port", str(port)),
    ]
    pictures = folder / "floor"
    pictures.mkdir()
    env = {
        "FUNCTION_USE_ASGI": "true",
        "FLOOR_UPSTREAM": f"{address}/v1/images/generations",
        "FLOOR_FOLDER": str(pictures),
    }
    with _serving("floor", command, env, port, folder) as process:
        url = f"http://127.0.0.1:{port}/v1"
        ask = _openai(url, "gpt-image-1", {})
        targets = [Target("floor that stores", ask, process, pictures, waits=True)]
        _check(targets)
        yield targets


def _openai(base: str, model: str, headers: Mapping[str, str]) -> Ask:
    body = {"model": model, "prompt": PROMPT, "n": 1, "size": "1024x1024"}
    url = f"{base}/images/generations"
    return Ask(url, json.dumps(body).encode(), headers, PICTURE_BYTES)


def _gemini(base: str, headers: Mapping[str, str]) -> Ask:
    body = {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}
    url = f"{base}/models/{GEMINI_MODEL}:generateContent"
    return Ask(url, json.dumps(body).encode(), headers, PICTURE_BYTES)


@contextmanager
def _serving(
    name: str, command: Sequence[str], env: Mapping[str, str], port: int, folder: Path
) -> Iterator[Process]:
    process = Process(command, env, folder / f"{name}.txt")
    try:
        process.until_listening(port)
        yield process
    finally:
        process.end()


def _check(targets: list[Target]) -> None:
    """Raises NotStarted for one that gives no picture."""
    for target in targets:
        outcome = run(target.ask, 1, 1, timeout_s=30)
        if outcome.failures:
            said = target.process.said() if target.process else ""
            raise NotStarted(f"{target.name}: {outcome.failures[0]}\n{said}")
