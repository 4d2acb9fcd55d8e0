"""The real servers: each function under the Functions Framework, and all of them as `make run`
serves them, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.darkroom import TEST_KEY

pytestmark = pytest.mark.process
AUTH = {"authorization": f"Bearer {TEST_KEY}"}
CUP = {"model": "nano-banana", "prompt": "a cup"}
DEADLINE_S = 30.0


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], bool]) -> None:
    """Wait for it, for a bounded time."""
    ends = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)


def answers(url: str) -> Callable[[], bool]:
    """Whether somebody answers there."""

    def asked() -> bool:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=5)
            return True
        return False

    return asked


class Server:
    """A process that serves on a loopback port; `kill` is SIGKILL to it and its children."""

    def __init__(self, command: list[str], data: Path, env: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = (data.parent / f"output-{self.port}.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={
                **{k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")},
                "PORT": str(self.port),
                "DARKROOM_DATA": str(data),
                "DARKROOM_TEST_KEY": TEST_KEY,
                "DARKROOM_SIGNING_SECRET": "of the tests",
                "DARKROOM_PUBLIC_URL": self.url,
                **env,
            },
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )

    def said(self) -> str:
        """All it has printed."""
        self.output.seek(0)
        return self.output.read()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(DEADLINE_S)


@contextlib.contextmanager
def server(command: list[str], data: Path, **env: str) -> Iterator[Server]:
    """A server for the length of a block."""
    started = Server(command, data, env)
    try:
        until(answers(started.url))
        yield started
    finally:
        started.kill()
        started.output.close()


@contextlib.contextmanager
def framework(name: str, data: Path) -> Iterator[Server]:
    """One function, served as Cloud Functions does."""
    command = ["functions_framework", "--target", name, "--source", "main.py"]
    with server(command, data, FUNCTION_USE_ASGI="true", LOG_EXECUTION_ID="true") as started:
        yield started


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an account and a test key in it."""
    folder = tmp_path / "data"
    with server(["functions"], folder):
        pass
    return folder


def test_generate_answers_under_the_framework_and_logs_json(data: Path) -> None:
    with framework("generate", data) as generate:
        trace = "0af7651916cd43dd8448eb211c80319c"
        headers = {**AUTH, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        for path in ("/", "/generate"):
            answer = httpx.post(generate.url + path, json=CUP, headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text
        lines = [json.loads(line) for line in generate.said().splitlines() if line[:1] == "{"]
        done = [line for line in lines if line.get("event") == "request.ended"]
        assert len(done) == 2
        assert done[1]["severity"] == "INFO"
        assert done[1]["request_id"] == answer.json()["id"]
        assert done[1]["logging.googleapis.com/trace"].endswith(trace)
        assert TEST_KEY not in generate.said() and "a cup" not in generate.said()


def test_edit_answers_under_the_framework(data: Path) -> None:
    with framework("edit", data) as edit:
        answer = httpx.post(edit.url, json=CUP, headers=AUTH, timeout=30)
        assert answer.json()["error"]["param"] == "images"


def test_account_answers_under_the_framework(data: Path) -> None:
    with framework("account", data) as account:
        for path in ("/", "/account", "/requests", "/account/requests"):
            assert httpx.get(account.url + path, headers=AUTH, timeout=30).status_code == 200


def test_models_answers_under_the_framework(data: Path) -> None:
    with framework("models", data) as models:
        for path in ("/", "/models", "/nano-banana", "/models/openapi.json"):
            assert httpx.get(models.url + path, timeout=30).status_code == 200


def test_sweep_answers_under_the_framework(data: Path) -> None:
    with framework("sweep", data) as sweep:
        assert httpx.post(sweep.url, json={"message": {}}, timeout=30).status_code == 204


def test_a_request_cut_by_a_kill_is_released_at_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    slow = {**CUP, "prompt": "a cup [sandbox:slow=60]"}
    with server(["functions"], data) as first:

        def running() -> bool:
            account = httpx.get(f"{first.url}/account", headers=AUTH).json()
            return bool(account["usage"]["running"] == 1)

        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{first.url}/generate",
                json=slow,
                headers={**AUTH, "idempotency-key": "k"},
                timeout=1,
            )
        until(running)
        first.kill()
    with server(["functions"], data) as second:
        account = httpx.get(f"{second.url}/account", headers=AUTH).json()
        assert account["usage"]["running"] == 0
        (record,) = httpx.get(f"{second.url}/account/requests", headers=AUTH).json()["data"]
        assert record["status"] == "failed"
        assert record["error"]["code"] == "outcome_unknown"
        check = subprocess.run(
            [sys.executable, "-m", "shared.cli", "ledger", "check"],
            env={**os.environ, "DARKROOM_DATA": str(data)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert check.returncode == 0, check.stdout + check.stderr


def test_a_caller_who_hangs_up_finds_the_picture_by_its_key(tmp_path: Path) -> None:
    body = {**CUP, "prompt": "a cup [sandbox:slow=2]"}
    headers = {**AUTH, "idempotency-key": "k"}
    with server(["functions"], tmp_path / "data") as started:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{started.url}/generate", json=body, headers=headers, timeout=1)

        def succeeded() -> bool:
            query = {"idempotency_key": "k", "status": "succeeded"}
            found = httpx.get(f"{started.url}/account/requests", params=query, headers=AUTH)
            return bool(found.json()["data"])

        until(succeeded)
        again = httpx.post(f"{started.url}/generate", json=body, headers=headers)
        assert again.headers["idempotent-replayed"] == "true"
        assert httpx.get(again.json()["images"][0]["url"]).status_code == 200


def test_a_polite_end_waits_for_the_work_begun(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with server(["functions"], data) as started:
        with pytest.raises(httpx.ReadTimeout):
            body = {**CUP, "prompt": "a cup [sandbox:slow=2]"}
            httpx.post(f"{started.url}/generate", json=body, headers=AUTH, timeout=0.7)
        started.kill(signal.SIGTERM)
    with server(["functions"], data) as again:
        (record,) = httpx.get(f"{again.url}/account/requests", headers=AUTH).json()["data"]
        assert record["status"] == "succeeded"


def test_the_first_start_makes_a_key_that_the_second_one_keeps(tmp_path: Path) -> None:
    data, keys = tmp_path / "data", set()
    for _ in range(2):
        with server(["functions"], data, DARKROOM_TEST_KEY="") as started:
            (line,) = [n for n in started.said().splitlines() if "DARKROOM_TEST_KEY=" in n]
            key = line.split("=")[1]
            auth = {"authorization": f"Bearer {key}"}
            assert httpx.get(f"{started.url}/account", headers=auth).status_code == 200
            keys.add(key)
    assert len(keys) == 1
    assert (data / "test_key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"PORT": "x"}, "PORT"),
        ({"DARKROOM_CATALOGUE": "/nowhere.toml"}, "nowhere.toml"),
        ({"DARKROOM_TEST_KEY": "wrong"}, "dk_test_"),
    ],
)
def test_a_start_that_cannot_be_is_one_line(
    tmp_path: Path, env: dict[str, str], reason: str
) -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "functions"],
        env={**os.environ, "DARKROOM_DATA": str(tmp_path), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert tried.returncode == 1
    assert reason in tried.stderr
    assert "Traceback" not in tried.stderr


def test_a_data_folder_has_one_server(tmp_path: Path) -> None:
    with server(["functions"], tmp_path / "data"):
        second = subprocess.run(
            [sys.executable, "-m", "functions"],
            env={**os.environ, "DARKROOM_DATA": str(tmp_path / "data"), "PORT": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )
        assert second.returncode == 1
        assert "another server" in second.stderr
