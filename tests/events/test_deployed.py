"""Functions as they are deployed, each a process of its own under the Functions Framework, with
Google's Pub/Sub emulator between them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import local
from shared.app import build
from shared.settings import Settings
from tests.darkroom import TEST_KEY
from tests.emulators.pubsub import new_project
from tests.functions.test_processes import AUTH, Server, answers, until

pytestmark = [pytest.mark.emulator, pytest.mark.process]


def test_what_one_function_queues_another_is_told_of_and_makes(
    tmp_path: Path, pubsub_emulator: str
) -> None:
    data, project = tmp_path / "data", new_project()
    asyncio.run(_account(data))
    env = {
        "GOOGLE_CLOUD_PROJECT": project.id,
        "DARKROOM_TOPIC_PREFIX": project.prefix,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "FUNCTION_USE_ASGI": "true",
    }
    names = ("generate", "batch", "account", "run_request", "batch_callback")
    with contextlib.ExitStack() as stack:
        started = [Server(["functions_framework", "--target", n], data, env) for n in names]
        for one in started:
            stack.callback(one.output.close)
            stack.callback(one.kill)
        generate, batch, account, run_request, batch_callback = started
        for one in started:
            until(answers(one.url))
        project.subscribe("requests", f"{run_request.url}/")
        project.subscribe("batch-callbacks", f"{batch_callback.url}/")
        body: dict[str, Any] = {"model": "nano-banana", "prompt": "a cup"}
        headers = {**AUTH, "prefer": "respond-async"}
        sent = httpx.post(generate.url, json=body, headers=headers, timeout=60)
        assert sent.status_code == 202, sent.text
        items = [{**body, "custom_id": str(n)} for n in range(3)]
        taken = httpx.post(
            batch.url, json={"items": items, "mode": "fanout"}, headers=AUTH, timeout=60
        )
        assert taken.status_code == 202, taken.text
        made, whole = f"/requests/{sent.json()['id']}", f"/{taken.json()['id']}"
        until(lambda: _shown(account, made)["status"] == "succeeded")
        until(lambda: _shown(batch, whole)["status"] == "succeeded")
        assert _shown(batch, whole)["counts"]["succeeded"] == 3


def _shown(server: Server, path: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(server.url + path, headers=AUTH, timeout=60).json()
    return found


async def _account(data: Path) -> None:
    """An account with the test key, as an operator makes it."""
    env = {
        "DARKROOM_DATA": str(data),
        "DARKROOM_TEST_KEY": TEST_KEY,
        "DARKROOM_SIGNING_SECRET": "of the tests",
    }
    app = build(local.completed(Settings.from_env(env)))
    await local.introduce(app)
    await app.close()
