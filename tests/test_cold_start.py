"""What a function's start and its first answer load and open: nothing that it does not use."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import main
from functions import http
from shared import app as root
from shared import local, sandbox
from shared.deferred import deferred
from shared.event_message import pushed
from shared.events import Event
from shared.providers.registry import WIRES
from shared.settings import Settings
from tests import command_line
from tests.darkroom import TEST_KEY
from tests.upstream import picture, png

CLOUD = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "DARKROOM_FIRESTORE_DATABASE": "darkroom",
    "DARKROOM_BUCKET": "a-project-darkroom",
    "DARKROOM_TOPIC_PREFIX": "darkroom-",
    "DARKROOM_SIGNING_SECRET": "of the tests",
    "DARKROOM_PUBLIC_URL": "https://darkroom.test",
    "DARKROOM_CORS_ORIGINS": "https://app.test",
}
RECORDS, STORAGE, EVENTS = (
    "google.cloud.firestore",
    "google.cloud.storage",
    "google.cloud.pubsub_v1",
)
HEAVY = (
    RECORDS, STORAGE, EVENTS, "google.api_core", "google.auth", "grpc", "requests",
    "PIL", "aiohttp", "cryptography", "jwt", "sqlite3", "shared.sandbox.painter",
    "shared.sandbox.google", "shared.sandbox.openai", "shared.openapi",
)  # fmt: skip
"""None of them is cheap, and none is used by every function."""
STORY = """
import asyncio, json, sys, tempfile
import httpx
HEAVY = json.loads(sys.argv[1])
told = {}
def tell(when):
    told[when] = [name for name in HEAVY if name in sys.modules]
import main
main.generate, main.models, main.provider_webhook
tell("import")
from functions import generate, http, models, provider_webhook
def ask(function, method, path, **more):
    async def asked():
        transport = httpx.ASGITransport(function.APP)
        async with httpx.AsyncClient(transport=transport, base_url="https://d.test") as client:
            return (await client.request(method, path, **more)).status_code
    return asyncio.run(asked())
