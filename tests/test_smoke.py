"""The smoke test passes where everything works, and says what does not."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from shared import local
from shared.app import App, build
from shared.settings import Settings
from tests.functions.test_processes import Server, server
from tests.smoke import ACCOUNT_ID, CHECKS, Failed, Site, Waits, failed, fresh_key

URL = "https://darkroom.example"
DONE_S = 60.0


def picture(side: int = 8) -> bytes:
    painted = io.BytesIO()
    Image.new("RGB", (side, side)).save(painted, "PNG")
    return painted.getvalue()


class Deployment:
    """One that works, until a test puts something else into `made`, `later` or `answers`."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {
            "id": "req_1",
            "status": "succeeded",
            "sandbox": True,
            "model": "m",
            "error": None,
            "images": [{"url": f"{URL}/account/images/1", "width": 8, "height": 8}],
        }
        self.later = ["queued", "succeeded"]
        self.answers: dict[str, list[Callable[[], httpx.Response]]] = {}
        """What comes before the usual answer, by path."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if instead := self.answers.get(path):
            return instead.pop(0)()
        if path == "/models":
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        if path == "/account/images/1":
            assert not request.headers["authorization"], "a picture's link is enough"
            return httpx.Response(200, content=picture())
        if path == "/account/requests/req_1":
            return httpx.Response(200, json={**self.made, "status": self.later.pop(0)})
        if not request.headers["authorization"]:
            return httpx.Response(401, json={"error": {"code": "unauthenticated"}})
        if request.headers.get("prefer") == "respond-async":
            return httpx.Response(202, json={**self.made, "status": "queued"})
        return httpx.Response(200, json=self.made)


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


def wrong(deployment: Deployment, waits: Waits = Waits(120, 120, 0)) -> int:  # noqa: B008 # frozen
    """How many checks fail on it."""

    async def tried() -> int:
        transport = httpx.MockTransport(deployment)
        headers = {"authorization": "Bearer dk_test_1"}
        async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
            return await failed(Site(client, waits), "my-project")

    return asyncio.run(tried())


def test_a_deployment_that_works_passes(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wrong(deployment) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == [f"ok      {check.name}" for check in CHECKS]


def no_answer() -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize("path", ["/models", "/generate", "/account/images/1"])
def test_a_function_may_take_a_while_to_be_there(deployment: Deployment, path: str) -> None:
    deployment.answers[path] = [
        no_answer,
        *(lambda s=s: httpx.Response(s) for s in (403, 404, 503)),
    ]
    assert wrong(deployment) == 0
    assert not deployment.answers[path]


def test_but_not_for_ever(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deployment.answers["/models"] = [lambda: httpx.Response(404), no_answer]
    assert wrong(deployment, Waits(ready_s=0, ended_s=120, every_s=0)) == 2
    listed, _, made = capsys.readouterr().out.partition(
        "FAILED  POST /generate: no answer: refused"
    )
    assert (
        "FAILED  GET /models: GET https://darkroom.example/models answered 404, not 200" in listed
    )
    assert "'resource.labels.service_name=(\"models\") AND severity>=WARNING'" in listed
    assert "--project=my-project" in listed
    assert "DNS" in made


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sandbox": False}, "sandbox False"),
        ({"images": []}, "not as the API's description says"),
        ({"images": [{"url": f"{URL}/account/images/1", "width": 8, "height": 9}]}, "(8, 8)"),
        ({"images": [{"url": f"{URL}/models", "width": 8, "height": 8}]}, "cannot be opened"),
    ],
)
def test_what_is_no_picture_of_the_sandbox_fails(
    deployment: Deployment,
    change: dict[str, object],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    deployment.made |= change
    assert wrong(deployment) == 2, "now and later"
    assert says in capsys.readouterr().out


def test_a_deployment_that_is_open_to_all_fails(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    made = lambda: httpx.Response(200, json=deployment.made)  # noqa: E731
    deployment.answers["/generate"] = [made, made]
    assert wrong(deployment) == 1
    assert "without a key: POST https://darkroom.example/generate answered 200, not 401" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("waits", "says"),
    [(Waits(0, 120, 0), "req_1 failed"), (Waits(0, 0, 0), "req_1 is still queued after 0 s")],
)
def test_a_request_that_comes_to_nothing_later_fails(
    deployment: Deployment, waits: Waits, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.later = ["failed"]
    assert wrong(deployment, waits) == 1
    said = capsys.readouterr().out
    assert says in said
    assert '("run-request" OR "sweep")' in said


def kept(data: Path) -> App:
    return build(local.completed(Settings(data=data)))


def test_the_key_is_revoked_though_the_block_fails_and_the_account_stays(tmp_path: Path) -> None:
    async def twice() -> None:
        app = kept(tmp_path)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                async with fresh_key(app) as key:
                    assert (await app.accounts.authenticate(key)).test
                    raise ZeroDivisionError
        keys = await app.records.keys(ACCOUNT_ID)
        assert [account.id for account in await app.records.accounts()] == [ACCOUNT_ID]
        assert len(keys) == 2
        assert all(key.revoked_at for key in keys)
        await app.close()

    asyncio.run(twice())


def test_a_key_that_cannot_be_made_is_about_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_: object) -> None:
        raise PermissionError("403 Missing or insufficient permissions.")

    async def tried() -> None:
        app = kept(tmp_path)
        monkeypatch.setattr(app.records, "create_key", refused)
        with pytest.raises(Failed, match=r"insufficient permissions(.|\n)*roles/datastore.user"):
            async with fresh_key(app):
                pass
        await app.close()

    asyncio.run(tried())


def command(of: Server, data: Path, *options: str) -> subprocess.Popen[str]:
    """The program as a pipeline runs it, with its settings in a file."""
    named = data.parent / "operator_env.json"
    named.write_text(json.dumps({"DARKROOM_PUBLIC_URL": of.url, "DARKROOM_DATA": str(data)}))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.smoke", str(named), *options],
        env={k: v for k, v in os.environ.items() if not k.startswith("DARKROOM_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def open_keys(data: Path) -> int:
    """How many keys of the account "smoke" still open something."""

    async def counted() -> int:
        app = kept(data)
        keys = await app.records.keys(ACCOUNT_ID)
        await app.close()
        assert keys
        return sum(key.revoked_at is None for key in keys)

    return asyncio.run(counted())


@pytest.mark.process
def test_a_local_server_passes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with server(["functions"], data) as started:
        tried = command(started, data)
        said, _ = tried.communicate(timeout=DONE_S)
    assert tried.returncode == 0, said
    assert len(re.findall("^ok ", said, re.MULTILINE)) == len(CHECKS)
    assert "dk_test_" not in said
    assert open_keys(data) == 0


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server whose messages reach nobody."""
    data = tmp_path / "data"
    with server(["tests.deaf"], data) as started:
        yield started, data


@pytest.mark.process
def test_a_request_that_nobody_makes_fails_in_time(deaf: tuple[Server, Path]) -> None:
    tried = command(*deaf, "--ended-s", "0.5")
    said, _ = tried.communicate(timeout=DONE_S)
    assert tried.returncode == 1
    assert re.search(r"^FAILED  POST /generate, made later: req_\w+ is still queued", said, re.M)
    assert len(re.findall("^ok ", said, re.MULTILINE)) == len(CHECKS) - 1
    assert said.endswith("FAILED  1 of 4 checks\n")
    assert open_keys(deaf[1]) == 0


@pytest.mark.process
def test_a_pipeline_that_ran_out_of_time_leaves_no_key(deaf: tuple[Server, Path]) -> None:
    tried = command(*deaf)
    assert tried.stdout is not None
    with tried.stdout as lines:
        assert any("without a key" in line for line in lines)
        tried.send_signal(signal.SIGTERM)
        assert "stopped before the end" in lines.read()
    assert tried.wait(DONE_S) == 1
    assert open_keys(deaf[1]) == 0