assert ask(models, "GET", "/models") == 200
assert ask(models, "GET", "/models/nano-banana") == 200
assert ask(models, "POST", "/models/estimate", json={"prompt": "a cup"}) == 200
tell("models")
asked = {"origin": "https://app.test", "access-control-request-method": "POST"}
assert ask(generate, "OPTIONS", "/generate", headers=asked) == 200
assert ask(generate, "POST", "/generate", json={"prompt": "a cup"}) == 401
assert ask(provider_webhook, "POST", "/provider_webhook/google", json={}) == 404
tell("refused")
app = http.app()
app.records.look
tell("records")
app.storage.put
tell("storage")
app.events.publish
tell("events")
assert ask(models, "GET", "/models/openapi.json") == 200
tell("openapi")
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    """Which of HEAVY one process had loaded by when, on the settings that functions have."""
    ours = {k: v for k, v in os.environ.items() if not k.endswith(("_EMULATOR_HOST", "_API_KEY"))}
    done = subprocess.run(
        [sys.executable, "-c", STORY, json.dumps(HEAVY)],
        env={**ours, **CLOUD},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.process
def test_a_start_loads_nothing_heavy(told: dict[str, list[str]]) -> None:
    assert told["import"] == []


@pytest.mark.process
def test_the_catalogue_is_shown_without_a_client_of_google(told: dict[str, list[str]]) -> None:
    assert told["models"] == []
    assert told["openapi"][-1:] == ["shared.openapi"]


@pytest.mark.process
def test_whoever_is_refused_for_no_key_costs_no_client_either(told: dict[str, list[str]]) -> None:
    assert told["refused"] == []


@pytest.mark.process
def test_each_backend_brings_its_own_client_and_no_other(told: dict[str, list[str]]) -> None:
    assert RECORDS in told["records"]
    assert not {STORAGE, EVENTS, "PIL", "sqlite3"} & set(told["records"])
    assert not {"aiohttp", STORAGE} & set(told["records"])
    # Objects are written and read without its client.
    assert "aiohttp" in told["storage"]
    assert not {STORAGE, EVENTS, "PIL", "sqlite3"} & set(told["storage"])
    # Its publisher is imported with the first message.
    assert EVENTS not in told["events"]
    assert not [name for name in told["events"] if name.startswith("shared.")]


LOADED = """
import asyncio, gc, json, os, sys
from functions_framework import aio
name, path, body, key, answer, told_in = sys.argv[1:]
told = {}
def tell(when):
    told[when] = [m for m in sys.modules if m in ("PIL", "aiohttp", "google.api_core", "grpc")
                  or m.partition(".")[0] in ("functions", "shared")]
served = aio.create_asgi_app(name, "main.py")
assert gc.isenabled() and gc.get_freeze_count() > 10_000
tell("start")
async def provider(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\\r")[0]))
    length = f"HTTP/1.1 200 OK\\r\\ncontent-length: {len(answer)}\\r\\n"
    writer.write((length + "content-type: application/json\\r\\n\\r\\n" + answer).encode())
async def asked():
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    address = "http://%s:%d" % server.sockets[0].getsockname()
    os.environ["OPENAI_BASE_URL"] = os.environ["GEMINI_BASE_URL"] = address
    sent = []
    async def receive():
        return {"type": "http.request", "body": body.encode()}
    async def send(message):
        sent.append(message)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers":
             [(name.encode(), value.encode()) for name, value in headers.items()]}
    await served(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    tell("picture")
asyncio.run(asked())
with open(told_in, "w") as file:
    json.dump(told, file)
"""
"""Loads a function as the framework does, and has it make a picture on local backends."""
SQUARE = base64.b64encode(png()).decode()
OF_OPENAI = json.dumps({"data": [{"b64_json": SQUARE}], "usage": {"input_tokens": 1,
                        "output_tokens": 1, "total_tokens": 2}})  # fmt: skip
IMAGE_FUNCTIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("generate", "/generate", {"model": "gpt-image-2", "prompt": "a cup"}, "openai_images"),
    ("edit", "/edit", {"model": "gpt-image-2", "prompt": "a cup", "images":
     [{"b64_json": SQUARE}]}, "openai_images"),
    ("openai", "/openai/v1/images/generations", {"model": "gpt-image-2", "prompt": "a cup"},
     "openai_images"),
    ("gemini", "/gemini/v1beta/models/gemini-2.5-flash-image:generateContent",
     {"contents": [{"parts": [{"text": "a cup"}]}]}, "gemini"),
]  # fmt: skip
"""Function, what is asked of it, and the wire format of who is called for it."""
MACHINERY = {"batches", "batch_intake", "batch_steps", "batch_collect", "google_batches",
             "google_files", "openai_batches", "openai_files", "sweep", "openapi"}  # fmt: skip
"""Modules of `shared` that no picture needs."""


@pytest.mark.process
@pytest.mark.parametrize(("function", "path", "body", "wire"), IMAGE_FUNCTIONS)
def test_an_image_function_loads_what_its_picture_needs(
    function: str,
    path: str,
    body: dict[str, Any],
    wire: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = command_line.fresh(tmp_path, monkeypatch)
    account = command_line.shown("accounts", "create", "shop", "--credit-usd", "10")["id"]
    key = command_line.shown("keys", "create", account)["key"]
    told_in = str(tmp_path / "told.json")
    answer = OF_OPENAI if wire == "openai_images" else picture(png()).text
    ours = {k: v for k, v in os.environ.items() if not k.endswith(("_EMULATOR_HOST", "_API_KEY"))}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, function, path, json.dumps(body), key, answer, told_in],
        env={**ours, "DARKROOM_DATA": str(data), "OPENAI_API_KEY": "any", "GEMINI_API_KEY": "any"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = {when: set(names) for when, names in json.loads(Path(told_in).read_text()).items()}
    others = set(main.FUNCTIONS) - {function}
    machinery = {f"shared.{name}" for name in MACHINERY}
    adapters = {f"shared.providers.{name}" for name in (*WIRES, "gemini_batches", "openai_batches")}
    assert f"functions.{function}" in told["start"]
    for names in told.values():
        assert not names & {f"functions.{other}" for other in others}
        assert not names & machinery
        assert not {name for name in names if name in ("google.api_core", "grpc")}
    assert not told["start"] & {"PIL", "aiohttp", *adapters}
    assert {"PIL", "aiohttp"} < told["picture"]
    assert told["picture"] & adapters == {f"shared.providers.{wire}"}
    assert not {name for name in told["picture"] if name.startswith("shared.sandbox.openai")}


def test_each_function_is_an_attribute_of_main_and_nothing_else_is() -> None:
    for name in main.FUNCTIONS:
        assert getattr(main, name).__name__ == name
    with pytest.raises(AttributeError, match="'http'"):
        _ = main.http


class Opened:
    """An App on the cloud's settings, whose backends are a laptop's; `kinds` is what was opened."""

    def __init__(self, data: Path, patch: pytest.MonkeyPatch) -> None:
        self._home = root.build(
            local.completed(
                Settings.from_env({"DARKROOM_DATA": str(data), "DARKROOM_TEST_KEY": TEST_KEY})
            )
        )
        self.kinds: set[str] = set()
        for kind in ("records", "storage", "events"):
            there = getattr(self._home, kind)
            patch.setattr(root, f"_{kind}", self._noted(kind, lambda *_, there=there: there))
        patch.setattr(root, "_exchange", self._noted("network", root._exchange))
        patch.setattr(sandbox, "_gathered", self._noted("sandbox", sandbox._gathered))
        self._app = root.build(Settings.from_env({**CLOUD, "DARKROOM_DATA": str(data)}))

    def _noted(self, kind: str, make: Callable[..., object]) -> Callable[..., object]:
        def made(*given: object) -> object:
            self.kinds.add(kind)
            return make(*given)

        return made

    async def ask(self, function: str, method: str, path: str, **more: Any) -> int:
        """The status that a function answers first."""
        await local.introduce(self._home)
        http.use(self._app)
        transport = httpx.ASGITransport(importlib.import_module(f"functions.{function}").APP)
        async with httpx.AsyncClient(transport=transport, base_url="https://d.test") as client:
            status = (await client.request(method, path, **more)).status_code
        await self._app.transport.close()
        await self._home.close()
        return status


KEY = {"authorization": f"Bearer {TEST_KEY}"}
CUP = {"prompt": "a cup"}
FINALIZED = {"ce-type": "google.cloud.storage.object.v1.finalized"}
FIRST: list[tuple[str, str, dict[str, Any], int, set[str]]] = [
    ("models", "GET /", {}, 200, set()),
    ("models", "POST /estimate", {"json": CUP}, 200, set()),
    ("generate", "POST /", {"json": CUP}, 401, set()),
    ("generate", "POST /", {"json": {"prompt": 1}, "headers": KEY}, 400, {"records"}),
    ("batch", "GET /", {"headers": KEY}, 200, {"records"}),
    ("account", "GET /", {"headers": KEY}, 200, {"records"}),
    ("openai", "GET /v1/models", {"headers": KEY}, 200, {"records"}),
    ("gemini", "GET /v1beta/models", {"headers": KEY}, 200, {"records"}),
    ("provider_webhook", "POST /google", {"json": {}}, 404, set()),
    ("run_request", "POST /", {"content": pushed(Event("requests", "a", "r"))}, 204, {"records"}),
    ("batch_callback", "POST /", {"content": pushed(Event("batch-callbacks", "a", "b"))}, 204,
     {"records"}),
    ("sweep", "POST /", {}, 204, {"records"}),
    ("on_upload", "POST /", {"json": {"name": "uploads/a/u"}, "headers": FINALIZED}, 204,
     {"storage"}),
]  # fmt: skip
"""Function, its first request, the status, and what may be opened for it."""


@pytest.mark.thorough
@pytest.mark.parametrize(("function", "asked", "more", "status", "kinds"), FIRST)
def test_a_first_answer_opens_what_it_needs(
    function: str,
    asked: str,
    more: dict[str, Any],
    status: int,
    kinds: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = Opened(tmp_path, monkeypatch)
    assert asyncio.run(opened.ask(function, *asked.split(), **more)) == status
    assert opened.kinds == kinds


@pytest.mark.pictures
def test_a_picture_of_the_sandbox_opens_all_but_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(tmp_path, monkeypatch)
    assert asyncio.run(opened.ask("generate", "POST", "/", json=CUP, headers=KEY)) == 200
    assert opened.kinds == {"records", "storage", "network", "sandbox"}


class Door:
    """Something to close."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1


def test_what_is_never_used_is_neither_made_nor_closed() -> None:
    made: list[Door] = []

    def make() -> Door:
        made.append(Door())
        return made[-1]

    unused, used = deferred(make), deferred(make)
    asyncio.run(unused.close())
    assert made == []
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: used.closed, range(100))) == [0] * 100
    asyncio.run(used.close())
    assert [door.closed for door in made] == [1]
